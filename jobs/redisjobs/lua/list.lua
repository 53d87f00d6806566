-- list reads a page of a sorted set of jobs: all of their bodies and results, whatever their size.
--
-- KEYS: set body meta result
-- ARGV: first last order(asc|desc) parked(0|1)
-- returns: {{id score stored meta result}...}, flat
-- flags: no-writes allow-oom
-- include: limit
local set, body, meta, result = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local first, last, order, parked = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'

local command = order == 'desc' and 'ZREVRANGE' or 'ZRANGE'
local page, answer = redis.call(command, set, first, last, 'WITHSCORES'), {}
for i = 1, #page, 2 do
  local id = page[i]
  if parked then id = string.sub(id, park_end(id) + 1) end
  answer[#answer + 1] = id
  answer[#answer + 1] = page[i + 1]
  answer[#answer + 1] = redis.call('HGET', body, id) or ''
  answer[#answer + 1] = redis.call('HGET', meta, id) or ''
  answer[#answer + 1] = redis.call('HGET', result, id) or ''
end
return answer
