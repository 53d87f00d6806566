-- part_meta: what of a job is not in its body.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: read_meta, write_meta, drop_key
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

-- Lets a unique job's key go. A key that is held for a window outlives its job
-- unless that died.
local function drop_key(unique, window, id, died)
  local key = redis.call('HGET', unique, 'i' .. id)
  if not key then return end
  redis.call('HDEL', unique, 'i' .. id)
  if redis.call('HGET', unique, 'k' .. key) ~= id then return end
  if not died and redis.call('ZSCORE', window, key) then return end
  redis.call('HDEL', unique, 'k' .. key)
  redis.call('ZREM', window, key)
end
