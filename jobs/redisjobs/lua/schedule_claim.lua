-- schedule_claim hands out due schedules and keeps them from others for a
-- while: the score moves, the tick goes into the hash of claims, unless it is
-- there from a claim that has lapsed.
--
-- KEYS: schedules ticks claims
-- ARGV: limit hold_ms
-- returns: {now ms, ms to the next or -1, name, tick ms, data, ...}
-- include: clock schedule
local schedules, ticks, claims = KEYS[1], KEYS[2], KEYS[3]
local limit, hold_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local now, bytes = now_ms(), 0
local answer = {int(now), ''}
local due = redis.call('ZRANGEBYSCORE', ticks, 0, int(now), 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #due, 2 do
  local name = due[i]
  local data = redis.call('HGET', schedules, name)
  if not data then
    redis.call('ZREM', ticks, name) -- cannot be; it would be claimed for ever
  else
    local at = redis.call('HGET', claims, name)
    if not at then
      at = int(tonumber(due[i + 1]))
      redis.call('HSET', claims, name, at)
    end
    redis.call('ZADD', ticks, int(now + hold_ms), name)
    answer[#answer + 1] = name
    answer[#answer + 1] = at
    answer[#answer + 1] = data
    bytes = bytes + #data
    if bytes > 1048576 then break end
  end
end
local head = redis.call('ZRANGEBYSCORE', ticks, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
answer[2] = head and int(math.max(tonumber(head) - now, 0)) or '-1'
return answer
