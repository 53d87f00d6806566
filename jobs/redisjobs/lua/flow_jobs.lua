-- flow_jobs reads a page of the jobs of a stage.
--
-- KEYS: flow
-- ARGV: name stage offset limit
-- returns: {{id letter kind text}...}, flat
-- flags: no-writes allow-oom
-- include: clock route flow
local flow = KEYS[1]
local name, stage, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local f, answer = flow_load(flow, name), {}
if not f or stage < 0 or stage >= #f.c or limit < 1 then return answer end
local first = 0
for i = 1, stage do first = first + f.c[i][1] end
local ids = flow_ids(f, name, first + offset, math.min(limit, f.c[stage + 1][1] - offset))
if #ids == 0 then return answer end
local values = redis.call('HMGET', flow, unpack(ids))
for i = 1, #ids do
  local letter, kind = string.sub(values[i] or 'w', 1, 1), flow_kind(values[i] or 'w')
  answer[#answer + 1] = ids[i]
  answer[#answer + 1] = letter
  answer[#answer + 1] = kind
  answer[#answer + 1] = (letter == 'd' or letter == 'f') and string.sub(values[i], #kind + 3) or ''
end
return answer
