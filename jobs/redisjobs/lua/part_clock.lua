-- part_clock: the server's clock.
--
-- KEYS: none
-- ARGV: none
-- returns: now_ms, int

local asked = nil

-- Milliseconds since 1970, the same in all of a call.
local function now_ms()
  if not asked then
    local t = redis.call('TIME')
    asked = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return asked
end

local function int(n)
  return string.format('%.0f', n)
end
