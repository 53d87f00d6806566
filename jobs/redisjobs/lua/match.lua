-- match looks for the jobs that a filter selects: in a sorted set behind a
-- member, up to another one, or, of those that run, among ids. It ends sooner when
-- it has read a mebibyte.
--
-- KEYS: set ready due body meta dead done parkedat
-- ARGV: state kind tenant error retried(0|1) limit score member last_score last_member {id}...
-- returns: {more(0|1) score member last_score last_member {id}...}; the first call has no members, and learns the last
-- flags: no-writes allow-oom
-- include: route limit meta match
local set, ready, due, body, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, done, parkedat = KEYS[6], KEYS[7], KEYS[8]
local state, kind, tenant, error, retried = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local limit, score, member, last_score, last_member = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local k = {ready = ready, due = due, body = body, meta = meta, dead = dead, done = done, parkedat = parkedat}
local job = matcher(k, {state = state, kind = kind, tenant = tenant, text = error, retried = retried == '1'})

if state == 'running' then
  local answer = {'0', '', '', '', ''}
  for i = 11, #ARGV do
    if job.bytes > 1048576 then
      answer[1] = '1'
      break
    end
    answer[3] = ARGV[i]
    if job.state(ARGV[i]) and job.rest(ARGV[i]) then answer[#answer + 1] = ARGV[i] end
  end
  return answer
end

-- The order of the set among members of one score; < goes by the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function place_before(a, a_score, b, b_score)
  a_score, b_score = tonumber(a_score), tonumber(b_score)
  return a_score < b_score or a_score == b_score and before(a, b)
end

-- The rank behind a member, which may be gone by now.
local function rank_behind(m, s)
  local low, high = 0, redis.call('ZCARD', set)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = redis.call('ZRANGE', set, middle, middle, 'WITHSCORES')
    if place_before(m, s, there[1], there[2]) then high = middle else low = middle + 1 end
  end
  return low
end

if member == '' then
  local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')
  if not last[1] then return {'0', '', '', '', ''} end
  last_member, last_score = last[1], last[2]
end
local first = member == '' and 0 or rank_behind(member, score)
local page = redis.call('ZRANGE', set, first, first + tonumber(limit) - 1, 'WITHSCORES')
local answer = {#page == 2 * tonumber(limit) and '1' or '0', '', '', last_score, last_member}
for i = 1, #page, 2 do
  if place_before(last_member, last_score, page[i], page[i + 1]) then
    answer[1] = '0'
    break
  end
  answer[2], answer[3] = page[i + 1], page[i]
  local id = page[i]
  if state == 'parked' then id = string.sub(id, park_end(id) + 1) end
  if job.rest(id) then answer[#answer + 1] = id end
  if job.bytes > 1048576 and i + 1 < #page then
    answer[1] = '1'
    break
  end
end
return answer
