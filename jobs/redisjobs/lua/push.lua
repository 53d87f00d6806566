-- push stores new jobs. A full server refuses it.
--
-- KEYS: ready due body clock unique window wake control dead done
-- ARGV: max_depth {id stored due key window}...
-- returns: {holder...}: per job "" or the id of the job that has its key, "!" before it if that got the body; or "full"
-- include: clock route place store
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local dead, done = KEYS[9], KEYS[10]
local max_depth = ARGV[1]

if max_depth ~= '0' then
  local unfinished = redis.call('HLEN', body) - redis.call('ZCARD', dead) - redis.call('ZCARD', done)
  if unfinished + (#ARGV - 1) / 5 > tonumber(max_depth) then
    return 'full'
  end
end
-- One plain job is the common case.
if #ARGV == 6 and ARGV[4] == '' and ARGV[5] == '' and redis.call('HEXISTS', control, 'weights') == 0 then
  if redis.call('HSETNX', body, ARGV[2], ARGV[3]) == 1 then
    local route = route_of(ARGV[3])
    local priority = string.sub(route, 1, 1)
    local field = priority .. string.sub(route, 6)
    local times = redis.call('HMGET', clock, '@' .. priority, field)
    local score = math.max(tonumber(times[1] or '0'), tonumber(times[2] or '0')) + UNIT
    redis.call('ZADD', ready, string.format('%.0f', tonumber(priority) * BAND + score), ARGV[2])
    redis.call('HSET', clock, field, string.format('%.0f', score))
    wake_one(wake)
  end
  return {''}
end
local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control}
local answers = store(k, ARGV, 2)
return answers
