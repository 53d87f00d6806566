-- stats counts jobs by state. A body belongs to exactly one state, so the
-- running jobs are what remains. MULTI would be refused by a full server.
--
-- KEYS: ready due body dead
-- ARGV: none
-- returns: {ready, scheduled, running, dead}
-- flags: no-writes allow-oom
local ready, due, body, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local waiting, scheduled, buried = redis.call('ZCARD', ready), redis.call('ZCARD', due), redis.call('ZCARD', dead)
return {waiting, scheduled, redis.call('HLEN', body) - waiting - scheduled - buried, buried}
