-- Takes a lock, or extends it for the owner who has it. A lock is its owner (16 characters) and
-- its fence; the last fence outlives it, and the time sees to it that fences grow without it.
-- Each way out has a write, which a master that was made a replica refuses: it grants nothing,
-- and says of nobody that he has the lock.
--
-- KEYS: lock, last fence
-- ARGV: owner, ttl, ttl of the last fence
-- returns: the fence, or nothing if another has the lock
local held = redis.call('GET', KEYS[1])
if held then
	if string.sub(held, 1, 16) ~= ARGV[1] then
		redis.call('PEXPIRE', KEYS[2], ARGV[3])
		return false
	end
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return string.sub(held, 17)
end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
local fence = string.format('%016.0f', math.max(last + 1, tonumber(time[1]) * 1000000 + tonumber(time[2])))
redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1] .. fence, 'PX', ARGV[2])
return fence
