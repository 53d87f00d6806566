-- part_store: stores new jobs.
--
-- KEYS: none, they are passed in
-- ARGV: none
-- returns: store
--
-- Stores jobs given as five values each: id, route, body, due ("" now, "+ms"
-- from now, else ms since 1970), unique key ("" none). Answers, per job, ""
-- or the id of the job that holds the key. Nothing in it can fail half-way: the
-- server refuses a script for want of memory before it begins.
local function store(k, values, first)
  local now, place = now_ms(), placer(k.ready, k.clock)
  local answers, placed, sooner = {}, false, false
  local head = redis.call('ZRANGE', k.due, 0, 0, 'WITHSCORES')[2]
  head = head and tonumber(head)
  for i = first, #values, 5 do
    local id, route, body, due, key = values[i], values[i + 1], values[i + 2], values[i + 3], values[i + 4]
    local holder = key ~= '' and redis.call('HGET', k.unique, 'k' .. key)
    if holder and holder ~= id then
      answers[#answers + 1] = holder
    else
      answers[#answers + 1] = ''
      if redis.call('HSETNX', k.body, id, body) == 1 then
        if key ~= '' then
          redis.call('HSET', k.unique, 'k' .. key, id, 'i' .. id, key)
        end
        local at = now
        if string.sub(due, 1, 1) == '+' then
          at = now + tonumber(due)
        elseif due ~= '' then
          at = tonumber(due)
        end
        if at > now then
          redis.call('ZADD', k.due, int(at), id .. ' ' .. route)
          if not head or at < head then
            head, sooner = at, true
          end
        else
          place.add(id .. ' ' .. route, false)
          placed = true
        end
      end
    end
  end
  place.flush()
  if placed or sooner then
    wake_one(k.wake)
  end
  return answers, now
end
