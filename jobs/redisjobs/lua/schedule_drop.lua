-- schedule_drop removes schedules with all that is known of them.
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
  redis.call('HDEL', cron, name, name .. ' ')
end
return {found}
