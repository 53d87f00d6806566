-- schedule_fire settles claimed ticks: whose tick is still the claimed one gets
-- its job stored, if it has one (an id), its schedule moved on, and written down
-- which tick the job is of.
--
-- KEYS: ready due body clock unique window wake control parked parkedat schedules ticks claims
-- ARGV: {name tick next last id stored due key window}...
-- returns: {per tick "no", "ok", or "=" and the id of the job that holds the key}
-- include: clock route turn place store schedule
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local schedules, ticks, claims = KEYS[11], KEYS[12], KEYS[13]

local names, at_of = {}, {}
for i = 1, #ARGV, 9 do
  names[#names + 1] = ARGV[i]
end
local ats = redis.call('HMGET', claims, unpack(names))
for i = 1, #names do
  at_of[names[i]] = ats[i]
end

-- Jobs that are due now and have no key are stored together, the others by store.
local answers, settled, scores = {}, {}, {}
local fired, lasts = {}, {}
local plain, values, stored_at = {}, {}, {}
for i = 1, #ARGV, 9 do
  local name, at = ARGV[i], ARGV[i + 1]
  local n = #answers + 1
  answers[n] = 'no'
  if at_of[name] == at then
    answers[n] = 'ok'
    at_of[name] = nil
    settled[#settled + 1] = name
    scores[#scores + 1] = ARGV[i + 2]
    scores[#scores + 1] = name
    if ARGV[i + 4] ~= '' then -- else it is passed over
      fired[#fired + 1] = name
      lasts[#lasts + 1] = ARGV[i + 3]
      if ARGV[i + 6] == '' and ARGV[i + 7] == '' then
        plain[#plain + 1] = i + 4
      else
        stored_at[#stored_at + 1] = n
        for j = i + 4, i + 8 do
          values[#values + 1] = ARGV[j]
        end
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
    if holders[i] ~= '' and holders[i] ~= '=' then answers[stored_at[i]] = '=' .. holders[i] end
  end
end
if #fired > 0 then
  local old, fields = redis.call('HMGET', schedules, unpack(fired)), {}
  for i = 1, #fired do
    if old[i] then -- else it was removed by hand, and stays so
      fields[#fields + 1] = fired[i]
      fields[#fields + 1] = join((split(old[i])), lasts[i])
    end
  end
  if #fields > 0 then redis.call('HSET', schedules, unpack(fields)) end
end
if #settled > 0 then
  redis.call('ZADD', ticks, unpack(scores))
  redis.call('HDEL', claims, unpack(settled))
  if redis.call('HLEN', claims) == 1 then redis.call('HDEL', claims, long_field()) end
end
return answers
