-- Gives a lock back, if its owner still has it.
--
-- flags: allow-oom
-- KEYS: lock
-- ARGV: owner
-- returns: 1 if given back, 0 if another has the lock or nobody
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 16) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0
