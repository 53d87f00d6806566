-- exchange settles what a worker finished and hands it new jobs, in one step.
-- A repeated seq gets the same jobs again and settles nothing twice: field "@"
-- of the held hash is the latest seq, the jobs that it handed out bear it.
-- Without that field the lease is gone: reclaim removes it first.
--
-- KEYS: ready due body meta clock unique window wake held dead done result progress cancel control run rate parked parkedat open flow flowdue flowend
-- ARGV: worker seq want each finished settled {id}... {id action delay error keep result took}... {id note}...
-- returns: {"lost"} or {"ok", ready left, ms to next or -1, 1 metas + 2 since, cancelled, {id}..., {id stored meta since, if there are}...}
-- flags: allow-oom
-- include: clock route turn place meta limit flow cancel end
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, unique, window, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local held, dead, done = KEYS[9], KEYS[10], KEYS[11]
local result, progress, cancel = KEYS[12], KEYS[13], KEYS[14]
local control, run, rate = KEYS[15], KEYS[16], KEYS[17]
local parked, parkedat, open = KEYS[18], KEYS[19], KEYS[20]
local flow, flowdue, flowend = KEYS[21], KEYS[22], KEYS[23]
local worker, seq, want, each = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local finished, settled = tonumber(ARGV[5]), tonumber(ARGV[6])

local holds = redis.call('HMGET', held, '@', unpack(ARGV, 7, 6 + finished))
if not holds[1] then
  return {'lost'}
end

-- What is in force, and whether there is anything beside bodies: neither on the
-- happy path.
local mode, extras, flows_wait = '', 0, false
if redis.call('EXISTS', control, meta, progress, cancel, flowdue) > 0 then
  mode = redis.call('HGET', control, '@') or ''
  flows_wait = redis.call('EXISTS', flowdue) == 1
  extras = redis.call('EXISTS', meta, progress, cancel)
  if mode == 'x' and redis.call('EXISTS', parked) == 0 then
    redis.call('HDEL', control, '@')
    mode = ''
  end
end
local limits = mode ~= '' and
  limiter({control = control, run = run, rate = rate, parked = parked, parkedat = parkedat, open = open}, mode, now_ms())

-- Made when they are needed.
local places, enders = nil, nil
local function place()
  places = places or placer(ready, clock, limits and weights_of(control))
  return places
end
local function ends()
  enders = enders or ender({
    ready = ready, due = due, body = body, meta = meta, unique = unique, window = window,
    dead = dead, done = done, result = result, progress = progress, cancel = cancel,
    parked = parked, parkedat = parkedat, flow = flow, flowdue = flowdue, flowend = flowend,
  }, place())
  return enders
end

-- Finishing is the common case: all of it costs three commands, with the one
-- that read the holds. Most holds are the same few numbers.
local function finish()
  local mine, n, with_route = {}, 0, {}
  for i = 1, finished do
    local hold = holds[i + 1]
    if hold then
      local id = ARGV[6 + i]
      n = n + 1
      mine[n] = id
      local routed = with_route[hold]
      if routed == nil then
        routed = limits or string.find(hold, ' ', 1, true) or false
        with_route[hold] = routed
      end
      if routed and redis.call('HDEL', held, id) == 1 then -- once, if it is named twice
        local route = held_route(body, id, hold)
        ends().finished(id, route, '')
        if limits then limits.count(route, -1) end
      end
    end
  end
  if n == 0 then return end
  redis.call('HDEL', body, unpack(mine))
  if extras > 0 then
    redis.call('HDEL', meta, unpack(mine))
    redis.call('HDEL', progress, unpack(mine))
    redis.call('HDEL', cancel, unpack(mine))
  end
  redis.call('HDEL', held, unpack(mine))
end

