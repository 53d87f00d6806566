-- schedule_fire settles claimed ticks: whose tick is still the claimed one gets
-- its job stored and its schedule moved on. A job without id is none.
--
-- KEYS: ready due body clock unique window wake control parked parkedat ticks claims
-- ARGV: {name tick next id stored due key window}...
-- returns: {per tick "no", "ok", or "=" and the id of the job that holds the key}
-- include: clock route turn place store schedule
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local ticks, claims = KEYS[11], KEYS[12]

local names, at_of = {}, {}
for i = 1, #ARGV, 8 do
  names[#names + 1] = ARGV[i]
end
local ats = redis.call('HMGET', claims, unpack(names))
for i = 1, #names do
  at_of[names[i]] = ats[i]
end

-- Jobs that are due now and have no key are stored together, the others by store.
local answers, settled, scores = {}, {}, {}
local plain, values, stored_at = {}, {}, {}
for i = 1, #ARGV, 8 do
  local name, at = ARGV[i], ARGV[i + 1]
  local n = #answers + 1
  answers[n] = 'no'
  if at_of[name] == at then
    answers[n] = 'ok'
    at_of[name] = nil
    settled[#settled + 1] = name
    scores[#scores + 1] = ARGV[i + 2]
    scores[#scores + 1] = name
    if ARGV[i + 3] == '' then -- passed over
    elseif ARGV[i + 5] == '' and ARGV[i + 6] == '' then
      plain[#plain + 1] = i + 3
    else
      stored_at[#stored_at + 1] = n
      for j = i + 3, i + 7 do
        values[#values + 1] = ARGV[j]
      end
    end
  end
end

if #plain > 0 then
  local ids, fields, known = {}, {}, {}
  for i = 1, #plain do ids[i] = ARGV[plain[i]] end
  local old = redis.call('HMGET', body, unpack(ids))
  local place = placer(ready, clock, weights_of(control))
  for i = 1, #ids do
    local id, stored = ids[i], ARGV[plain[i] + 1]
    if not old[i] and not known[id] then
      known[id] = true
      fields[#fields + 1] = id
      fields[#fields + 1] = stored
      place.add(id, route_of(stored), false)
    end
  end
  if #fields > 0 then
    redis.call('HSET', body, unpack(fields))
    place.flush()
    wake_one(wake)
  end
end
if #values > 0 then
  local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}
  local holders = store(k, values, 1)
  for i = 1, #holders do
    if holders[i] ~= '' then answers[stored_at[i]] = '=' .. holders[i] end
  end
end
if #settled > 0 then
  redis.call('ZADD', ticks, unpack(scores))
  redis.call('HDEL', claims, unpack(settled))
  if redis.call('HLEN', claims) == 1 then redis.call('HDEL', claims, TABLE) end
end
return answers
