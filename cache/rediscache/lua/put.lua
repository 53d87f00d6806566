-- Stores a writer's own value in place of one with a known version that is not higher; removes
-- anything else except a hold or a value with a higher version. Tells all watchers unless it
-- left all as it was. Layout: header.go.
--
-- KEYS: entry
-- ARGV: value, ttl, channel, message
-- returns: the seq of the value that was replaced, or nothing if none was stored
local head = redis.call('GETRANGE', KEYS[1], 0, 67)
local kind = string.sub(head, 1, 3)
local version = string.sub(head, 50, 68)
local seq = false
if kind == 'C1H' or (kind == 'C1V' and version > string.sub(ARGV[1], 50, 68)) then
	return seq
end
if kind == 'C1V' and version > string.rep('0', 19) then
	seq = string.sub(head, 34, 49)
	redis.call('SET', KEYS[1], string.sub(ARGV[1], 1, 33) .. seq .. string.sub(ARGV[1], 50), 'PX', ARGV[2])
	local time = redis.call('TIME')
	local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
	redis.call('SETRANGE', KEYS[1], 68, string.format('%016.0f', now + tonumber(ARGV[2])))
else
	redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return seq
