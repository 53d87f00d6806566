-- Puts a writer's hold in the place of an entry, beside the holds of others, and tells all
-- watchers that the entry is gone. Layout: header.go.
--
-- flags: allow-oom
-- KEYS: entry
-- ARGV: token, ttl, channel, message
-- returns: the number of holds
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = now + tonumber(ARGV[2])
local holds = ARGV[1] .. string.format('%013.0f', last)
local count = 1
if redis.call('GETRANGE', KEYS[1], 0, 2) == 'C1H' then
	for token, ends in string.gmatch(redis.call('GETRANGE', KEYS[1], 84, -1), '(................)(%d%d%d%d%d%d%d%d%d%d%d%d%d)') do
		ends = tonumber(ends)
		if token ~= ARGV[1] and ends > now then
			holds = holds .. token .. string.format('%013.0f', ends)
			last = math.max(last, ends)
			count = count + 1
		end
	end
end
redis.call('SET', KEYS[1], 'C1H0' .. string.rep('0', 80) .. holds, 'PX', string.format('%.0f', last - now))
redis.call('PUBLISH', ARGV[3], ARGV[4])
return count
