-- Gives tags a stamp from the logical clock: each a new one (and tells all watchers), or, in
-- the mode 'make', only those that had a hold that ended by itself, and those that have none:
-- they get the clock as it stands, which is the latest that any of them can have been
-- invalidated. The clock is the time in microseconds, when there is none and when it moves, but
-- then always more than before, so that time running backwards does no harm. A stamp is 16
-- digits, followed by the holds of writers in the layout of header.go; the modes 'hold' and
-- 'release' begin and end the one of the token, 'move' leaves them alone.
--
-- flags: allow-oom
-- KEYS: clock, stamp...
-- ARGV: mode, ttl, channel, token, length of the hold, message...
-- returns: the stamps, in order
local clock = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)
local mode = ARGV[1]
local moved = false
if clock == 0 then
	clock = micros
	moved = true
end
local stamps = {}
for i = 2, #KEYS do
	local value = redis.call('GET', KEYS[i]) or ''
	local stamp = string.sub(value, 1, 16)
	local holds = ''
	local lost = not tonumber(stamp)
	local move = mode ~= 'make'
	for token, ends in string.gmatch(string.sub(value, 17), '(................)(%d%d%d%d%d%d%d%d%d%d%d%d%d)') do
		if tonumber(ends) <= now then
			move = true
		elseif mode == 'move' or mode == 'make' or token ~= ARGV[4] then
			holds = holds .. token .. ends
		end
	end
	if mode == 'hold' then
		holds = holds .. ARGV[4] .. string.format('%013.0f', now + tonumber(ARGV[5]))
	end
	if move then
		clock = math.max(clock + 1, micros)
		moved = true
	end
	if move or lost then
		stamp = string.format('%016.0f', clock)
		redis.call('SET', KEYS[i], stamp .. holds, 'PX', ARGV[2])
		if mode ~= 'make' then
			redis.call('PUBLISH', ARGV[3], ARGV[i + 4])
		end
	end
	stamps[i - 1] = stamp .. holds
end
if moved then
	redis.call('SET', KEYS[1], string.format('%016.0f', clock))
end
return stamps
