-- pushat stores the jobs of an event log and moves its cursor, both or none.
--
-- KEYS: ready due body clock unique window wake control parked parkedat position
-- ARGV: from to {id stored due key window}...
-- returns: {1}, or {0} if the cursor is not at from
-- include: clock route turn place store
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local position = KEYS[11]
local from, to = ARGV[1], ARGV[2]

if (redis.call('GET', position) or '') ~= from then
  return {0}
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}
store(k, ARGV, 3)
redis.call('SET', position, to)
return {1}
