-- part_flowclean: forgets flows.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: clean_flows
--
-- Forgets flows whose time is over, up to n jobs of them. One of whose jobs is
-- still there (dead, kept, or requeued) is kept as long again, so that a new flow
-- of its id cannot meet a job of the old one. k has the keys flow, flows,
-- flowend and body.
local function clean_flows(k, n)
  local due = redis.call('ZRANGEBYSCORE', k.flowend, '-inf', int(now_ms()), 'LIMIT', 0, 20)
  for i = 1, #due do
    if n <= 0 then return end
    local name = due[i]
    local f = flow_load(k.flow, name)
    local _, total = {}, 0
    if f then _, total = flow_ids(f, name, 0, 0) end
    local from, remains = f and f.v or 0, false
    -- First all are looked for, then all are deleted: v counts through both.
    while f and n > 0 and from < 2 * total and not remains do
      local ids = flow_ids(f, name, from % total, math.min(500, n, total - from % total))
      if from < total then
        local bodies = redis.call('HMGET', k.body, name .. '~failure', unpack(ids))
        for j = 1, #ids + 1 do remains = remains or bodies[j] end
      else
        redis.call('HDEL', k.flow, unpack(ids))
      end
      from, n = from + #ids, n - #ids
    end
    if remains then
      f.v = nil
      redis.call('ZADD', k.flowend, int(now_ms() + f.k), name)
      redis.call('HSET', k.flow, name, cjson.encode(f))
    elseif f and from < 2 * total then
      f.v = from
      redis.call('HSET', k.flow, name, cjson.encode(f))
    else
      redis.call('HDEL', k.flow, name, name .. '~failure')
      redis.call('ZREM', k.flows, name)
      redis.call('ZREM', k.flowend, name)
    end
  end
end
