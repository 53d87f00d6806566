-- resolve requeues, deletes or cancels jobs. A requeued one has all its attempts
-- before it and no unique key. Workers are told of cancelled ones that run.
--
-- KEYS: ready due body meta clock unique window wake dead done result progress cancel parked parkedat
-- ARGV: how(requeue|delete|cancel) channel {id}...
-- returns: {how many were in a state that this is for}
-- flags: allow-oom
-- include: clock route place meta end
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, window, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local dead, done, result = KEYS[9], KEYS[10], KEYS[11]
local progress, cancel = KEYS[12], KEYS[13]
local parked, parkedat = KEYS[14], KEYS[15]
local how, channel = ARGV[1], ARGV[2]

local ends = ender({
  body = body, meta = meta, unique = unique, window = window, dead = dead,
  done = done, result = result, progress = progress, cancel = cancel,
})
local place, found, told = placer(ready, clock), 0, false

local function route_at(id)
  return route_of(redis.call('HGET', body, id))
end

local function requeue(id)
  if redis.call('ZSCORE', dead, id) then
    place.add(id, route_at(id), false)
    place.flush()
    redis.call('ZREM', dead, id)
    redis.call('HDEL', meta, id)
    return true
  end
  if redis.call('ZSCORE', due, id) then
    place.add(id, route_at(id), false)
    place.flush()
    redis.call('ZREM', due, id)
    return true
  end
end

local function delete(id)
  if redis.call('ZREM', dead, id) + redis.call('ZREM', done, id) == 0 then return false end
  redis.call('HDEL', result, id)
  ends.drop(id, route_at(id))
  return true
end

local function cancel_one(id)
  if redis.call('HEXISTS', body, id) == 0 or redis.call('ZSCORE', dead, id) or redis.call('ZSCORE', done, id) then
    return false
  end
  local waited = redis.call('ZREM', ready, id) + redis.call('ZREM', due, id)
  local member = redis.call('HGET', parkedat, id)
  if member then
    redis.call('ZREM', parked, member)
    redis.call('HDEL', parkedat, id)
    waited = 1
  end
  if waited > 0 then
    ends.drop(id, route_at(id))
  else
    redis.call('HSETNX', cancel, id, '')
    told = true
  end
  return true
end

local act = {requeue = requeue, delete = delete, cancel = cancel_one}
for i = 3, #ARGV do
  if act[how](ARGV[i]) then found = found + 1 end
end
if how == 'requeue' and found > 0 then
  wake_one(wake)
end
if told then
  redis.call('PUBLISH', channel, 'cancel')
end
return {found}
