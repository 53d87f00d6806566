-- part_store: stores new jobs.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: holder_of, count_new, store

-- The unfinished job, or the window, that holds a key.
local function holder_of(k, now, key)
  local holder = redis.call('HGET', k.unique, 'k' .. key)
  if not holder then return nil end
  local ends = redis.call('ZSCORE', k.window, key)
  if ends and tonumber(ends) <= now then
    redis.call('ZREM', k.window, key)
    redis.call('HDEL', k.unique, 'k' .. key)
    return nil
  end
  return holder
end

-- How many of the jobs are neither known nor held back by their key.
local function count_new(k, values, first)
  local now, ids, keys, n = now_ms(), {}, {}, 0
  for i = first, #values, 5 do
    local id, key = values[i], values[i + 3]
    local holder = key ~= '' and (holder_of(k, now, key) or keys[key]) or id
    if holder == id and not ids[id] and redis.call('HEXISTS', k.body, id) == 0 then
      ids[id], n = true, n + 1
      if key ~= '' then keys[key] = id end
    end
  end
  return n
end

-- Stores jobs given as five values each: id, stored body, due ("" now, "+ms"
-- from now, else ms since 1970), unique key ("" none), window ms. Answers, per
-- job, "" or the id of the job that holds the key, with a "!" before it if that
-- one got the new body, or "=" if a job of another tenant has the id. Nothing in
-- it can fail half-way: the server refuses a script for want of memory before it
-- begins.
local function store(k, values, first)
  local now, place = now_ms(), placer(k.ready, k.clock, weights_of(k.control))
  local answers, placed, sooner, head = {}, false, false, nil

  -- Makes a stored job ready or puts it off.
  local function put(id, route, due)
    local at = due_at(now, due)
    if at <= now then
      place.add(id, route, false)
      placed = true
      return
    end
    if not head then
      head = tonumber(redis.call('ZRANGE', k.due, 0, 0, 'WITHSCORES')[2] or '') or math.huge
    end
    redis.call('ZADD', k.due, int(at), id)
    if at < head then
      head, sooner = at, true
    end
  end

  for i = first, #values, 5 do
    local id, stored, due, key, window = values[i], values[i + 1], values[i + 2], values[i + 3], values[i + 4]
    local route = route_of(stored)
    local holder = key ~= '' and holder_of(k, now, key)
    if holder and holder ~= id then
      answers[#answers + 1] = holder
      if scope_of(route) == 3 then
        place.flush() -- it may be of this call
        local waits = redis.call('ZREM', k.ready, holder) + redis.call('ZREM', k.due, holder)
        if waits == 0 then waits = unpark(k.parked, k.parkedat, holder) end
        if waits > 0 then
          redis.call('HSET', k.body, holder, stored)
          put(holder, route, due)
          answers[#answers] = '!' .. holder
        end
      end
    else
      answers[#answers + 1] = ''
      if redis.call('HSETNX', k.body, id, stored) == 1 then
        if key ~= '' then
          redis.call('HSET', k.unique, 'k' .. key, id, 'i' .. id, key)
          if window ~= '' then
            redis.call('ZADD', k.window, int(now + tonumber(window)), key)
          end
        end
        put(id, route, due)
      elseif tenant_of(route_of(redis.call('HGET', k.body, id))) ~= tenant_of(route) then
        answers[#answers] = '='
      end
    end
  end
  place.flush()
  if placed or sooner then
    wake_one(k.wake)
  end
  return answers, now
end
