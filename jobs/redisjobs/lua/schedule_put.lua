-- schedule_put stores a schedule, or the note of one in code (without from and
-- next). The data that is stored already changes nothing. The last tick stays.
--
-- KEYS: schedules ticks claims
-- ARGV: name data from next
-- returns: {done 0|1, stale 0|1, now ms}
-- include: clock schedule
local schedules, ticks, claims = KEYS[1], KEYS[2], KEYS[3]
local name, data, from, next = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local now = now_ms()
local old, last = split(redis.call('HGET', schedules, name) or '')
if old == data then
  return {0, 0, int(now)}
end
if stale(from, next, now) then
  return {0, 1, int(now)}
end
if from ~= '' and not is_paused(ticks, name) then
  move(ticks, claims, name, tonumber(next))
end
redis.call('HSET', schedules, name, join(data, last))
return {1, 0, int(now)}
