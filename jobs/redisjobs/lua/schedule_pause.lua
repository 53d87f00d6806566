-- schedule_pause stops a schedule and ends its claim. It adds a few bytes at
-- most, so that a full server can be relieved by it.
--
-- KEYS: schedules ticks claims
-- ARGV: name
-- returns: {1, or 0 if there is no such schedule}
-- flags: allow-oom
-- include: clock schedule
local schedules, ticks, claims = KEYS[1], KEYS[2], KEYS[3]
local name = ARGV[1]

if redis.call('HEXISTS', schedules, name) == 0 then
  return {0}
end
move(ticks, claims, name, PAUSED)
return {1}
