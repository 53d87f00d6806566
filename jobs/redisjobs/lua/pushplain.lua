-- pushplain stores new jobs that are due now and not unique, in runs of one
-- place: a priority's digit and a tenant. A full server refuses it.
--
-- KEYS: ready body clock wake control
-- ARGV: {place count {id stored}...}...
-- returns: how many were new
-- include: turn
local ready, body, clock, wake, control = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local weights, whole = weights_of(control), string.format

-- Stores the bodies at first, and answers which of their ids are new; nil: all.
local function fresh(first, n)
  if n == 1 then
    return redis.call('HSETNX', body, ARGV[first], ARGV[first + 1]) == 0 and {} or nil
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
    if redis.call('HSETNX', body, ids[i], ARGV[first + 2 * i - 1]) == 1 then
      new[ids[i]] = true
    end
  end
  return new
end

local at = 1
local stored = 0
while at < #ARGV do
  local field, n, first = ARGV[at], tonumber(ARGV[at + 1]), at + 2
  at = first + 2 * n
  local new = fresh(first, n)
  local priority = string.sub(field, 1, 1)
  local base = priority * BAND
  local times = redis.call('HMGET', clock, '@' .. priority, field)
  local score, unit = math.max(times[1] or 0, times[2] or 0), UNIT
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
return stored
