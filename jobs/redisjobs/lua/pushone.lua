-- pushone stores one new job that is due now and not unique. It is pushplain
-- with as little as that takes: a single Enqueue waits for it. A full server
-- refuses it.
--
-- KEYS: ready body clock wake control
-- ARGV: place id stored
-- returns: how many were new, or the error "TAKEN 0" if a job of another tenant has the id
-- include: turn
local ready, body, clock, wake, control = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local place, id, stored = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HSETNX', body, id, stored) == 0 then
  local route = string.format('%03d', #place - 1) .. string.sub(place, 2) -- see part_route
  if string.sub(redis.call('HGET', body, id), 3, 2 + #route) == route then return 0 end
  return redis.error_reply('TAKEN 0')
end
local priority, unit = string.sub(place, 1, 1), UNIT
local weights = #place > 1 and weights_of(control) -- only tenants have one
if weights then unit = math.ceil(UNIT / weights(string.sub(place, 2))) end
local times = redis.call('HMGET', clock, '@' .. priority, place)
local score = math.max(times[1] or START, times[2] or 0) + unit
redis.call('ZADD', ready, string.format('%d', priority * BAND + score), id)
redis.call('HSET', clock, place, string.format('%d', score))
wake_one(wake)
return 1
