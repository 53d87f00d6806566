-- part_flow: jobs in stages.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: flow_ids, flow_load, flow_since, flower
--
-- The hash flow has the header of each flow, JSON, under its id: n name, t
-- tenant, p policy, k keep ms, s state, g stage, c {total, done, failed} of each
-- stage, w jobs stored, r the next of the stage to be pushed, e the state that
-- it is being ended with, x the next of the stage to be cancelled then, b bytes
-- of the stage's results, a started ms, z ended ms, i the job that failed first,
-- m its error, u it is in flowdue, v how far clean came, q ms when the stage
-- began. And it has each job of a flow under its id: "w<kind> <due> <stored>" while
-- it waits for its stage, "p<kind>" once it is pushed, "p<kind> <due ms>" if it is
-- due later, then "d<kind> <result>" or "f<kind> <error>".
--
-- The sorted set flows has all flows by the time they began, flowend those that
-- have ended (or are not whole) by the time to forget them, and flowdue those of
-- whose stage one call could not push or cancel all jobs; the next call goes on.
local MAX_RESULTS = 16777216

-- The ids of n jobs from a position on, counted through all stages.
local function flow_ids(f, name, from, n)
  local ids, first = {}, 0
  for stage = 1, #f.c do
    local total = f.c[stage][1]
    for i = math.max(from - first, 0), math.min(from + n - first, total) - 1 do
      ids[#ids + 1] = name .. '~' .. int(stage - 1) .. '.' .. int(i)
    end
    first = first + total
  end
  return ids, first
end

local function flow_load(flow, name)
  local text = redis.call('HGET', flow, name)
  return text and cjson.decode(text)
end

local function flow_kind(value)
  return string.sub(value, 2, (string.find(value, ' ', 1, true) or #value + 1) - 1)
end

-- Answers since when a job of a flow could have run, in ms, or "".
local function flow_since(flow)
  local began = {}
  return function(id)
    local name, stage = string.match(id, '^(.*)~(%d+)%.%d+$')
    if not name then return '' end
    local value = redis.call('HGET', flow, id)
    if not value or string.sub(value, 1, 1) ~= 'p' then return '' end
    local due = string.match(value, ' (%d+)$')
    if due then return due end
    if began[name] == nil then
      local f = flow_load(flow, name)
      began[name] = f and f.s == 'running' and f.g == tonumber(stage) and f.q and int(f.q) or ''
    end
    return began[name]
  end
end

-- k has the keys flow, flowdue, flowend, body and due; see canceller for cancel.
local function flower(k, place, cancel)
  local self, known, changed, todo, told = {}, {}, {}, {}, false

  local function load(name)
    if known[name] == nil then known[name] = flow_load(k.flow, name) or false end
    return known[name]
  end

  -- The flow of a job of the present stage, with what is stored of the job.
  local function find(id)
    local name, stage = string.match(id, '^(.*)~(%d+)%.%d+$')
    local f = name and load(name)
    if not f or f.s ~= 'running' or tonumber(stage) ~= f.g then return end
    return f, redis.call('HGET', k.flow, id), name
  end

  local function change(name, f)
    known[name] = f
    if not changed[name] then
      changed[name] = true
      todo[#todo + 1] = name
    end
  end
  self.change = change

  local function settle(id, letter, text)
    local f, value, name = find(id)
    if not value or string.sub(value, 1, 1) ~= 'p' then return end
    local count = f.c[f.g + 1]
    if letter == 'd' and #text > 0 and f.b + #text > MAX_RESULTS then
      letter, text = 'f', 'the results of its stage are too large'
    end
    if letter == 'd' then
      f.b = f.b + #text
      count[2] = count[2] + 1
    else
      count[3] = count[3] + 1
      if not f.i and not f.e then f.i, f.m = id, text end
      if f.p == '' and not f.e then f.e, f.x = 'failed', 0 end
    end
    redis.call('HSET', k.flow, id, letter .. flow_kind(value) .. ' ' .. text)
    change(name, f)
  end

  -- A job ended.
  function self.finished(id, value) settle(id, 'd', value) end
  function self.failed(id, why) settle(id, 'f', why) end

  -- A dead job is requeued: its stage waits for it again.
  function self.requeued(id)
    local f, value, name = find(id)
    if not value or f.e or string.sub(value, 1, 1) ~= 'f' then return end
    f.c[f.g + 1][3] = f.c[f.g + 1][3] - 1
    if f.i == id then f.i, f.m = nil, nil end
    redis.call('HSET', k.flow, id, 'p' .. flow_kind(value))
    change(name, f)
  end

  -- Pushes a job that waited; nil if a job of its id is there already, else when
  -- it is due.
  local function push(id, value)
    local first = string.find(value, ' ', 1, true)
    local second = string.find(value, ' ', first + 1, true)
    local due, stored = string.sub(value, first + 1, second - 1), string.sub(value, second + 1)
    local at = due_at(now_ms(), due)
    if redis.call('HSETNX', k.body, id, stored) == 0 then return nil end
    if at > now_ms() then
      redis.call('ZADD', k.due, int(at), id)
    else
      place.add(id, route_of(stored), false)
    end
    return at
  end

  -- The ids and values of up to n jobs of the present stage.
  local function slice(name, f, from, n)
    n = math.min(n, f.c[f.g + 1][1] - from, 500)
    local first = 0
    for stage = 1, f.g do first = first + f.c[stage][1] end
    local ids = flow_ids(f, name, first + from, n)
    return ids, redis.call('HMGET', k.flow, unpack(ids))
  end

  local function release(name, f, n)
    local ids, values = slice(name, f, f.r, n)
    local fields = {}
    for i = 1, #ids do
      fields[2 * i - 1], fields[2 * i] = ids[i], 'p' .. flow_kind(values[i])
      local at = push(ids[i], values[i])
      if at and at > now_ms() then
        fields[2 * i] = fields[2 * i] .. ' ' .. int(at)
      elseif not at then
        fields[2 * i] = 'f' .. flow_kind(values[i]) .. ' a job of this id existed'
        f.c[f.g + 1][3] = f.c[f.g + 1][3] + 1
      end
    end
    redis.call('HSET', k.flow, unpack(fields))
    f.r = f.r + #ids
    return #ids
  end

  local function sweep(name, f, n)
    local ids, values = slice(name, f, f.x, n)
    f.x = f.x + #ids
    for i = 1, #ids do
      local letter = string.sub(values[i], 1, 1)
      if letter == 'w' then
        redis.call('HSET', k.flow, ids[i], 'f' .. flow_kind(values[i]) .. ' cancelled')
        f.c[f.g + 1][3] = f.c[f.g + 1][3] + 1
      elseif letter == 'p' and cancel(ids[i]) == 'told' then
        told = true
      end
    end
    return #ids
  end

  local function end_as(name, f, state)
    f.s, f.z = state, now_ms()
    redis.call('ZADD', k.flowend, int(now_ms() + f.k), name)
    local failure = name .. '~failure'
    local value = redis.call('HGET', k.flow, failure)
    if value then
      redis.call('HDEL', k.flow, failure)
      if state == 'failed' then push(failure, value) end
    end
  end

  -- All jobs of the stage have ended.
  local function advance(name, f)
    if f.e == 'cancelled' then
      end_as(name, f, 'cancelled')
    elseif f.c[f.g + 1][3] > 0 and f.p ~= 'ignore' then
      end_as(name, f, 'failed')
    elseif f.g + 1 == #f.c then
      end_as(name, f, 'done')
    else
      f.g, f.r, f.b, f.q = f.g + 1, 0, 0, now_ms()
    end
  end

  -- Does what is to be done for a flow, for up to n jobs, and answers for how
  -- many it did it.
  local function step(name, f, n)
    local did = 0
    while f.s == 'running' and did < n do
      local count = f.c[f.g + 1]
      if f.e and f.x < count[1] then
        did = did + sweep(name, f, n - did)
      elseif not f.e and f.r < count[1] then
        did = did + release(name, f, n - did)
      elseif count[2] + count[3] == count[1] then
        advance(name, f)
        did = did + 1
      else
        break
      end
    end
    local count = f.c[f.g + 1]
    if f.s == 'running' and ((f.e and f.x or f.r) < count[1] or count[2] + count[3] == count[1]) then
      redis.call('ZADD', k.flowdue, int(now_ms()), name)
      f.u = 1
    elseif f.u then
      redis.call('ZREM', k.flowdue, name)
      f.u = nil
    end
    return did
  end

  -- Does what the ends of jobs led to, and what earlier calls left, for up to n
  -- jobs, and stores the flows. Place must be flushed before and after it.
  function self.work(n)
    for i = 1, #todo do -- cancel may append to it what is in it
      n = n - step(todo[i], known[todo[i]], n)
    end
    if n > 0 then
      local due = redis.call('ZRANGE', k.flowdue, 0, 9)
      for i = 1, #due do
        local f = load(due[i])
        if not f then
          redis.call('ZREM', k.flowdue, due[i])
        elseif n > 0 then
          change(due[i], f)
          n = n - step(due[i], f, n)
        end
      end
    end
    for i = 1, #todo do
      redis.call('HSET', k.flow, todo[i], cjson.encode(known[todo[i]]))
    end
    changed, todo = {}, {}
    self.more = redis.call('EXISTS', k.flowdue) == 1
    self.told = told
    if told then -- the channel is what all keys of the queue begin with
      redis.call('PUBLISH', string.sub(k.flow, 1, -6), 'cancel')
    end
  end

  return self
end
