-- part_end: the ends of a job.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: finish_key, finish_job, drop_job, bury_job
--
-- k has the keys body, meta, unique, window, dead, done, result, progress and
-- cancel.
local function finish_key(k, id, route)
  if scope_of(route) ~= 0 then
    drop_key(k.unique, k.window, id, false)
  end
end

-- Forgets everything of a job but its unique key.
local function forget(k, id)
  redis.call('HDEL', k.body, id)
  redis.call('HDEL', k.meta, id)
  redis.call('HDEL', k.progress, id)
  redis.call('HDEL', k.cancel, id)
end

-- A kept job stays under its body, with "<finished ms> <result>" beside it.
local function finish_job(k, id, route, now, keep, value)
  finish_key(k, id, route)
  if keep <= 0 then
    forget(k, id)
    return
  end
  redis.call('HSET', k.result, id, int(now) .. ' ' .. value)
  redis.call('ZADD', k.done, int(now + keep), id)
  redis.call('HDEL', k.progress, id)
  redis.call('HDEL', k.cancel, id)
end

local function drop_job(k, id, route)
  if scope_of(route) ~= 0 then
    drop_key(k.unique, k.window, id, true)
  end
  forget(k, id)
end

local function bury_job(k, id, route, now)
  if scope_of(route) ~= 0 then
    drop_key(k.unique, k.window, id, true)
  end
  redis.call('ZADD', k.dead, int(now), id)
  redis.call('HDEL', k.progress, id)
  redis.call('HDEL', k.cancel, id)
end
