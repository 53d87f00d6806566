-- schedule_resume lets a paused schedule go on, one in code (without from and
-- next) by leaving the set.
--
-- KEYS: ticks claims
-- ARGV: name from next
-- returns: {done 0|1, stale 0|1, now ms}
-- flags: allow-oom
-- include: clock schedule
local ticks, claims = KEYS[1], KEYS[2]
local name, from, next = ARGV[1], ARGV[2], ARGV[3]

local now = now_ms()
if not is_paused(ticks, name) then
  return {0, 0, int(now)}
end
if stale(from, next, now) then
  return {0, 1, int(now)}
end
if from == '' then
  redis.call('ZREM', ticks, name)
else
  move(ticks, claims, name, tonumber(next))
end
return {1, 0, int(now)}
