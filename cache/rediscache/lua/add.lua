-- Adds to a counter; the first to do so begins its window. Adding nothing is a write, too, so
-- that a master that was made a replica refuses to tell.
--
-- KEYS: counter
-- ARGV: amount, window
-- returns: {sum, milliseconds left of the window}
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	left = tonumber(ARGV[2])
end
return {sum, left}
