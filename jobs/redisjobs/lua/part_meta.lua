-- part_meta: what of a job is not in its envelope.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: read_meta, write_meta, bury, drop_key
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

-- A dead job keeps its route beside its meta, under a field no id can have.
local function bury(dead, meta, id, route, now)
  redis.call('HSET', meta, '@' .. id, route)
  redis.call('ZADD', dead, int(now), id)
end

-- A unique job holds its key until it is finished or dead.
local function drop_key(unique, id, route)
  if string.sub(route, 2, 2) ~= 'u' then return end
  local key = redis.call('HGET', unique, 'i' .. id)
  if key then
    redis.call('HDEL', unique, 'i' .. id)
    if redis.call('HGET', unique, 'k' .. key) == id then
      redis.call('HDEL', unique, 'k' .. key)
    end
  end
end
