-- Gives a lease back, if it is still held, and wakes those who await that. A value beside it
-- stays, and gets no further lease before the pause is over. Layout: header.go.
--
-- KEYS: entry
-- ARGV: token, pause, channel, message
-- returns: 1 if given back, 0 if the lease was gone
local head = redis.call('GETRANGE', KEYS[1], 0, 67)
local kind = string.sub(head, 1, 3)
if string.sub(head, 5, 20) ~= ARGV[1] then
	return 0
end
if kind == 'C1L' then
	redis.call('DEL', KEYS[1])
elseif kind == 'C1V' and string.sub(head, 21, 33) ~= string.rep('0', 13) then
	local flag, ends = '0', string.rep('0', 13)
	if tonumber(ARGV[2]) > 0 then
		local time = redis.call('TIME')
		local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
		flag, ends = '2', string.format('%013.0f', now + tonumber(ARGV[2]))
	end
	redis.call('SETRANGE', KEYS[1], 3, flag .. string.rep('0', 16) .. ends)
else
	return 0
end
if string.sub(head, 4, 4) == '1' then
	redis.call('PUBLISH', ARGV[3], ARGV[4])
end
return 1
