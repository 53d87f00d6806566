-- Removes an entry, and with it any lease, and tells all watchers in the same step.
--
-- KEYS: entry
-- ARGV: channel, message
-- returns: 1 if there was an entry, else 0
local removed = redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return removed
