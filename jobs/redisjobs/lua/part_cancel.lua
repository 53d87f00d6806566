-- part_cancel: cancels a job.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: canceller
--
-- k has the keys ready, due, body, dead, done, parked, parkedat and cancel. What
-- it makes answers nil for a job that is not there or has ended, "dropped" for
-- one that waited, and "told" for one that runs: its worker is to be told.
local function canceller(k, ends)
  return function(id)
    local stored = redis.call('HGET', k.body, id)
    if not stored or redis.call('ZSCORE', k.dead, id) or redis.call('ZSCORE', k.done, id) then
      return nil
    end
    local waited = redis.call('ZREM', k.ready, id) + redis.call('ZREM', k.due, id) + unpark(k.parked, k.parkedat, id)
    if waited > 0 then
      ends.drop(id, route_of(stored))
      return 'dropped'
    end
    redis.call('HSETNX', k.cancel, id, '')
    return 'told'
  end
end
