-- part_clock: the server's clock.
--
-- KEYS: none
-- ARGV: none
-- returns: now_ms, int

-- Milliseconds since 1970.
local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function int(n)
  return string.format('%.0f', n)
end
