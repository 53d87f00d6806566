-- fire stores the job of a schedule's tick if the tick is newer than the last
-- one and not in the future. Without a job it reads. A new schedule starts now;
-- the ticks of a paused one are passed over. Where the last one has not fired, the
-- field "<name> " says which did, or "".
--
-- KEYS: ready due body clock unique window wake control parked parkedat cron ticks
-- ARGV: name tick {id stored due key window}...
-- returns: {fired 0|1, last ms, now ms, id of the job that holds the key or ""}
-- include: clock route turn place store schedule
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local cron, ticks = KEYS[11], KEYS[12]
local name, tick = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
local last = tonumber(redis.call('HGET', cron, name) or '')
if not last then
  last = now
  redis.call('HSET', cron, name, int(now), name .. ' ', '')
end
if #ARGV == 2 or tick <= last or tick > now then
  return {0, int(last), int(now), ''}
end
if is_paused(ticks, name) then
  redis.call('HSETNX', cron, name .. ' ', int(last))
  redis.call('HSET', cron, name, int(tick))
  return {0, int(tick), int(now), ''}
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}
local holders = store(k, ARGV, 3)
redis.call('HSET', cron, name, int(tick))
redis.call('HDEL', cron, name .. ' ')
return {1, int(tick), int(now), holders[1]}
