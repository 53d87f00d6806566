-- workers lists those that have a lease, those whose lease ends first before the
-- others. A score of zero is of one whose jobs are being given back.
--
-- KEYS: lease workers
-- ARGV: most
-- returns: {now, {id, end of the lease, what beat noted of it}...}, flat
-- flags: no-writes allow-oom
-- include: clock
local lease, workers = KEYS[1], KEYS[2]
local most = ARGV[1]

local leases = redis.call('ZRANGEBYSCORE', lease, '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local answer, ids = {int(now_ms())}, {}
for i = 1, #leases, 2 do ids[#ids + 1] = leases[i] end
local notes = #ids > 0 and redis.call('HMGET', workers, unpack(ids))
for i = 1, #ids do
  answer[#answer + 1] = ids[i]
  answer[#answer + 1] = leases[2 * i]
  answer[#answer + 1] = notes[i] or ''
end
return answer