-- Each destination is written before the job leaves the held hash.
local function settle(id, action, delay, err, keep, value, took)
  local hold = redis.call('HGET', held, id)
  if not hold then return end
  local route = held_route(body, id, hold)
  if extras > 0 and (action == 'retry' or action == 'return') and redis.call('HEXISTS', cancel, id) == 1 then
    action = 'drop'
  end
  if action == 'finish' then
    ends().finish(id, route, keep, value, took)
  elseif action == 'drop' then
    ends().drop(id, route)
  elseif action == 'return' then
    local scope = scope_of(route)
    if scope == 2 or scope == 3 then take_key(unique, window, id) end
    if delay == 0 then
      place().add(id, route, true)
    else
      redis.call('ZADD', due, int(after(now_ms(), delay)), id)
    end
  else
    local m = read_meta(redis.call('HGET', meta, id))
    m.attempts = m.attempts + 1
    fail_meta(m, m.attempts, took, err)
    write_meta(meta, id, m)
    extras = 1
    if action == 'bury' then
      ends().bury(id, route, err)
    else
      redis.call('ZADD', due, int(after(now_ms(), delay)), id)
    end
  end
  redis.call('HDEL', held, id)
  redis.call('HDEL', progress, id)
  if limits then limits.count(route, -1) end
end

-- Makes due jobs ready, and answers when the next one is.
local function promote()
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
  if not head or tonumber(head) > now_ms() then return tonumber(head) end
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', int(now_ms()), 'LIMIT', 0, 500)
  local stored = redis.call('HMGET', body, unpack(ids))
  for i = 1, #ids do
    place().add(ids[i], route_of(stored[i]), false)
  end
  place().flush()
  redis.call('ZREM', due, unpack(ids))
  return tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
end

local ids, bodies, marks, taken = {}, {}, {'@', seq}, 0
local drained = false -- nothing is ready any more
local staged = false -- there are jobs of flows among them
local turns = {} -- how many of them are each tenant's, while that is bounded

-- Hands out a job that may be more than plain.
local function hand_out(id, route, stored)
  taken = taken + 1
  ids[taken] = id
  bodies[taken] = stored
  marks[2 * taken + 1] = id
  marks[2 * taken + 2] = seq .. ' ' .. route
  local scope = scope_of(route)
  if scope == 2 or scope == 3 then
    free_key(unique, window, id)
  end
  staged = staged or is_flow(route)
  if limits then limits.started(route) end
end

-- Sets the clock of each priority to the score of the job taken last.
local function tick(found, count)
  local edges = redis.call('ZMSCORE', ready, found[1], found[count])
  local last = math.floor(edges[2] / BAND)
  redis.call('HSET', clock, '@' .. last, int(math.floor(edges[2] % BAND)))
  if tonumber(edges[1]) >= last * BAND then return end
  local scores = redis.call('ZMSCORE', ready, unpack(found))
  for i = count - 1, 1, -1 do
    local priority = math.floor(scores[i] / BAND)
    if priority < last then
      redis.call('HSET', clock, '@' .. priority, int(math.floor(scores[i] % BAND)))
      last = priority
    end
  end
end

-- Counts a job that a tenant gets, and answers whether it may.
local function allowed(tenant)
  local n = (turns[tenant] or 0) + 1
  if n > each then return false end
  turns[tenant] = n
  return true
end

-- The tenant of a job, in half the time that route_of takes.
local function quick_tenant(text)
  local a, b, c = string.byte(text, 3, 5)
  return c and string.sub(text, 6, 100 * a + 10 * b + c - 5323) or ''
end

