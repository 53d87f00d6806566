-- schedule_claim hands out due schedules and keeps them from others for a
-- while: the score moves, the tick goes into the hash of claims, unless it is
-- there from a claim that has lapsed.
--
-- KEYS: schedules ticks claims
-- ARGV: limit hold_ms
-- returns: {now ms, ms to the next or -1, name, tick ms, data, ...}
-- include: clock turn schedule
local schedules, ticks, claims = KEYS[1], KEYS[2], KEYS[3]
local limit, hold_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local now, bytes = now_ms(), 0
local answer, scores, claimed = {int(now), ''}, {}, {}
local due = redis.call('ZRANGEBYSCORE', ticks, 0, int(now), 'WITHSCORES', 'LIMIT', 0, limit)
local lapse = int(now + hold_ms)
local first, step = 1, 32 -- few at a time: what is read beyond the bound is in vain
while first < #due and bytes <= 1048576 do
  local names = {}
  for i = first, math.min(first + 2 * step, #due) - 1, 2 do
    names[#names + 1] = due[i]
  end
  local data, ats = redis.call('HMGET', schedules, unpack(names)), redis.call('HMGET', claims, unpack(names))
  for i = 1, #names do
    local name, at = names[i], ats[i]
    if not data[i] then
      redis.call('ZREM', ticks, name) -- cannot be; it would be claimed for ever
    else
      if not at then
        at = int(tonumber(due[first + 2 * i - 1]))
        claimed[#claimed + 1] = name
        claimed[#claimed + 1] = at
      end
      scores[#scores + 1] = lapse
      scores[#scores + 1] = name
      answer[#answer + 1] = name
      answer[#answer + 1] = at
      answer[#answer + 1] = (split(data[i]))
      bytes = bytes + #data[i]
      if bytes > 1048576 then break end
    end
  end
  first = first + 2 * step
end
if #claimed > 128 then
  claimed[#claimed + 1] = long_field()
  claimed[#claimed + 1] = ''
end
if #claimed > 0 then redis.call('HSET', claims, unpack(claimed)) end
if #scores > 0 then redis.call('ZADD', ticks, unpack(scores)) end
local head = redis.call('ZRANGEBYSCORE', ticks, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
answer[2] = head and int(math.max(tonumber(head) - now, 0)) or '-1'
return answer
