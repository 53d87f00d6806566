-- exchange settles what a worker finished and hands it new jobs, in one step.
-- Field "@" of the held hash is "<seq> <id>...": a repeated seq gets the same
-- jobs again and settles nothing twice.
--
-- KEYS: ready due body meta clock unique wake lease held dead
-- ARGV: worker seq want {id action delay error}...
-- returns: {"lost"} or {"ok", ready left, ms to next due or -1, {id body meta}...}
-- flags: allow-oom
-- include: clock place meta
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, wake = KEYS[5], KEYS[6], KEYS[7]
local lease, held, dead = KEYS[8], KEYS[9], KEYS[10]
local worker, seq, want = ARGV[1], ARGV[2], tonumber(ARGV[3])

if tonumber(redis.call('ZSCORE', lease, worker) or '0') == 0 then
  return {'lost'}
end
local now = now_ms()
local place = placer(ready, clock)

-- Each destination is written before the job leaves the held hash.
local function settle(id, action, delay, err)
  local route = redis.call('HGET', held, id)
  if not route then return end
  local member = id .. ' ' .. route
  if action == 'finish' then
    drop_key(unique, id, route)
    redis.call('HDEL', body, id)
    redis.call('HDEL', meta, id)
  elseif action == 'return' and delay == 0 then
    place.add(member, true)
  elseif action == 'return' then
    redis.call('ZADD', due, int(now + delay), member)
  else
    local attempts, crashes = read_meta(redis.call('HGET', meta, id))
    write_meta(meta, id, attempts + 1, crashes, err)
    if action == 'bury' then
      drop_key(unique, id, route)
      bury(dead, meta, id, route, now)
    else
      redis.call('ZADD', due, int(now + delay), member)
    end
  end
  redis.call('HDEL', held, id)
end

local function promote()
  local members = redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, 500)
  for i = 1, #members do
    place.add(members[i], false)
  end
  place.flush()
  if #members > 0 then
    redis.call('ZREM', due, unpack(members))
  end
end

-- Moves up to want jobs to the held hash and answers their ids.
local function take()
  local ids, routes, clocks = {}, {}, {}
  if want == 0 then return ids end
  local popped = redis.call('ZPOPMIN', ready, want)
  for i = 1, #popped, 2 do
    local id, route = split(popped[i])
    ids[#ids + 1] = id
    routes[#routes + 1] = id
    routes[#routes + 1] = route
    clocks[priority(route)] = tonumber(popped[i + 1]) % BAND
  end
  if #ids == 0 then return ids end
  redis.call('HSET', held, unpack(routes))
  if redis.call('EXISTS', ready) == 0 then
    redis.call('DEL', clock) -- nobody waits: every tenant starts equal again
  else
    for p, v in pairs(clocks) do
      redis.call('HSET', clock, 'V' .. p, int(v))
    end
  end
  return ids
end

local ids = {}
local mark = redis.call('HGET', held, '@')
if mark and string.match(mark, '^(%d+)') == seq then
  for id in string.gmatch(string.sub(mark, #seq + 1), '%S+') do
    if redis.call('HEXISTS', held, id) == 1 then
      ids[#ids + 1] = id
    end
  end
else
  for i = 4, #ARGV, 4 do
    settle(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3])
  end
  promote()
  ids = take()
  redis.call('HSET', held, '@', seq .. ' ' .. table.concat(ids, ' '))
end

local left = redis.call('ZCARD', ready)
if left > 0 then
  wake_one(wake)
end
local next_due = -1
local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if head then
  next_due = math.max(0, tonumber(head) - now)
end
local answer = {'ok', left, next_due}
if #ids > 0 then
  local bodies = redis.call('HMGET', body, unpack(ids))
  local metas = redis.call('HMGET', meta, unpack(ids))
  for i = 1, #ids do
    answer[#answer + 1] = ids[i]
    answer[#answer + 1] = bodies[i] or ''
    answer[#answer + 1] = metas[i] or ''
  end
end
return answer
