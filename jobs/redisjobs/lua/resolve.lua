-- resolve requeues or deletes dead jobs. A requeued job has all its attempts
-- before it and no unique key.
--
-- KEYS: ready body meta clock wake dead
-- ARGV: how(requeue|delete) {id}...
-- returns: how many were dead
-- flags: allow-oom
-- include: clock place
local ready, body, meta = KEYS[1], KEYS[2], KEYS[3]
local clock, wake, dead = KEYS[4], KEYS[5], KEYS[6]
local how = ARGV[1]

local place, found, seen = placer(ready, clock), {}, {}
for i = 2, #ARGV do
  local id = ARGV[i]
  if not seen[id] and redis.call('ZSCORE', dead, id) then
    found[#found + 1], seen[id] = id, true
    if how == 'requeue' then
      place.add(id .. ' ' .. redis.call('HGET', meta, '@' .. id), false)
    else
      redis.call('HDEL', body, id)
    end
  end
end
if place.flush() > 0 then
  wake_one(wake)
end
if #found > 0 then
  redis.call('ZREM', dead, unpack(found))
  for i = 1, #found do
    redis.call('HDEL', meta, found[i], '@' .. found[i])
  end
end
return #found
