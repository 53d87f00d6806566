-- pushplain stores new jobs that are due now and not unique, in runs of one
-- place: a priority's digit and a tenant. A full server refuses it.
--
-- KEYS: ready body clock wake control
-- ARGV: {place count {id stored}...}...
-- returns: how many were new, or the error "TAKEN {n}..." that counts, from 0, the jobs whose id one of another tenant has
-- include: turn
local ready, body, clock, wake, control = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local weights, whole = weights_of(control), string.format

-- Of the jobs before the present run, and those of all whose id is taken.
local before, taken = 0, {}

-- Stores a body unless there is one, and answers whether it did.
local function store_one(at, i, tenant)
  if redis.call('HSETNX', body, ARGV[at], ARGV[at + 1]) == 1 then return true end
  local route = whole('%03d', #tenant) .. tenant -- see part_route
  if string.sub(redis.call('HGET', body, ARGV[at]), 3, 2 + #route) ~= route then
    taken[#taken + 1] = before + i - 1
  end
  return false
end

-- Stores the bodies at first, and answers which of their ids are new; nil: all.
local function fresh(first, n, tenant)
  if n == 1 then
    return not store_one(first, 1, tenant) and {} or nil
  end
  local ids, known = {}, false
  for i = 1, n do ids[i] = ARGV[first + 2 * i - 2] end
  local old = redis.call('HMGET', body, unpack(ids))
  for i = 1, n do known = known or old[i] end
  if not known then
    redis.call('HSET', body, unpack(ARGV, first, first + 2 * n - 1))
    return nil
  end
  local new = {}
  for i = 1, n do
    if store_one(first + 2 * i - 2, i, tenant) then new[ids[i]] = true end
  end
  return new
end

local at = 1
local stored = 0
while at < #ARGV do
  local field, n, first = ARGV[at], tonumber(ARGV[at + 1]), at + 2
  at = first + 2 * n
  local new = fresh(first, n, string.sub(field, 2))
  before = before + n
  local priority = string.sub(field, 1, 1)
  local base = priority * BAND
  local times = redis.call('HMGET', clock, '@' .. priority, field)
  local score, unit = math.max(times[1] or START, times[2] or 0), UNIT
  if weights then unit = math.ceil(UNIT / weights(string.sub(field, 2))) end
  local pairs_, count = {}, 0
  for i = first, at - 2, 2 do
    if not new or new[ARGV[i]] then
      score = score + unit
      pairs_[count + 1] = whole('%d', base + score)
      pairs_[count + 2] = ARGV[i]
      count = count + 2
    end
  end
  if count > 0 then
    redis.call('ZADD', ready, unpack(pairs_))
    redis.call('HSET', clock, field, whole('%d', score))
    stored = stored + count / 2
  end
end
if stored > 0 then
  wake_one(wake)
end
if #taken > 0 then
  return redis.error_reply('TAKEN ' .. table.concat(taken, ' '))
end
return stored
