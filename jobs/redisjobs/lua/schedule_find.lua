-- schedule_find reads schedules.
--
-- KEYS: schedules ticks cron
-- ARGV: {name}...
-- returns: {data or "", score or "", last tick that fired or "", ...}
-- flags: no-writes allow-oom
-- include: schedule
local schedules, ticks, cron = KEYS[1], KEYS[2], KEYS[3]

local answer = {}
for i = 1, #ARGV do
  local name = ARGV[i]
  local data, last = split(redis.call('HGET', schedules, name) or '')
  if last ~= '' then
    last = last .. '000'
  else
    local latest = redis.call('HMGET', cron, name .. ' ', name)
    last = latest[1] or latest[2] or ''
    if not tonumber(last) then last = '' end -- none has fired, or it was dropped
  end
  answer[#answer + 1] = data
  answer[#answer + 1] = redis.call('ZSCORE', ticks, name) or ''
  answer[#answer + 1] = last
end
return answer
