-- fire stores the job of a schedule's tick if the tick is newer than the last
-- one and not in the future. Without a job it reads. A new schedule starts now,
-- and so does a dropped one ("x<last>") unless the caller knew it: then it goes
-- on. The ticks of a paused one are passed over. Where the last one has not fired,
-- the field "<name> " says which did, or "".
--
-- KEYS: ready due body clock unique window wake control parked parkedat cron ticks
-- ARGV: name tick known(0|1) {id stored due key window}...
-- returns: {fired 0|1, last ms, now ms, id of the job that holds the key or ""}
-- include: clock route turn place store schedule
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local cron, ticks = KEYS[11], KEYS[12]
local name, tick, known = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

local now = now_ms()
local at = redis.call('HGET', cron, name) or ''
local last = tonumber(at)
if not last then
  last = known and tonumber(string.match(at, '^x(%d+)$') or '') or now
  redis.call('HSET', cron, name, int(last), name .. ' ', '')
end
if #ARGV == 3 or tick <= last or tick > now then
  return {0, int(last), int(now), ''}
end
if is_paused(ticks, name) then
  redis.call('HSETNX', cron, name .. ' ', int(last))
  redis.call('HSET', cron, name, int(tick))
  return {0, int(tick), int(now), ''}
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}
local holders = store(k, ARGV, 4)
redis.call('HSET', cron, name, int(tick))
redis.call('HDEL', cron, name .. ' ')
return {1, int(tick), int(now), holders[1]}
