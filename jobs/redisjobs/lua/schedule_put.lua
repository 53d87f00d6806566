-- schedule_put stores a schedule, or the note of one in code (without from and
-- next). The data that is stored already changes nothing. The last tick stays.
-- With old only the data changes, if that is what is stored.
--
-- KEYS: schedules ticks claims
-- ARGV: name data from next old
-- returns: {done 0|1, stale 0|1, now ms}
-- include: clock schedule
local schedules, ticks, claims = KEYS[1], KEYS[2], KEYS[3]
local name, data, from, next, old = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local now = now_ms()
local stored, last = split(redis.call('HGET', schedules, name) or '')
if stored == data or old ~= '' and stored ~= old then
  return {0, 0, int(now)}
end
if old == '' then
  if stale(from, next, now) then
    return {0, 1, int(now)}
  end
  if from ~= '' and not is_paused(ticks, name) then
    move(ticks, claims, name, tonumber(next))
  end
end
redis.call('HSET', schedules, name, join(data, last))
return {1, 0, int(now)}
