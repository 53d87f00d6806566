-- Extends a lease that is still held. Layout: header.go.
--
-- KEYS: entry
-- ARGV: token, ttl
-- returns: 1 if extended, 0 if the lease is gone
local head = redis.call('GETRANGE', KEYS[1], 0, 67)
local kind = string.sub(head, 1, 3)
if string.sub(head, 5, 20) ~= ARGV[1] then
	return 0
end
if kind == 'C1L' then
	return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if kind == 'C1V' and string.sub(head, 21, 33) ~= string.rep('0', 13) then
	local time = redis.call('TIME')
	local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
	redis.call('SETRANGE', KEYS[1], 20, string.format('%013.0f', now + tonumber(ARGV[2])))
	return 1
end
return 0
