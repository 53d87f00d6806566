-- part_route: what a stored job begins with.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: route_of, tenant_of, scope_of, is_flow, held_route
--
-- A stored body is "<route><envelope>". A route is a digit for the priority (0
-- first), a hexadecimal digit of flags, three digits for the tenant's length,
-- and the tenant. The flags are a unique scope (0 none, 1 until done, 2 until
-- started, 3 replaceable, 4 for a window) plus 8 for a job of a workflow.
local function route_of(stored)
  return string.sub(stored, 1, 5 + tonumber(string.sub(stored, 3, 5)))
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

-- A held hash has id → "<seq of the exchange> <route>".
local function held_route(value)
  return string.sub(value, string.find(value, ' ', 1, true) + 1)
end
