-- exchange settles what a worker finished and hands it new jobs, in one step.
-- A repeated seq gets the same jobs again and settles nothing twice: field "@"
-- of the held hash is the latest seq, the jobs that it handed out bear it.
--
-- KEYS: ready due body meta clock unique window wake lease held dead done result progress cancel control run rate parked parkedat open
-- ARGV: worker seq want finished settled {id}... {id action delay error keep result}... {id note}...
-- returns: {"lost"} or {"ok", ready left, ms to next or -1, cancelled, {id}..., {id stored meta}...}
-- flags: allow-oom
-- include: clock route place meta limit end
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, window, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lease, held, dead = KEYS[9], KEYS[10], KEYS[11]
local done, result, progress, cancel = KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local control, run, rate = KEYS[16], KEYS[17], KEYS[18]
local parked, parkedat, open = KEYS[19], KEYS[20], KEYS[21]
local worker, seq, want = ARGV[1], ARGV[2], tonumber(ARGV[3])
local finished, settled = tonumber(ARGV[4]), tonumber(ARGV[5])

if tonumber(redis.call('ZSCORE', lease, worker) or '0') == 0 then
  return {'lost'}
end
local now = now_ms()
local mode = redis.call('HGET', control, '@') or ''
if mode == 'x' and redis.call('EXISTS', parked) == 0 then
  redis.call('HDEL', control, '@')
  mode = ''
end
local limits = limiter({control = control, run = run, rate = rate, parked = parked, parkedat = parkedat, open = open}, mode, now)
local place = placer(ready, clock, mode ~= '' and weights_of(control) or nil)
local k = {
  body = body, meta = meta, unique = unique, window = window, dead = dead,
  done = done, result = result, progress = progress, cancel = cancel,
}
local extras = redis.call('EXISTS', meta, progress, cancel) -- none of it on the happy path

-- Finishing is the common case: all of it costs three commands.
local function finish(first, n)
  local ids, mine, seen = {}, {}, {}
  for i = 1, n do ids[i] = ARGV[first + i - 1] end
  local values = redis.call('HMGET', held, unpack(ids))
  for i = 1, n do
    local id = ids[i]
    if values[i] and not seen[id] then
      seen[id] = true
      mine[#mine + 1] = id
      local route = held_route(values[i])
      if string.sub(route, 2, 2) ~= '0' then
        finish_key(k, id, route)
      end
      limits.count(route, -1)
    end
  end
  if #mine == 0 then return end
  redis.call('HDEL', body, unpack(mine))
  if extras > 0 then
    redis.call('HDEL', meta, unpack(mine))
    redis.call('HDEL', progress, unpack(mine))
    redis.call('HDEL', cancel, unpack(mine))
  end
  redis.call('HDEL', held, unpack(mine))
end

-- Each destination is written before the job leaves the held hash.
local function settle(id, action, delay, err, keep, value)
  local hold = redis.call('HGET', held, id)
  if not hold then return end
  local route = held_route(hold)
  if extras > 0 and (action == 'retry' or action == 'return') and redis.call('HEXISTS', cancel, id) == 1 then
    action = 'drop'
  end
  if action == 'finish' then
    finish_job(k, id, route, now, keep, value)
  elseif action == 'drop' then
    drop_job(k, id, route)
  elseif action == 'return' and delay == 0 then
    place.add(id, route, true)
  elseif action == 'return' then
    redis.call('ZADD', due, int(now + delay), id)
  else
    local attempts, crashes = read_meta(redis.call('HGET', meta, id))
    write_meta(meta, id, attempts + 1, crashes, err)
    extras = 1
    if action == 'bury' then
      bury_job(k, id, route, now)
    else
      redis.call('ZADD', due, int(now + delay), id)
    end
  end
  redis.call('HDEL', held, id)
  redis.call('HDEL', progress, id)
  limits.count(route, -1)
end

local function promote()
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, 500)
  if #ids == 0 then return end
  local stored = redis.call('HMGET', body, unpack(ids))
  for i = 1, #ids do
    place.add(ids[i], stored[i] and route_of(stored[i]) or '10000', false)
  end
  place.flush()
  redis.call('ZREM', due, unpack(ids))
end

local ids, bodies, holds = {}, {}, {}

