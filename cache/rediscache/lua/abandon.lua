-- Gives a lease back, if it is still held. Layout: header.go.
--
-- KEYS: entry
-- ARGV: token, channel, message
-- returns: 1 if given back, 0 if the lease was gone
local head = redis.call('GETRANGE', KEYS[1], 0, 48)
local kind = string.sub(head, 1, 3)
if string.sub(head, 5, 20) ~= ARGV[1] then
	return 0
end
if kind == 'C1L' then
	redis.call('DEL', KEYS[1])
	if string.sub(head, 4, 4) == '1' then
		redis.call('PUBLISH', ARGV[2], ARGV[3])
	end
	return 1
end
if kind == 'C1V' and string.sub(head, 21, 33) ~= string.rep('0', 13) then
	redis.call('SETRANGE', KEYS[1], 4, string.rep('0', 29))
	return 1
end
return 0
