-- schedule_find reads schedules.
--
-- KEYS: schedules ticks cron
-- ARGV: {name}...
-- returns: {data or "", score or "", last tick or "", ...}
-- flags: no-writes allow-oom
local schedules, ticks, cron = KEYS[1], KEYS[2], KEYS[3]

local answer = {}
for i = 1, #ARGV do
  local name = ARGV[i]
  answer[#answer + 1] = redis.call('HGET', schedules, name) or ''
  answer[#answer + 1] = redis.call('ZSCORE', ticks, name) or ''
  answer[#answer + 1] = redis.call('HGET', cron, name) or ''
end
return answer
