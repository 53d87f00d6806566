-- push stores new jobs of any kind. A full server refuses it.
--
-- KEYS: ready due body clock unique window wake control parked parkedat dead done
-- ARGV: max_depth {id stored due key window}...
-- returns: {"full"} or {"ok", holder...}: per job "" or the id of the job that has its key, "!" before it if that got the body, "=" if the id is another tenant's
-- include: clock route turn place store
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, window = KEYS[4], KEYS[5], KEYS[6]
local wake, control = KEYS[7], KEYS[8]
local parked, parkedat = KEYS[9], KEYS[10]
local dead, done = KEYS[11], KEYS[12]
local max_depth = ARGV[1]

local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, window = window, wake = wake, control = control, parked = parked, parkedat = parkedat}

if max_depth ~= '0' then
  local room = max_depth - (redis.call('HLEN', body) - redis.call('ZCARD', dead) - redis.call('ZCARD', done))
  -- Counting is for when it matters: some may be stored already.
  if room < (#ARGV - 1) / 5 and count_new(k, ARGV, 2) > math.max(room, 0) then
    return {'full'}
  end
end
local answers = store(k, ARGV, 2)
table.insert(answers, 1, 'ok')
return answers
