-- Adds to the backlogs of all buckets if everything fits, and to none otherwise. A bucket is a string of four numbers: when
-- it is full again, in microseconds of this server's clock, parts of a microsecond, and the limit that it was left with, as
-- rate:per. It expires when it is full. All numbers are whole and less than 2^53, so none is ever rounded, except where a
-- limit has changed. What is longer than four such numbers can be, or has more parts than its limit, was left by somebody
-- else: the one is nothing, the other is cut, so that no number becomes infinite or none.
--
-- There is no #! line: without one a server that is full still runs this, and refuses the first write. So it denies what is
-- to be denied, and writes for all buckets or for none. Only what is to be cut may stay uncut then: the next call does it.
--
-- KEYS: bucket...
-- ARGV: {micros parts room_micros room_parts limit}...
-- returns: 1 if taken or 0; then, for each bucket, the micros and parts of its backlog
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('MGET', unpack(KEYS))
local before, after, cut = {1}, {1}, nil
for i = 1, #KEYS do
	local at = 5 * i - 5
	local room, roomparts, limit = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5]
	local micros, parts = 0, 0
	local full, rest, old = string.match(held[i] or '', '^(%d+):(%d+):([1-9]%d*:[1-9]%d*)$')
	if full and #held[i] <= 64 and tonumber(full) >= now then
		micros, parts = full - now, tonumber(rest)
		if old ~= limit then -- the units are worth another time
			local rate, per = string.match(limit, '(%d+):(%d+)')
			local oldrate, oldper = string.match(old, '(%d+):(%d+)')
			micros, parts = math.ceil((micros + parts / oldrate) * (per * oldrate) / (rate * oldper)), 0
		elseif parts > 0 then
			parts = math.min(parts, string.match(limit, '%d+') - 1)
		end
		if micros > room or micros == room and parts > roomparts then -- the limit was lowered, or the clock put back
			micros, parts, cut = room, roomparts, cut or {}
			cut[#cut + 1] = i
		end
	end
	before[2 * i], before[2 * i + 1] = micros, parts
	micros, parts = micros + ARGV[at + 1], parts + ARGV[at + 2]
	if parts > 0 then
		local rate = tonumber(string.match(limit, '%d+'))
		if parts >= rate then
			micros, parts = micros + 1, parts - rate
		end
	end
	if micros > room or micros == room and parts > roomparts then
		before[1] = 0
	end
	after[2 * i], after[2 * i + 1] = micros, parts
end
local function keep(call, i, micros, parts)
	local value = string.format('%.0f:%.0f:%s', now + micros, parts, ARGV[5 * i])
	if value ~= held[i] then call('SET', KEYS[i], value, 'PX', math.ceil(micros / 1000) + 1) end
end
if before[1] == 0 then
	for _, i in ipairs(cut or {}) do
		keep(redis.pcall, i, before[2 * i], before[2 * i + 1])
	end
	return before
end
for i = 1, #KEYS do
	if after[2 * i] > 0 or after[2 * i + 1] > 0 then
		keep(redis.call, i, after[2 * i], after[2 * i + 1])
	end
end
return after
