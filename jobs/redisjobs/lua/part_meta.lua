-- part_meta: what of a job is not in its body.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: read_meta, write_meta, fail_meta, last_error, short_meta, free_key, take_key, drop_key
--
-- Meta is "0<attempts> <crashes> <failures> <texts>". It is written when a job
-- fails or its worker dies, never on the happy path. Failures are the latest
-- three, latest first, "<attempt>,<ms>,<took ms>,<bytes of its text>;" each, and
-- texts is their texts, one behind the other. Without the zero it is what earlier
-- versions wrote, "<attempts> <crashes> <last error>"; they read ours like that.
local function read_meta(text)
  local m = {attempts = 0, crashes = 0, failures = '', texts = ''}
  if not text then return m end
  local attempts, crashes, rest = string.match(text, '^(%d+) (%d+) (.*)$')
  m.attempts, m.crashes = tonumber(attempts), tonumber(crashes)
  if string.find(text, '^0%d') then
    m.failures, m.texts = string.match(rest, '^(%S*) (.*)$')
  elseif rest ~= '' then
    m.failures, m.texts = attempts .. ',0,0,' .. #rest .. ';', rest
  end
  return m
end

local function write_meta(meta, id, m)
  redis.call('HSET', meta, id, '0' .. m.attempts .. ' ' .. m.crashes .. ' ' .. m.failures .. ' ' .. m.texts)
end

-- Adds a failed attempt to what is known of a job, and forgets the fourth.
local function fail_meta(m, attempt, took, err)
  local kept, bytes, n = '', 0, 0
  for failure, length in string.gmatch(m.failures, '(%d+,%d+,%d+,(%d+);)') do
    n = n + 1
    if n < 3 then kept, bytes = kept .. failure, bytes + length end
  end
  m.failures = table.concat({attempt, int(now_ms()), took, #err}, ',') .. ';' .. kept
  m.texts = err .. string.sub(m.texts, 1, bytes)
end

-- The text of the latest failure.
local function last_error(m)
  return string.sub(m.texts, 1, tonumber(string.match(m.failures, '^%d+,%d+,%d+,(%d+);') or '0'))
end

-- What a worker needs of it: "<attempts> <crashes> <last error>".
local function short_meta(text)
  local m = read_meta(text)
  return m.attempts .. ' ' .. m.crashes .. ' ' .. last_error(m)
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
