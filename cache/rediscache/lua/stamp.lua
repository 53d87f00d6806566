-- Gives tags a stamp from the logical clock: each a new one ('move', and tells all watchers),
-- or only those that have none ('make'). The clock is the time in microseconds, but always
-- more than before, so that time running backwards does no harm.
--
-- flags: allow-oom
-- KEYS: clock, stamp...
-- ARGV: mode, ttl, channel, message...
-- returns: the stamps, in order
local clock = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local moved = false
local stamps = {}
for i = 2, #KEYS do
	local stamp = redis.call('GET', KEYS[i])
	if ARGV[1] == 'move' or not tonumber(stamp or '') then
		clock = math.max(clock + 1, now)
		stamp = string.format('%016.0f', clock)
		redis.call('SET', KEYS[i], stamp, 'PX', ARGV[2])
		moved = true
		if ARGV[1] == 'move' then
			redis.call('PUBLISH', ARGV[3], ARGV[i + 2])
		end
	end
	stamps[i - 1] = stamp
end
if moved then
	redis.call('SET', KEYS[1], string.format('%016.0f', clock))
end
return stamps
