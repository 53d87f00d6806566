-- schedule_drop removes schedules with all that is known of them. Of one in
-- code the instant it had come to stays, behind "x", for processes that still
-- run it, see fire.
--
-- KEYS: schedules ticks claims cron
-- ARGV: {name}...
-- returns: {how many there were}
-- flags: allow-oom
local schedules, ticks, claims, cron = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local found = 0
for i = 1, #ARGV do
  local name = ARGV[i]
  found = found + redis.call('HDEL', schedules, name)
  redis.call('ZREM', ticks, name)
  redis.call('HDEL', claims, name)
  redis.call('HDEL', cron, name .. ' ')
  local at = redis.call('HGET', cron, name)
  if at and tonumber(at) then redis.call('HSET', cron, name, 'x' .. at) end
end
return {found}
