-- resolve requeues, deletes or cancels jobs. A requeued one has all its attempts
-- before it, and its unique key if that is free. Workers are told of cancelled
-- ones that run. With a state it leaves those alone that the filter does not
-- select. Since workers wait for it, it looks at 150 ids at most, and at fewer if
-- their bodies and errors have more than half a mebibyte.
--
-- KEYS: ready due body meta clock unique window wake dead done result progress cancel parked parkedat flow flowdue flowend control
-- ARGV: how(requeue|delete|cancel) channel state kind tenant error retried(0|1) {id}...
-- returns: {how many were in a state that this is for, how many of the ids it looked at}
-- flags: allow-oom
-- include: clock route turn place meta flow cancel end match
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, window, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local dead, done, result = KEYS[9], KEYS[10], KEYS[11]
local progress, cancel = KEYS[12], KEYS[13]
local parked, parkedat = KEYS[14], KEYS[15]
local flow, flowdue, flowend = KEYS[16], KEYS[17], KEYS[18]
local control = KEYS[19]
local how, channel = ARGV[1], ARGV[2]
local state, kind, tenant, error, retried = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local k = {
  ready = ready, due = due, body = body, meta = meta, unique = unique, window = window,
  dead = dead, done = done, result = result, progress = progress, cancel = cancel,
  parked = parked, parkedat = parkedat, flow = flow, flowdue = flowdue, flowend = flowend,
}
local place, found, told = placer(ready, clock, weights_of(control)), 0, false
local ends = ender(k, place)
local cancel_job = canceller(k, ends)

local function route_at(id)
  return route_of(redis.call('HGET', body, id))
end

local function requeue(id)
  if redis.call('ZSCORE', dead, id) then
    local route = route_at(id)
    if is_flow(route) then ends.flower().requeued(id) end
    if scope_of(route) ~= 0 then take_key(unique, window, id) end
    place.add(id, route, false)
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
  local how = cancel_job(id)
  told = told or how == 'told'
  return how ~= nil
end

local job = matcher(k, {state = state, kind = kind, tenant = tenant, text = error, retried = retried == '1'})
local act = {requeue = requeue, delete = delete, cancel = cancel_one}
local looked, bytes = 0, 0
for i = 8, #ARGV do
  local id = ARGV[i]
  bytes = bytes + redis.call('HSTRLEN', body, id) + redis.call('HSTRLEN', meta, id)
  if looked == 150 or looked > 0 and bytes > 524288 then break end
  looked = looked + 1
  if (state == '' or job.state(id) and job.rest(id)) and act[how](id) then found = found + 1 end
end
if ends.flows then
  ends.flows.work(1000)
  place.flush()
end
if ends.flows or how == 'requeue' and found > 0 then
  wake_one(wake)
end
if told then
  redis.call('PUBLISH', channel, 'cancel')
end
return {found, looked}
