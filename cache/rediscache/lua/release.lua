-- Ends a writer's hold; with the last one the entry goes, and so does an entry that no hold
-- kept away. Tells all watchers. Layout: header.go.
--
-- flags: allow-oom
-- KEYS: entry
-- ARGV: token, channel, message
-- returns: the number of holds that are left
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = now
local holds = ''
local count = 0
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GETRANGE', KEYS[1], 0, 2) == 'C1H' then
	for token, ends in string.gmatch(redis.call('GETRANGE', KEYS[1], 84, -1), '(................)(%d%d%d%d%d%d%d%d%d%d%d%d%d)') do
		ends = tonumber(ends)
		if token ~= ARGV[1] and ends > now then
			holds = holds .. token .. string.format('%013.0f', ends)
			last = math.max(last, ends)
			count = count + 1
		end
	end
end
if count > 0 then
	redis.call('SET', KEYS[1], 'C1H0' .. string.rep('0', 80) .. holds, 'PX', string.format('%.0f', last - now))
else
	redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return count
