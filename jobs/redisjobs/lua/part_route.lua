-- part_route: what a stored job begins with.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: PLAIN, route_of, tenant_of, scope_of, is_flow, kind_of, held_route
--
-- A stored body is "<route><envelope>". A route is a digit for the priority (0
-- first), a hexadecimal digit of flags, three digits for the tenant's length,
-- and the tenant. The flags are a unique scope (0 none, 1 until done, 2 until
-- started, 3 replaceable, 4 for a window) plus 8 for a job of a workflow.
--
-- Envelopes begin with {"v":1,"kind":" and that is left out: what is stored
-- begins with the kind. Any other body is stored whole, behind "=".
local PLAIN = '20000' -- stands in for that of a body that somebody removed or overwrote

local function route_of(stored)
  local tenant = tonumber(string.sub(stored or '', 3, 5))
  if not tenant then return PLAIN end
  return string.sub(stored, 1, 5 + tenant)
end

local function tenant_of(route)
  return string.sub(route, 6)
end

local function scope_of(route)
  return tonumber(string.sub(route, 2, 2), 16) % 8
end

local function is_flow(route)
  return tonumber(string.sub(route, 2, 2), 16) >= 8
end

-- The kind of a stored job; nil if its body does not tell.
local function kind_of(stored, route)
  local first = #route + 1
  if string.byte(stored, first) == 61 then -- "="
    return string.match(stored, '^{"v":%d+,"kind":"([^"]+)"', first + 1)
  end
  return string.match(stored, '^([^"]+)"', first)
end

-- A held hash has id → "<seq of the exchange>", with "@<ms>" behind it once the
-- worker told since when its handler runs, and with " <route>" at the end for a
-- job with flags or while something is in force.
local function held_route(body, id, value)
  local at = string.find(value, ' ', 1, true)
  if at then return string.sub(value, at + 1) end
  return route_of(redis.call('HGET', body, id))
end
