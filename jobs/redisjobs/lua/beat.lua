-- beat joins or renews a worker's lease, notes what it says of itself and since
-- when its handlers run, adds what it did to the history, and forgets what was
-- kept long enough. It answers what the worker is thought to hold and names one
-- worker whose lease has expired.
--
-- KEYS: lease held cancel history body meta done result unique window flow flows flowend workers
-- ARGV: worker ms join(0|1) audit(0|1) tally about running {id ms}... {id}...
-- returns: {"lost"} or {"ok", expired worker or "", held, cancelled, unknown, lost, {id}...}
-- flags: allow-oom
-- include: clock route meta end flow flowclean
local lease, held, cancel, history = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local body, meta, done, result = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local unique, window = KEYS[9], KEYS[10]
local flow, flows, flowend, workers = KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local worker, ms, join = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local audit, tally = ARGV[4] == '1', ARGV[5]
local about, running = ARGV[6], tonumber(ARGV[7])

local now = now_ms()
local mine = tonumber(redis.call('ZSCORE', lease, worker) or '0')
if mine == 0 and not join then
  return {'lost'}
end
redis.call('ZADD', lease, int(now + ms), worker)
if join then redis.call('HSETNX', held, '@', '0') end
local holds = math.max(0, redis.call('HLEN', held) - 1)
redis.call('HSET', workers, worker, int(ms) .. ' ' .. holds .. ' ' .. about)

-- See part_route for what is held.
local at = 8
for i = at, at + 2 * running - 1, 2 do
  local seq, rest = string.match(redis.call('HGET', held, ARGV[i]) or '', '^(%d+)(.*)$')
  if seq and string.byte(rest) ~= 64 then -- "@"
    redis.call('HSET', held, ARGV[i], seq .. '@' .. int(now - ARGV[i + 1]) .. rest)
  end
end
at = at + 2 * running

-- A minute is "<count> <count> ...", one for each that Go sends.
if tally ~= '' then
  local minute = math.floor(now / 60000)
  local sums, old = {}, redis.call('HGET', history, int(minute))
  for n in string.gmatch(old or '', '%d+') do sums[#sums + 1] = tonumber(n) end
  local i = 0
  for n in string.gmatch(tally, '%d+') do
    i = i + 1
    sums[i] = (sums[i] or 0) + tonumber(n)
  end
  for n = 1, #sums do sums[n] = int(sums[n]) end
  redis.call('HSET', history, int(minute), table.concat(sums, ' '))
  if not old and redis.call('HLEN', history) > 1500 then
    local fields, gone = redis.call('HKEYS', history), {}
    for n = 1, #fields do
      if tonumber(fields[n]) < minute - 1500 and #gone < 1000 then gone[#gone + 1] = fields[n] end
    end
    if #gone > 0 then redis.call('HDEL', history, unpack(gone)) end
  end
end

local stale = redis.call('ZRANGEBYSCORE', done, '-inf', int(now), 'LIMIT', 0, 500)
if #stale > 0 then
  redis.call('HDEL', body, unpack(stale))
  redis.call('HDEL', meta, unpack(stale))
  redis.call('HDEL', result, unpack(stale))
  redis.call('ZREM', done, unpack(stale))
end
local over = redis.call('ZRANGEBYSCORE', window, '-inf', int(now), 'LIMIT', 0, 500)
for i = 1, #over do
  redis.call('HDEL', unique, 'k' .. over[i])
  redis.call('ZREM', window, over[i])
end

clean_flows({flow = flow, flows = flows, flowend = flowend, body = body}, 2000)

local expired = redis.call('ZRANGEBYSCORE', lease, '-inf', int(now), 'LIMIT', 0, 1)[1] or ''
local answer = {'ok', expired, holds, 0, 0, 0}
local function add(place, id)
  answer[place] = answer[place] + 1
  answer[#answer + 1] = id
end
each_cancelled(cancel, held, function(id) add(4, id) end)
if audit then
  local claims = {}
  for i = at, #ARGV do claims[ARGV[i]] = true end
  local ids, books = redis.call('HKEYS', held), {}
  for i = 1, #ids do
    if ids[i] ~= '@' then
      books[ids[i]] = true
      if not claims[ids[i]] then add(5, ids[i]) end
    end
  end
  for i = at, #ARGV do
    if not books[ARGV[i]] then add(6, ARGV[i]) end
  end
end
return answer
