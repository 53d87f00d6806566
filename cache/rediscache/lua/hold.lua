-- Puts a writer's hold in the place of an entry, beside the holds of others, or ends it if ttl
-- is 0: with the last one the entry goes, and so does an entry that no hold kept away. Tells
-- all watchers that the entry is gone. Layout: header.go.
--
-- flags: allow-oom
-- KEYS: entry
-- ARGV: token, ttl, channel, message
-- returns: the number of holds
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last, holds, count = now, '', 0
local function add(token, ends)
	holds = holds .. token .. string.format('%013.0f', ends)
	last = math.max(last, ends)
	count = count + 1
end
if tonumber(ARGV[2]) > 0 then
	add(ARGV[1], now + tonumber(ARGV[2]))
end
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GETRANGE', KEYS[1], 0, 2) == 'C1H' then
	for token, ends in string.gmatch(redis.call('GETRANGE', KEYS[1], 84, -1), '(................)(%d%d%d%d%d%d%d%d%d%d%d%d%d)') do
		if token ~= ARGV[1] and tonumber(ends) > now then
			add(token, tonumber(ends))
		end
	end
end
if count > 0 then
	redis.call('SET', KEYS[1], 'C1H0' .. string.rep('0', 80) .. holds, 'PX', string.format('%.0f', last - now))
else
	redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return count
