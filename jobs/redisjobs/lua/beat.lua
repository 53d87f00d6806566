-- beat starts (join) or renews a lease and names one worker whose lease has
-- expired. A score of 0 marks a worker that is being reclaimed.
--
-- KEYS: lease
-- ARGV: worker ms join
-- returns: {"lost"} or {"ok", expired worker or ""}
-- flags: allow-oom
-- include: clock
local lease = KEYS[1]
local worker, ms, join = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local now = now_ms()
if join ~= '1' and tonumber(redis.call('ZSCORE', lease, worker) or '0') == 0 then
  return {'lost'}
end
redis.call('ZADD', lease, int(now + ms), worker)
local expired = redis.call('ZRANGEBYSCORE', lease, '-inf', int(now), 'LIMIT', 0, 1)
return {'ok', expired[1] or ''}