local function hand_out(id, route, stored)
  ids[#ids + 1] = id
  bodies[#bodies + 1] = stored
  holds[#holds + 1] = id
  holds[#holds + 1] = seq .. ' ' .. route
  local flags = string.sub(route, 2, 2)
  if flags ~= '0' then
    local scope = scope_of(route)
    if scope == 2 or scope == 3 then
      drop_key(unique, window, id, true)
    end
  end
  if mode ~= '' then limits.started(route) end
end

-- Hands out ready jobs, up to n; what is held back is parked on the way.
local function take(n)
  local rounds, clocks = 0, {}
  while n > 0 and rounds < 5 do
    local popped = redis.call('ZPOPMIN', ready, math.min(n, 500))
    if #popped == 0 then break end
    local found = {}
    for i = 1, #popped, 2 do found[#found + 1] = popped[i] end
    local stored = redis.call('HMGET', body, unpack(found))
    for i = 1, #found do
      local text = stored[i] or ''
      local route = text ~= '' and route_of(text) or '10000'
      clocks[string.sub(route, 1, 1)] = tonumber(popped[2 * i]) % BAND
      local group = mode ~= '' and limits.gate(route, text, nil)
      if group then
        limits.park(group, found[i])
      else
        hand_out(found[i], route, text)
        n = n - 1
      end
    end
    if mode == '' then break end
    rounds = rounds + 1
  end
  if redis.call('EXISTS', ready) == 0 then
    redis.call('DEL', clock) -- nobody waits: every tenant starts equal again
    return
  end
  for p, v in pairs(clocks) do
    redis.call('HSET', clock, '@' .. p, int(v))
  end
end

local again = redis.call('HGET', held, '@') == seq
if again then
  local all, mark = redis.call('HGETALL', held), seq .. ' '
  for i = 1, #all, 2 do
    if all[i] ~= '@' and string.sub(all[i + 1], 1, #mark) == mark then
      ids[#ids + 1] = all[i]
    end
  end
  if #ids > 0 then bodies = redis.call('HMGET', body, unpack(ids)) end
else
  if finished > 0 then finish(6, finished) end
  local at = 6 + finished
  for i = at, at + 6 * settled - 1, 6 do
    settle(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5])
  end
  place.flush()
  for i = at + 6 * settled, #ARGV, 2 do
    if redis.call('HEXISTS', held, ARGV[i]) == 1 then
      redis.call('HSET', progress, ARGV[i], ARGV[i + 1])
    end
  end
  promote()
  if mode ~= '' then
    limits.flush() -- before the limits are asked
    want = math.min(want, (limits.queue()))
    if want > 0 and redis.call('EXISTS', open) == 1 then
      local share = want
      if redis.call('EXISTS', ready) == 1 then share = math.ceil(want / 2) end
      limits.draw(share, body, hand_out)
    end
  end
  if want > #ids then take(want - #ids) end
  if mode ~= '' then limits.flush() end
  holds[#holds + 1] = '@'
  holds[#holds + 1] = seq
  redis.call('HSET', held, unpack(holds))
end

local left, next_at = redis.call('ZCARD', ready), nil
local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if head then next_at = tonumber(head) end
if mode ~= '' then
  left = left + redis.call('ZCOUNT', open, '-inf', int(now))
  local free, at = limits.queue()
  if free < 1 then
    left = 0
    if at then next_at = math.min(next_at or at, at) end
  end
  local gate = redis.call('ZRANGEBYSCORE', open, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if gate then next_at = math.min(next_at or tonumber(gate), tonumber(gate)) end
end
if left > 0 then wake_one(wake) end

local answer = {'ok', left, next_at and math.max(0, next_at - now) or -1, 0}
if extras > 0 then
  local marks = redis.call('HGETALL', cancel)
  for i = 1, #marks, 2 do
    if marks[i + 1] == '' and redis.call('HEXISTS', held, marks[i]) == 1 then
      redis.call('HSET', cancel, marks[i], 'told')
      answer[4] = answer[4] + 1
      answer[#answer + 1] = marks[i]
    end
  end
end
if #ids > 0 then
  local metas = extras > 0 and redis.call('HMGET', meta, unpack(ids)) or {}
  for i = 1, #ids do
    answer[#answer + 1] = ids[i]
    answer[#answer + 1] = bodies[i] or ''
    answer[#answer + 1] = metas[i] or ''
  end
end
return answer
