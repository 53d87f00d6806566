-- part_schedule: where the ticks of stored schedules stand.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: PAUSED, is_paused, move, stale
--
-- The score of a stored schedule in the set "ticks" is the instant of its next
-- tick, or when its claim lapses; the tick itself is then in the hash "claims".
-- A paused schedule has the score PAUSED. One that is in code is in the set
-- only while it is paused.
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
