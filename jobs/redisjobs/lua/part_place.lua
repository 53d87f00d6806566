-- part_place: fair placement of ready jobs, by self-clocked fair queueing
-- (Golestani, INFOCOM 1994).
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: placer, unpark
--
-- Every tenant has, per priority, a virtual finish time (field "<priority
-- digit><tenant>" of the clock hash) and every priority a virtual clock (field
-- "@<digit>"): the finish time of the job taken last. A new job finishes one
-- unit, divided by its tenant's weight, after the later of the two, so tenants
-- take turns whatever the length of their queues. A job put in front stands a
-- little before the clock, ahead of all that wait, but for those that were put
-- there since a job was taken.
local function placer(ready, clock, weights)
  local known, changed, pairs_, count = {}, {}, {}, 0
  local fronts = {} -- by priority: where the next job put in front goes
  local function time_of(field)
    local t = known[field]
    if not t then
      t = tonumber(redis.call('HGET', clock, field) or string.byte(field) == 64 and START or 0) -- "@"
      known[field] = t
    end
    return t
  end
  local function next_front(priority)
    local at = fronts[priority]
    if not at then
      local clock_at = priority * BAND + time_of('@' .. priority)
      at = math.max(clock_at - FRONT, priority * BAND)
      local last = redis.call('ZREVRANGEBYSCORE', ready, '(' .. int(clock_at), int(at), 'WITHSCORES', 'LIMIT', 0, 1)[2]
      if last then at = tonumber(last) + 1 / 128 end
    end
    fronts[priority] = at + 1 / 128
    return at
  end
  local function add(id, route, front)
    local priority = string.sub(route, 1, 1)
    local score = time_of('@' .. priority)
    if not front then
      local field = priority .. string.sub(route, 6)
      local unit = UNIT
      if weights then unit = UNIT / weights(string.sub(route, 6)) end
      score = math.max(score, time_of(field)) + math.ceil(unit)
      known[field] = score
      if not changed[field] then
        changed[field] = true
        changed[#changed + 1] = field
      end
    end
    if front then
      pairs_[2 * count + 1] = string.format('%.7f', next_front(priority))
    else
      pairs_[2 * count + 1] = string.format('%d', priority * BAND + score)
    end
    pairs_[2 * count + 2] = id
    count = count + 1
  end
  local function flush()
    for i = 1, 2 * count, 2000 do
      redis.call('ZADD', ready, unpack(pairs_, i, math.min(i + 1999, 2 * count)))
    end
    local fields = #changed > 64 and {long_field(), ''} or {}
    local first = #fields
    for i = 1, #changed do
      fields[first + 2 * i - 1] = changed[i]
      fields[first + 2 * i] = string.format('%d', known[changed[i]])
    end
    for i = 1, #fields, 2000 do
      redis.call('HSET', clock, unpack(fields, i, math.min(i + 1999, #fields)))
    end
    changed, pairs_, count = {}, {}, 0
  end
  return {add = add, flush = flush}
end

-- Takes a job out of the parked ones, if it is there; answers how many it took.
local function unpark(parked, parkedat, id)
  local member = redis.call('HGET', parkedat, id)
  if not member then return 0 end
  redis.call('HDEL', parkedat, id)
  return redis.call('ZREM', parked, member)
end
