-- part_match: which jobs a filter selects.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: matcher
--
-- k has the keys ready, due, body, meta, dead, done and parkedat; f has state,
-- kind, tenant and text (a part of the last error), "" for any, and retried. What
-- it makes answers whether a job is in the state, whether it is like the rest,
-- and how many bytes it has read for that.
local function matcher(k, f)
  local self = {bytes = 0}
  local sets = {ready = k.ready, scheduled = k.due, dead = k.dead, done = k.done}

  function self.state(id)
    if sets[f.state] then return redis.call('ZSCORE', sets[f.state], id) end
    local parked = redis.call('HEXISTS', k.parkedat, id) == 1
    if f.state == 'parked' then return parked end
    if parked or redis.call('HEXISTS', k.body, id) == 0 then return false end
    for _, set in pairs(sets) do -- one that runs is in no set
      if redis.call('ZSCORE', set, id) then return false end
    end
    return true
  end

  function self.rest(id)
    if f.kind ~= '' or f.tenant ~= '' then
      local stored = redis.call('HGET', k.body, id) or ''
      self.bytes = self.bytes + #stored
      local route = route_of(stored)
      if f.tenant ~= '' and tenant_of(route) ~= f.tenant then return false end
      if f.kind ~= '' and kind_of(stored, route) ~= f.kind then return false end
    end
    if f.retried or f.text ~= '' then
      local m = read_meta(redis.call('HGET', k.meta, id))
      self.bytes = self.bytes + #m.texts
      if f.retried and m.attempts < (f.state == 'dead' and 2 or 1) then return false end
      if f.text ~= '' and not string.find(last_error(m), f.text, 1, true) then return false end
    end
    return true
  end

  return self
end
