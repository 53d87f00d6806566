-- part_place: fair placement of ready jobs, by self-clocked fair queueing.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: split, priority, placer, wake_one
--
-- A member is "<id> <route>"; a route is a priority digit, "u" if the job is
-- unique or "-", and the tenant. Every route has a virtual finish time (field
-- f<route> of the clock hash) and every priority a virtual clock (V<digit>):
-- the finish time of the job taken last. A new job finishes one unit after the
-- later of the two, so routes take turns whatever the length of their queues.
-- A job put in front gets the present clock, ahead of all that wait.
local BAND = 17592186044416 -- 2^44: one priority's range of scores

local function split(member)
  local gap = string.find(member, ' ', 1, true)
  return string.sub(member, 1, gap - 1), string.sub(member, gap + 1)
end

local function priority(route)
  return string.sub(route, 1, 1)
end

local function placer(ready, clock)
  local clocks, finishes, changed, pairs_, count = {}, {}, {}, {}, 0
  local function time_of(cache, field)
    if not cache[field] then
      cache[field] = tonumber(redis.call('HGET', clock, field) or '0')
    end
    return cache[field]
  end
  local function add(member, front)
    local _, route = split(member)
    local score = time_of(clocks, 'V' .. priority(route))
    if not front then
      local field = 'f' .. route
      score = math.max(score, time_of(finishes, field)) + 1
      if not changed[field] then
        changed[field] = true
        changed[#changed + 1] = field
      end
      finishes[field] = score
    end
    pairs_[#pairs_ + 1] = string.format('%.0f', tonumber(priority(route)) * BAND + score)
    pairs_[#pairs_ + 1] = member
    count = count + 1
  end
  local function flush()
    for i = 1, #pairs_, 2000 do
      redis.call('ZADD', ready, unpack(pairs_, i, math.min(i + 1999, #pairs_)))
    end
    for i = 1, #changed do
      redis.call('HSET', clock, changed[i], string.format('%.0f', finishes[changed[i]]))
    end
    return count
  end
  return {add = add, flush = flush}
end

-- One token wakes one worker; whoever leaves work behind puts it back.
local function wake_one(wake)
  if redis.call('LLEN', wake) == 0 then
    redis.call('LPUSH', wake, '1')
  end
end
