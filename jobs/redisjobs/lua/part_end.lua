-- part_end: the ends of a job.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: ender, each_cancelled
--
-- k has the keys body, meta, unique, window, dead, done, result, progress and
-- cancel, and those of flower and canceller. Once the end of a job was told to
-- its flow, self.flows is the flower, whose work is then to be called.
local function ender(k, place)
  local self = {flows = nil}

  function self.flower()
    self.flows = self.flows or flower(k, place, canceller(k, self))
    return self.flows
  end

  -- Forgets everything of a job but its unique key.
  local function forget(id)
    redis.call('HDEL', k.body, id)
    redis.call('HDEL', k.meta, id)
    redis.call('HDEL', k.progress, id)
    redis.call('HDEL', k.cancel, id)
  end

  -- All that is to be done for a finished job with flags but to forget it.
  function self.finished(id, route, value)
    if scope_of(route) ~= 0 then
      drop_key(k.unique, k.window, id, false)
    end
    if is_flow(route) then self.flower().finished(id, value) end
  end

  -- A kept job stays under its body, with "<finished ms>+<took ms> <result>"
  -- beside it; earlier versions wrote "<finished ms> <result>".
  function self.finish(id, route, keep, value, took)
    self.finished(id, route, value)
    if keep <= 0 then
      forget(id)
      return
    end
    redis.call('HSET', k.result, id, int(now_ms()) .. '+' .. took .. ' ' .. value)
    redis.call('ZADD', k.done, int(now_ms() + keep), id)
    redis.call('HDEL', k.progress, id)
    redis.call('HDEL', k.cancel, id)
  end

  function self.drop(id, route)
    if scope_of(route) ~= 0 then
      drop_key(k.unique, k.window, id, true)
    end
    forget(id)
    if is_flow(route) then self.flower().failed(id, 'cancelled') end
  end

  function self.bury(id, route, why)
    if scope_of(route) ~= 0 then
      free_key(k.unique, k.window, id)
    end
    redis.call('ZADD', k.dead, int(now_ms()), id)
    redis.call('HDEL', k.progress, id)
    redis.call('HDEL', k.cancel, id)
    if is_flow(route) then self.flower().failed(id, why) end
  end

  return self
end

-- Calls see(id, mark) for each job of a held hash that somebody cancelled.
local function each_cancelled(cancel, held, see)
  if redis.call('EXISTS', cancel) == 0 then return end
  local ids = redis.call('HKEYS', held)
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    local marks = redis.call('HMGET', cancel, unpack(ids, first, last))
    for i = first, last do
      if marks[i - first + 1] then see(ids[i], marks[i - first + 1]) end
    end
  end
end
