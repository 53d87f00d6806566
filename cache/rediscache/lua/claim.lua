-- Reads an entry and takes its lease in the ways that SET NX GET cannot. Layout: header.go.
--
-- KEYS: entry
-- ARGV: token, ttl, mode, seen
-- returns: {value, milliseconds left, 1 if the lease is the token's else 0}
local value = redis.call('GET', KEYS[1])
local mode = ARGV[3]

local kind = ''
if value and #value >= 84 then
	kind = string.sub(value, 1, 3)
end
if not value or (mode == 'replace' and kind ~= 'C1L' and kind ~= 'C1H' and string.sub(value, 1, 68) == ARGV[4]) then
	local lease = 'C1L0' .. ARGV[1] .. string.rep('0', 64)
	redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
	return {lease, tonumber(ARGV[2]), 1}
end

local left = redis.call('PTTL', KEYS[1])
local mine = string.sub(value, 5, 20) == ARGV[1]
if kind == 'C1L' then
	if mine then
		return {value, left, 1}
	end
	if mode == 'await' then
		redis.call('SETRANGE', KEYS[1], 3, '1')
	end
elseif kind == 'C1V' and (mode == 'beside' or mode == 'await') then
	local time = redis.call('TIME')
	local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
	local ends = tonumber(string.sub(value, 21, 33)) or 0
	if mode == 'await' then
		if ends > now and string.sub(value, 4, 4) == '0' then
			redis.call('SETRANGE', KEYS[1], 3, '1')
		end
	elseif mine and ends > 0 then
		return {value, left, 1}
	elseif ends < now then
		redis.call('SETRANGE', KEYS[1], 3, '0' .. ARGV[1] .. string.format('%013.0f', now + tonumber(ARGV[2])))
		return {value, left, 1}
	end
end
return {value, left, 0}
