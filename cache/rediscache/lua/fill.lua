-- Stores a value for the holder of the lease, and for nobody else, unless the lease stands
-- beside a value with a higher version: then it only ends the lease. Layout: header.go.
--
-- KEYS: entry
-- ARGV: token, value, ttl, channel, message
-- returns: 1 if stored, by this call or an earlier one with the token; 0 if not
local head = redis.call('GETRANGE', KEYS[1], 0, 67)
local kind = string.sub(head, 1, 3)
if (kind ~= 'C1L' and kind ~= 'C1V') or string.sub(head, 5, 20) ~= ARGV[1] then
	return 0
end
if kind == 'C1V' and string.sub(head, 21, 33) == string.rep('0', 13) then
	return 1
end
local version = string.sub(ARGV[2], 50, 68)
local stored = 1
if kind == 'C1V' and version > string.rep('0', 19) and version < string.sub(head, 50, 68) then
	redis.call('SETRANGE', KEYS[1], 3, '0' .. string.rep('0', 29))
	stored = 0
else
	local time = redis.call('TIME')
	local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	redis.call('SETRANGE', KEYS[1], 68, string.format('%016.0f', now + tonumber(ARGV[3])))
end
if string.sub(head, 4, 4) == '1' then
	redis.call('PUBLISH', ARGV[4], ARGV[5])
end
return stored
