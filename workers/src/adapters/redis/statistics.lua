-- Puts the result of one window in the place of the one before.
-- KEYS: the window, the newest window of the job.
-- ARGV: milliseconds that they are kept, start and end of the window, then field and value of each entry.

-- First of all writes, and refused where there is no room.
redis.call('HSET', KEYS[1], 'end', ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'end', ARGV[3])
for first = 4, #ARGV, 4000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 3999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local newest = redis.call('GET', KEYS[2])
if not newest or tonumber(newest) <= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
end
return redis.status_reply('stored')
