-- part_meta: what of a job is not in its body.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: read_meta, write_meta, free_key, take_key, drop_key
--
-- Meta is "<attempts> <crashes> <last error>". It is written when a job fails
-- or its worker dies, never on the happy path.
local function read_meta(text)
  if not text then return 0, 0, '' end
  local attempts, crashes, err = string.match(text, '^(%d+) (%d+) (.*)$')
  return tonumber(attempts), tonumber(crashes), err
end

local function write_meta(meta, id, attempts, crashes, err)
  redis.call('HSET', meta, id, attempts .. ' ' .. crashes .. ' ' .. err)
end

-- Lets a unique job's key go, of which it keeps a note, see take_key.
local function free_key(unique, window, id)
  local key = redis.call('HGET', unique, 'i' .. id)
  if key and redis.call('HGET', unique, 'k' .. key) == id then
    redis.call('HDEL', unique, 'k' .. key)
    redis.call('ZREM', window, key)
  end
end

-- Gives it back to a job that waits again, until it is taken or finished, unless
-- another job has it by now.
local function take_key(unique, window, id)
  local key = redis.call('HGET', unique, 'i' .. id)
  if not key then return end
  local ends = redis.call('ZSCORE', window, key)
  if ends and tonumber(ends) <= now_ms() then
    redis.call('HDEL', unique, 'k' .. key)
    redis.call('ZREM', window, key)
  end
  redis.call('HSETNX', unique, 'k' .. key, id)
end

-- Forgets the key of a job that ends. One that is held for a window outlives its
-- job unless that was dropped.
local function drop_key(unique, window, id, dropped)
  local key = redis.call('HGET', unique, 'i' .. id)
  if not key then return end
  if dropped or not redis.call('ZSCORE', window, key) then free_key(unique, window, id) end
  redis.call('HDEL', unique, 'i' .. id)
end
