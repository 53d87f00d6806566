-- reclaim gives the jobs of one worker back, ahead of other work: of an expired
-- one, counting a crash for each job, or of one that leaves. Up to limit jobs a
-- call; the first call fences the worker.
--
-- KEYS: ready body meta clock unique window wake lease held dead done result progress cancel control run rate parked parkedat open due flow flowdue flowend workers
-- ARGV: worker mode(expired|leave) limit max_crashes
-- returns: {given back, buried, more 0|1}
-- flags: allow-oom
-- include: clock route turn place meta limit flow cancel end
local ready, body, meta, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local unique, window, wake, lease = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local held, dead, done = KEYS[9], KEYS[10], KEYS[11]
local result, progress, cancel = KEYS[12], KEYS[13], KEYS[14]
local control, run, rate = KEYS[15], KEYS[16], KEYS[17]
local parked, parkedat, open = KEYS[18], KEYS[19], KEYS[20]
local due, flow, flowdue, flowend = KEYS[21], KEYS[22], KEYS[23], KEYS[24]
local workers = KEYS[25]
local worker, mode, limit, max_crashes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local now = now_ms()
local score = redis.call('ZSCORE', lease, worker)
if not score or (mode == 'expired' and tonumber(score) > now) then
  return {0, 0, 0}
end
redis.call('ZADD', lease, 0, worker)
redis.call('HDEL', held, '@')

local limits = limiter({control = control, run = run, rate = rate, parked = parked, parkedat = parkedat, open = open},
  redis.call('HGET', control, '@') or '', now)
local place = placer(ready, clock, weights_of(control))
local ends = ender({
  ready = ready, due = due, body = body, meta = meta, unique = unique, window = window,
  dead = dead, done = done, result = result, progress = progress, cancel = cancel,
  parked = parked, parkedat = parkedat, flow = flow, flowdue = flowdue, flowend = flowend,
}, place)
local fields, gone, back, buried = redis.call('HGETALL', held), {}, 0, 0
for i = 1, math.min(#fields, 2 * limit), 2 do
  local id, route = fields[i], held_route(body, fields[i], fields[i + 1])
  local poison, why = false, ''
  if mode == 'expired' then
    local m = read_meta(redis.call('HGET', meta, id))
    m.crashes = m.crashes + 1
    poison = max_crashes > 0 and m.crashes >= max_crashes
    if poison then
      why = 'its worker died ' .. m.crashes .. ' times'
      fail_meta(m, m.attempts + 1, 0, why)
    end
    write_meta(meta, id, m)
  end
  if redis.call('HEXISTS', cancel, id) == 1 then
    ends.drop(id, route)
  elseif poison then
    ends.bury(id, route, why)
    buried = buried + 1
  else
    local scope = scope_of(route)
    if scope == 2 or scope == 3 then take_key(unique, window, id) end
    place.add(id, route, true)
    back = back + 1
  end
  limits.count(route, -1)
  gone[#gone + 1] = id
end
place.flush()
if #gone > 0 then
  redis.call('HDEL', held, unpack(gone))
  redis.call('HDEL', progress, unpack(gone))
end
if ends.flows then
  ends.flows.work(1000)
  place.flush()
end
limits.flush()
local more = redis.call('EXISTS', held)
if more == 0 then
  redis.call('ZREM', lease, worker)
  redis.call('HDEL', workers, worker)
end
if redis.call('EXISTS', ready, due, open, flowdue) > 0 then
  wake_one(wake)
end
return {back, buried, more}
