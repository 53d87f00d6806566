-- push stores new jobs. A full server refuses it.
--
-- KEYS: ready due body clock unique wake
-- ARGV: {id route body due key}...
-- returns: {holder...}: per job "" or the id of the job that has its key
-- include: clock place store
local ready, due, body = KEYS[1], KEYS[2], KEYS[3]
local clock, unique, wake = KEYS[4], KEYS[5], KEYS[6]

local k = {ready = ready, due = due, body = body, clock = clock, unique = unique, wake = wake}
local answers = store(k, ARGV, 1)
return answers
