-- flow_start stores a part of a flow. With the last one the flow begins. A full
-- server refuses it.
--
-- KEYS: ready due body clock wake control dead done flow flowdue flowend flows
-- ARGV: name header failure max_depth from {id value}...
-- returns: {jobs stored, existed 0|1}, or "full", "other" or "taken" instead of the number
-- include: clock route turn place flow flowclean
local ready, due, body, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local wake, control, dead, done = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local flow, flowdue, flowend, flows = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local name, header, failure = ARGV[1], ARGV[2], ARGV[3]
local max_depth, from = tonumber(ARGV[4]), tonumber(ARGV[5])

local k = {body = body, due = due, flow = flow, flowdue = flowdue, flowend = flowend, flows = flows}
local f = flow_load(flow, name)
local existed, whole = f and 1 or 0, cjson.decode(header)
local total = 0
for i = 1, #whole.c do total = total + whole.c[i][1] end
f = f or whole
if f.t ~= whole.t then
  return {'taken', existed}
end
if f.s ~= 'waiting' then
  return {total, existed}
end
for i = 1, math.max(#f.c, #whole.c) do
  if not f.c[i] or not whole.c[i] or f.c[i][1] ~= whole.c[i][1] then return {'other', existed} end
end
if from > f.w then
  return {f.w, existed}
end

local fields = {}
for i = 6, #ARGV, 2 do
  if from + (i - 6) / 2 >= f.w then
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = ARGV[i + 1]
  end
end
local stored = f.w + #fields / 2
if stored == total and max_depth > 0 then
  local unfinished = redis.call('HLEN', body) - redis.call('ZCARD', dead) - redis.call('ZCARD', done)
  if unfinished + f.c[1][1] > max_depth then return {'full', existed} end
end
if existed == 0 then
  f.a = now_ms()
  redis.call('ZADD', flows, int(now_ms()), name)
  if failure ~= '' then redis.call('HSET', flow, name .. '~failure', failure) end
end
if #fields > 0 then redis.call('HSET', flow, unpack(fields)) end
f.w = stored
local place = placer(ready, clock, weights_of(control))
local runs = flower(k, place, nil)
runs.change(name, f)
if stored == total then
  f.s, f.q = 'running', now_ms()
  redis.call('ZREM', flowend, name)
  wake_one(wake)
else
  redis.call('ZADD', flowend, int(now_ms() + 3600000), name)
end
runs.work(500)
place.flush()
clean_flows(k, 50 + #fields) -- twice what came: it keeps up
return {stored, existed}
