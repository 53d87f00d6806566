-- part_clock: the server's clock.
--
-- KEYS: none
-- ARGV: none
-- returns: now_ms, int, after, due_at

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

-- When a delay from now is over for certain: now is rounded down.
local function after(now, ms)
  if ms <= 0 then return now end
  return now + ms + 1
end

-- When a job is due: "" is now, "+ms" after a delay, else ms since 1970.
local function due_at(now, due)
  if due == '' then return now end
  if string.sub(due, 1, 1) == '+' then return after(now, tonumber(due)) end
  return tonumber(due)
end
