-- pushat stores the jobs of an event log and moves its cursor, both or none.
--
-- KEYS: ready due body clock unique wake position
-- ARGV: from to {id route body due key}...
-- returns: 1, or 0 if the cursor is not at from
-- include: clock place store
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, wake, position = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local from, to = ARGV[1], ARGV[2]

if (redis.call('GET', position) or '') ~= from then
  return 0
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, wake = wake}
store(k, ARGV, 3)
redis.call('SET', position, to)
return 1
