-- Adds to the backlogs of all buckets if everything fits, and to none otherwise. A bucket is a string of four numbers: when
-- it is full again, in microseconds of this server's clock, parts of a microsecond, and the rate and the period that it was
-- left with. It expires when it is full. All numbers are whole and less than 2^53, so none is ever rounded, except where a
-- limit has changed.
--
-- There is no #! line: without one a server that is full still runs this, and refuses the first write. So it denies what is
-- to be denied, and writes for all buckets or for none.
--
-- KEYS: bucket...
-- ARGV: {micros parts room_micros room_parts rate per}...
-- returns: 1 if taken or 0; then, for each bucket, the micros and parts of its backlog
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local held = redis.call('MGET', unpack(KEYS))
local function keep(i, micros, parts)
	local value = string.format('%.0f:%.0f:%s:%s', now + micros, parts, ARGV[6 * i - 1], ARGV[6 * i])
	redis.call('SET', KEYS[i], value, 'PX', math.ceil(micros / 1000) + 1)
end
local backlogs, after, cut = {1}, {}, {}
for i = 1, #KEYS do
	local at = 6 * (i - 1)
	local micros, parts = 0, 0
	local room, roomparts = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
	local rate, per = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
	local full, rest, oldrate, oldper = string.match(held[i] or '', '^(%d+):(%d+):([1-9]%d*):([1-9]%d*)$')
	if full and tonumber(full) >= now then
		micros, parts, oldrate, oldper = tonumber(full) - now, tonumber(rest), tonumber(oldrate), tonumber(oldper)
		if oldrate ~= rate or oldper ~= per then -- another limit: the units are worth another time
			micros, parts = math.ceil((micros + parts / oldrate) * (per * oldrate) / (rate * oldper)), 0
		end
		if micros > room or micros == room and parts > roomparts then -- the limit was lowered, or the clock put back
			micros, parts, cut[i] = room, roomparts, true
		end
	end
	backlogs[2 * i], backlogs[2 * i + 1] = micros, parts
	micros, parts = micros + tonumber(ARGV[at + 1]), parts + tonumber(ARGV[at + 2])
	if parts >= rate then
		micros, parts = micros + 1, parts - rate
	end
	if micros > room or micros == room and parts > roomparts then
		backlogs[1] = 0
	end
	after[2 * i], after[2 * i + 1] = micros, parts
end
if backlogs[1] == 0 then
	for i in pairs(cut) do
		keep(i, backlogs[2 * i], backlogs[2 * i + 1])
	end
	return backlogs
end
for i = 1, #KEYS do
	if after[2 * i] > 0 or after[2 * i + 1] > 0 then
		keep(i, after[2 * i], after[2 * i + 1])
	end
end
after[1] = 1
return after
