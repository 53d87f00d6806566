-- part_limit: pauses and limits.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: limiter, group_of, park_end
--
-- The control hash has "@", the letters of what is in force (p the queue is
-- paused, t a tenant is, k a kind is, q the queue is limited, l a tenant is, r
-- one of the limits is on running jobs, w a tenant has a weight, x jobs were
-- parked when something was changed last), and one field each: "P<tenant>",
-- "K<kind>" for pauses, "Q", "E" (each tenant), "T<tenant>" for limits,
-- "W<tenant>" for weights. A limit is "<running> <rate> <per ms> <burst>". While
-- nothing is in force a job costs nothing here.
--
-- A job whose tenant or kind is held back when its turn comes is parked: in the
-- sorted set parked, by group and order, all scores 0, and with its member under
-- its id in parkedat. A group is "t" or "k", three digits of length and a name.
-- The sorted set open has the groups that may go on, by the time from which they
-- may. Parked jobs go to workers ahead of ready ones of their group, so that a
-- tenant's order is kept, and take half of a call at most while others wait.
--
-- Rates are the generic cell rate algorithm (ITU-T I.371): the sorted set rate
-- has the theoretical arrival time of each limited group, in ms. One that is
-- over says nothing, and is removed. The member "@" counts parked jobs, downwards
-- from 0.
local function group_of(letter, name)
  return letter .. string.format('%03d', #name) .. name
end

local function name_of(group)
  return string.sub(group, 5)
end

-- Where the id begins in a member of parked.
local function park_end(member)
  return 4 + tonumber(string.sub(member, 2, 4)) + 16
end

local function parse_limit(text)
  if not text then return nil end
  local running, rate, per, burst = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$')
  local l = {running = tonumber(running)}
  if rate ~= '0' then
    l.gap = tonumber(per) / tonumber(rate)
    l.burst = l.gap * tonumber(burst)
  end
  return l
end

-- k has the keys control, run, rate, parked, parkedat and open.
local function limiter(k, mode, now)
  local on = {}
  for c in string.gmatch(mode, '.') do on[c] = true end
  local self = {}
  local groups, runs = {}, {}

  -- How many more of a limit may start, and when the next may if none.
  local function allowance(field, limit, running)
    local n, at = math.huge, nil
    if limit.running > 0 then
      n = limit.running - running
    end
    if limit.gap then
      local tat = math.max(tonumber(redis.call('ZSCORE', k.rate, field) or '0'), now)
      local free = math.floor((now + limit.burst - tat) / limit.gap + 1e-6)
      if free < 1 then
        at = math.ceil(tat - limit.burst + limit.gap)
      end
      n = math.min(n, free)
    end
    return math.max(n, 0), at
  end

  local function running(field)
    return tonumber(redis.call('HGET', k.run, field) or '0') + (runs[field] or 0)
  end

  -- Counts n jobs that start (or, negative, end) against a limit.
  local function start(field, limit, n)
    if limit and limit.gap and n > 0 then
      if not self.swept then
        self.swept = true
        redis.call('ZREMRANGEBYSCORE', k.rate, 0, int(now))
      end
      local tat = math.max(tonumber(redis.call('ZSCORE', k.rate, field) or '0'), now)
      redis.call('ZADD', k.rate, string.format('%.3f', tat + n * limit.gap), field)
    end
  end

  -- What is known of a tenant, read once a call.
  local function tenant_info(tenant)
    local g = groups[tenant]
    if g then return g end
    local fields = redis.call('HMGET', k.control, 'P' .. tenant, 'T' .. tenant, 'E')
    g = {paused = fields[1], limit = parse_limit(fields[2] or fields[3]), group = group_of('t', tenant)}
    g.waits = redis.call('ZLEXCOUNT', k.parked, '[' .. g.group, '(' .. g.group .. ':') > 0
    g.left = math.huge
    if g.limit then
      g.left = allowance(g.group, g.limit, running(g.group))
    end
    groups[tenant] = g
    return g
  end

  local function open_at(group, at)
    redis.call('ZADD', k.open, int(at), group)
  end

  -- How many jobs the queue's own limit lets start, and when the next may.
  function self.queue()
    if on.p then return 0, nil end
    if not on.q then return math.huge, nil end
    self.whole = self.whole or parse_limit(redis.call('HGET', k.control, 'Q'))
    if not self.whole then return math.huge, nil end
    return allowance('q', self.whole, running('q'))
  end

  -- The group that holds a job back, or nil. From is the group that it comes
  -- from, if it was parked.
  function self.gate(route, stored, from)
    if on.t or on.l or on.x then
      local g = tenant_info(tenant_of(route))
      if g.paused or g.left < 1 or (g.waits and from ~= g.group) then
        if not g.paused and g.limit then
          local _, at = allowance(g.group, g.limit, running(g.group))
          if at then open_at(g.group, at) end
        end
        return g.group
      end
    end
    if on.k then
      local kind = kind_of(stored, route)
      if kind and redis.call('HEXISTS', k.control, 'K' .. kind) == 1 then
        return group_of('k', kind)
      end
    end
    return nil
  end

  function self.park(group, id)
    local seq = redis.call('ZINCRBY', k.rate, -1, '@')
    local member = group .. string.format('%016.0f', -seq) .. id
    redis.call('ZADD', k.parked, 0, member)
    redis.call('HSET', k.parkedat, id, member)
    if string.sub(group, 1, 1) == 't' and groups[name_of(group)] then
      groups[name_of(group)].waits = true
    end
  end

  -- A job was handed out.
  function self.started(route)
    if on.l then
      local g = tenant_info(tenant_of(route))
      if g.limit then
        g.left = g.left - 1
        start(g.group, g.limit, 1)
      end
    end
    if on.q then start('q', self.whole, 1) end
    self.count(route, 1)
  end

  -- A job left its worker, or came to one. Its tenant may then have room.
  function self.count(route, n)
    if not on.r then return end
    local field = group_of('t', tenant_of(route))
    runs[field] = (runs[field] or 0) + n
    runs.q = (runs.q or 0) + n
    if n < 0 and (on.l or on.t) then
      self.freed = self.freed or {}
      self.freed[field] = true
    end
  end

  -- Writes what count gathered.
  function self.flush()
    for field, n in pairs(runs) do
      if n ~= 0 and redis.call('HINCRBY', k.run, field, n) <= 0 then
        redis.call('HDEL', k.run, field)
      end
    end
    runs = {}
    if self.freed and redis.call('EXISTS', k.parked) == 1 then
      for group in pairs(self.freed) do
        if redis.call('ZLEXCOUNT', k.parked, '[' .. group, '(' .. group .. ':') > 0 then
          open_at(group, 0)
        end
      end
    end
    self.freed = nil
  end

  -- Hands parked jobs of open groups to take(id, route, stored), up to n.
  function self.draw(n, body, take)
    local due = redis.call('ZRANGEBYSCORE', k.open, '-inf', int(now), 'LIMIT', 0, 20)
    for i = 1, #due do
      if n < 1 then return end
      local group = due[i]
      local members = redis.call('ZRANGEBYLEX', k.parked, '[' .. group, '(' .. group .. ':', 'LIMIT', 0, math.min(n, 100))
      local stuck = false
      for m = 1, #members do
        local id = string.sub(members[m], park_end(members[m]) + 1)
        local stored = redis.call('HGET', body, id) or ''
        local route = route_of(stored)
        local blocked = self.gate(route, stored, group)
        if blocked == group then
          stuck = true
          break
        end
        redis.call('ZREM', k.parked, members[m])
        redis.call('HDEL', k.parkedat, id)
        if blocked then
          self.park(blocked, id)
        else
          take(id, route, stored)
          n = n - 1
        end
      end
      local rest = redis.call('ZLEXCOUNT', k.parked, '[' .. group, '(' .. group .. ':')
      if rest == 0 then
        redis.call('ZREM', k.open, group)
        local g = string.sub(group, 1, 1) == 't' and groups[name_of(group)]
        if g then g.waits = false end
      elseif not stuck then
        redis.call('ZADD', k.open, int(now), group) -- behind the others that are open
      else
        local at = redis.call('ZSCORE', k.open, group)
        if at and tonumber(at) <= now then
          redis.call('ZREM', k.open, group) -- the end of a running job opens it again, or its resume
        end
      end
    end
  end

  return self
end
