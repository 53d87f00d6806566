-- list reads a page of a sorted set of jobs.
--
-- KEYS: set body meta
-- ARGV: first last order(asc|desc)
-- returns: {{id score body meta}...}, flat
-- flags: no-writes allow-oom
local set, body, meta = KEYS[1], KEYS[2], KEYS[3]
local first, last, order = ARGV[1], ARGV[2], ARGV[3]

local command = order == 'desc' and 'ZREVRANGE' or 'ZRANGE'
local page, answer = redis.call(command, set, first, last, 'WITHSCORES'), {}
for i = 1, #page, 2 do
  local id = string.match(page[i], '^%S+')
  answer[#answer + 1] = id
  answer[#answer + 1] = page[i + 1]
  answer[#answer + 1] = redis.call('HGET', body, id) or ''
  answer[#answer + 1] = redis.call('HGET', meta, id) or ''
end
return answer
