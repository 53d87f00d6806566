-- find looks jobs up.
--
-- KEYS: ready due body meta dead done result progress parkedat flow
-- ARGV: {id}...
-- returns: {{state at stored meta result progress since}...}, flat; state is "" for a job that does not exist
-- flags: no-writes allow-oom
-- include: clock route flow
local ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dead, done, result = KEYS[5], KEYS[6], KEYS[7]
local progress, parkedat, flow = KEYS[8], KEYS[9], KEYS[10]

local answer, since = {}, flow_since(flow)
for i = 1, #ARGV do
  local id = ARGV[i]
  local stored = redis.call('HGET', body, id)
  local state, at = '', ''
  if stored then
    if redis.call('ZSCORE', ready, id) then
      state = 'ready'
    elseif redis.call('HEXISTS', parkedat, id) == 1 then
      state = 'parked'
    else
      state, at = 'running', ''
      local sets = {scheduled = due, dead = dead, done = done}
      for name, set in pairs(sets) do
        local score = redis.call('ZSCORE', set, id)
        if score then state, at = name, score end
      end
    end
  end
  answer[#answer + 1] = state
  answer[#answer + 1] = at
  answer[#answer + 1] = stored or ''
  answer[#answer + 1] = redis.call('HGET', meta, id) or ''
  answer[#answer + 1] = redis.call('HGET', result, id) or ''
  answer[#answer + 1] = redis.call('HGET', progress, id) or ''
  answer[#answer + 1] = stored and since(id) or ''
end
return answer
