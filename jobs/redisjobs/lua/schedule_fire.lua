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

local answers, values, stored_at = {}, {}, {}
for i = 1, #ARGV, 8 do
  local name, at = ARGV[i], ARGV[i + 1]
  local n = #answers + 1
  answers[n] = 'no'
  if redis.call('HGET', claims, name) == at then
    answers[n] = 'ok'
    move(ticks, claims, name, tonumber(ARGV[i + 2]))
    if ARGV[i + 3] ~= '' then
      stored_at[#stored_at + 1] = n
      for j = i + 3, i + 7 do
        values[#values + 1] = ARGV[j]
      end
    end
  end
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}
local holders = store(k, values, 1)
for i = 1, #holders do
  if holders[i] ~= '' then answers[stored_at[i]] = '=' .. holders[i] end
end
return answers
