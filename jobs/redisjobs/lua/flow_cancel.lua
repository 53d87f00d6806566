-- flow_cancel ends a flow, up to limit jobs of it a call.
--
-- KEYS: ready due body meta clock unique window wake dead done result progress cancel parked parkedat flow flowdue flowend control
-- ARGV: name limit
-- returns: {found 0|1, more 0|1}
-- flags: allow-oom
-- include: clock route turn place meta flow cancel end
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, window, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local dead, done, result = KEYS[9], KEYS[10], KEYS[11]
local progress, cancel = KEYS[12], KEYS[13]
local parked, parkedat = KEYS[14], KEYS[15]
local flow, flowdue, flowend = KEYS[16], KEYS[17], KEYS[18]
local control = KEYS[19]
local name, limit = ARGV[1], tonumber(ARGV[2])

local f = flow_load(flow, name)
if not f or (f.s ~= 'waiting' and f.s ~= 'running') then
  return {0, 0}
end
local k = {
  ready = ready, due = due, body = body, meta = meta, unique = unique, window = window,
  dead = dead, done = done, result = result, progress = progress, cancel = cancel,
  parked = parked, parkedat = parkedat, flow = flow, flowdue = flowdue, flowend = flowend,
}
local place = placer(ready, clock, weights_of(control))
local runs = ender(k, place).flower()
if f.s == 'waiting' then
  f.s, f.z = 'cancelled', now_ms()
  redis.call('ZADD', flowend, int(now_ms() + f.k), name)
elseif f.e ~= 'cancelled' then
  if not f.e then f.x = 0 end
  f.e = 'cancelled'
end
runs.change(name, f)
runs.work(limit)
place.flush()
wake_one(wake)
return {1, f.u and 1 or 0}