-- Hands out ready jobs, up to n or the first one of a tenant that has enough: what
-- is behind that must not overtake it. What is held back is parked on the way. It
-- answers whether another round may hand out more.
local function take(n)
  local found = redis.call('ZRANGE', ready, 0, n - 1)
  local stored = #found > 0 and redis.call('HMGET', body, unpack(found)) or found
  local count = #found
  for i = 1, #found do
    local id, text = found[i], stored[i] or ''
    local route = (limits or string.byte(text, 2) ~= 48) and route_of(text) -- no flags: a plain job
    local group = limits and limits.gate(route, text, nil)
    if group then
      limits.park(group, id)
    elseif each > 0 and not allowed(quick_tenant(text)) then
      count = i - 1
      break
    elseif route then
      hand_out(id, route, text)
    else
      taken = taken + 1
      ids[taken] = id
      bodies[taken] = text
      marks[2 * taken + 1] = id
      marks[2 * taken + 2] = seq
    end
  end
  if count < n and count == #found then
    drained = true
    redis.call('DEL', ready, clock) -- nobody waits: every tenant starts equal again
  elseif count > 0 then
    tick(found, count)
    redis.call('ZREMRANGEBYRANK', ready, 0, count - 1)
  end
  return limits and count == #found and not drained
end

local next_at = nil
if holds[1] == seq then
  local all = redis.call('HGETALL', held)
  for i = 1, #all, 2 do
    if all[i] ~= '@' and string.match(all[i + 1], '^%d+') == seq then
      ids[#ids + 1] = all[i]
    end
  end
  if #ids > 0 then bodies = redis.call('HMGET', body, unpack(ids)) end
  staged = #ids > 0 and redis.call('EXISTS', flow) == 1
  next_at = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
else
  if finished > 0 then finish() end
  local at = 7 + finished
  for i = at, at + 7 * settled - 1, 7 do
    settle(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5], ARGV[i + 6])
  end
  if places then places.flush() end
  if flows_wait or enders and enders.flows then
    local flows = ends().flower()
    flows.work(1000)
    places.flush()
    flows_wait = flows.more
    if flows.told then extras = 1 end
  end
  for i = at + 7 * settled, #ARGV, 2 do
    if redis.call('HEXISTS', held, ARGV[i]) == 1 then
      redis.call('HSET', progress, ARGV[i], ARGV[i + 1])
    end
  end
  next_at = promote()
  if limits then
    limits.flush() -- before the limits are asked
    want = math.min(want, (limits.queue()))
    if want > 0 and redis.call('EXISTS', open) == 1 then
      local share = want
      if redis.call('EXISTS', ready) == 1 then share = math.ceil(want / 2) end
      if each > 0 then share = math.min(share, each) end
      limits.draw(share, body, function(id, route, stored)
        allowed(tenant_of(route))
        hand_out(id, route, stored)
      end)
    end
  end
  for _ = 1, 5 do
    if want <= taken or not take(want - taken) then break end
  end
  if limits then limits.flush() end
  redis.call('HSET', held, unpack(marks))
end

local left = drained and 0 or redis.call('ZCARD', ready)
if flows_wait then left = left + 1 end
if limits then
  left = left + redis.call('ZCOUNT', open, '-inf', int(now_ms()))
  local free, at = limits.queue()
  if free < 1 then
    left = 0
    if at then next_at = math.min(next_at or at, at) end
  end
  local gate = redis.call('ZRANGEBYSCORE', open, '(' .. int(now_ms()), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if gate then next_at = math.min(next_at or tonumber(gate), tonumber(gate)) end
end
if left > 0 then wake_one(wake) end

local metas = extras > 0 and #ids > 0 and redis.call('HMGET', meta, unpack(ids))
local answer = {'ok', left, next_at and math.max(0, next_at - now_ms()) or -1, (metas and 1 or 0) + (staged and 2 or 0), 0}
local n = 5
if extras > 0 then
  each_cancelled(cancel, held, function(id, told)
    if told ~= '' then return end
    redis.call('HSET', cancel, id, 'told')
    answer[5] = answer[5] + 1
    n = n + 1
    answer[n] = id
  end)
end
local since = staged and flow_since(flow)
for i = 1, #ids do
  answer[n + 1] = ids[i]
  answer[n + 2] = bodies[i] or ''
  n = n + 2
  if metas then
    n = n + 1
    answer[n] = metas[i] and short_meta(metas[i]) or ''
  end
  if staged then
    n = n + 1
    answer[n] = since(ids[i])
  end
end
return answer
