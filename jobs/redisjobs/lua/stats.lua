-- stats counts jobs by state. A body belongs to exactly one state, so the
-- running jobs are what remains. MULTI would be refused by a full server.
--
-- KEYS: ready due body dead done parked
-- ARGV: none
-- returns: {ready, scheduled, parked, running, dead, done}
-- flags: no-writes allow-oom
local ready, due, body, dead, done, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local waiting, scheduled, held_back = redis.call('ZCARD', ready), redis.call('ZCARD', due), redis.call('ZCARD', parked)
local buried, kept = redis.call('ZCARD', dead), redis.call('ZCARD', done)
return {waiting, scheduled, held_back, redis.call('HLEN', body) - waiting - scheduled - held_back - buried - kept, buried, kept}
