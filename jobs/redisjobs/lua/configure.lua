-- configure changes pauses, limits and weights, and opens what they held back.
-- It counts the running jobs anew, which needs the held hash of every worker: if
-- a worker has come since they were listed, nothing is changed.
--
-- KEYS: control run rate parked open wake lease body held...
-- ARGV: workers {worker}... {field value}...
-- returns: {1}, or {0} if a worker has come
-- flags: allow-oom
-- include: clock route turn place limit
local control, run, rate = KEYS[1], KEYS[2], KEYS[3]
local parked, open, wake, lease = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local body = KEYS[8]
local workers = tonumber(ARGV[1])

local listed = {}
for i = 2, 1 + workers do listed[ARGV[i]] = true end
for _, worker in ipairs(redis.call('ZRANGE', lease, 0, -1)) do
  if not listed[worker] then return {0} end
end

for i = 2 + workers, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value == '' then
    redis.call('HDEL', control, field)
  else
    redis.call('HSET', control, field, value)
  end
  -- A new rate starts afresh.
  local letter = string.sub(field, 1, 1)
  if letter == 'Q' then
    redis.call('ZREM', rate, 'q')
  elseif letter == 'T' then
    redis.call('ZREM', rate, group_of('t', string.sub(field, 2)))
  elseif letter == 'E' then
    for _, group in ipairs(redis.call('ZRANGE', rate, 0, -1)) do
      if string.sub(group, 1, 1) == 't' then redis.call('ZREM', rate, group) end
    end
  end
end

-- The letters of part_limit, and a field of its own for who only stores.
local mode, fields = {}, redis.call('HGETALL', control)
for i = 1, #fields, 2 do
  local letter, value = string.sub(fields[i], 1, 1), fields[i + 1]
  if fields[i] == 'paused' then mode.p = true end
  if letter == 'P' then mode.t = true end
  if letter == 'K' then mode.k = true end
  if letter == 'Q' then mode.q = true end
  if letter == 'E' or letter == 'T' then mode.l = true end
  if letter == 'W' then mode.w = true end
  if (letter == 'Q' or letter == 'E' or letter == 'T') and string.sub(value, 1, 2) ~= '0 ' then mode.r = true end
end
if redis.call('EXISTS', parked) == 1 then mode.x = true end -- let them go on
local letters = {}
for letter in pairs(mode) do letters[#letters + 1] = letter end
table.sort(letters)
redis.call('HDEL', control, '@', 'weights')
if #letters > 0 then redis.call('HSET', control, '@', table.concat(letters)) end
if mode.w then redis.call('HSET', control, 'weights', '1') end

redis.call('DEL', run)
if mode.r then
  for i = 9, #KEYS do
    local jobs = redis.call('HGETALL', KEYS[i])
    for j = 1, #jobs, 2 do
      if jobs[j] ~= '@' then
        redis.call('HINCRBY', run, group_of('t', tenant_of(held_route(body, jobs[j], jobs[j + 1]))), 1)
        redis.call('HINCRBY', run, 'q', 1)
      end
    end
  end
end

-- Every group that has parked jobs gets a chance.
local from = '-'
while true do
  local member = redis.call('ZRANGEBYLEX', parked, from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  local group = string.sub(member, 1, park_end(member) - 16)
  redis.call('ZADD', open, 0, group)
  from = '(' .. group .. ':'
end
wake_one(wake)
return {1}
