-- Removes an entry, and with it any lease, and tells all watchers in the same step. Holds of
-- writers stay. Layout: header.go.
--
-- KEYS: entry
-- ARGV: channel, message
-- returns: 1 if something was removed, else 0
local removed = 0
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GETRANGE', KEYS[1], 0, 2) ~= 'C1H' then
	removed = redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return removed
