-- part_schedule: what is stored of schedules, and where their ticks stand.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: PAUSED, is_paused, move, stale, split, join
--
-- The score of a stored schedule in the set "ticks" is the instant of its next
-- tick, or when its claim lapses; the tick itself is then in the hash "claims".
-- A paused schedule has the score PAUSED. One that is in code is in the set
-- only while it is paused.
--
-- The instant of the tick that fired last, in seconds since 1970, is the first
-- member of what the hash "schedules" has: {"l":1772000000,"s":... A field of
-- its own in another hash would take five times as much, and earlier versions
-- pass over a member that they do not know.
local PAUSED = -1

local function is_paused(ticks, name)
  return tonumber(redis.call('ZSCORE', ticks, name) or '0') < 0
end

-- Moves a schedule to an instant and ends its claim.
local function move(ticks, claims, name, at)
  redis.call('ZADD', ticks, int(at), name)
  redis.call('HDEL', claims, name)
end

-- Tells whether a first tick was computed by a clock too far from this one.
local function stale(from, first, now)
  return from ~= '' and (tonumber(from) > now or tonumber(first) <= now)
end

-- Takes what is stored apart: the data, and the last tick or "".
local function split(stored)
  local last, rest = string.match(stored, '^{"l":(%d+),()')
  if not last then return stored, '' end
  return '{' .. string.sub(stored, rest), last
end

local function join(data, last)
  if last == '' then return data end
  return '{"l":' .. last .. ',' .. string.sub(data, 2)
end
