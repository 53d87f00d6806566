-- part_turn: what decides whose turn it is, see part_place.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: BAND, UNIT, START, FRONT, long_field, weights_of, wake_one
--
-- Scores and times are whole numbers below 2^53. Scripts write them out by %d,
-- in full and at a quarter of what the server's own way of doing it costs.
local BAND = 17592186044416 -- 2^44: one priority's range of scores
local UNIT = 1000           -- virtual time of a job of weight 1
local START = 8000          -- where a clock begins
local FRONT = 8             -- so far before the clock stand jobs put in front, 128 a step

-- Redis keeps a hash of up to 512 short fields as a list and searches it from
-- its start. A long field, which is nobody's name, makes it a table. Making it
-- costs a third of a small script: only those that need it do.
local function long_field()
  return string.rep('-', 301)
end

-- The weights of tenants, or nil while all are 1.
local function weights_of(control)
  if redis.call('HEXISTS', control, 'weights') == 0 then return nil end
  return function(tenant)
    return tonumber(redis.call('HGET', control, 'W' .. tenant) or '1')
  end
end

-- One token wakes one worker; whoever leaves work behind puts it back.
local function wake_one(wake)
  if redis.call('LLEN', wake) == 0 then
    redis.call('LPUSH', wake, '1')
  end
end
