-- Takes a stage over. KEYS: stage, blocks, outbox. ARGV: owner.
-- Answers the new epoch, or 'damaged' where a key of the stage lost what the stage counted.
local stage, blocks, outbox = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', stage, 'blocks', 'pieces')
if redis.call('HLEN', blocks) ~= tonumber(held[1] or 0) or redis.call('XLEN', outbox) ~= tonumber(held[2] or 0) then
  return redis.status_reply('damaged')
end
local epoch = redis.call('HINCRBY', stage, 'epoch', 1)
redis.call('HSET', stage, 'owner', ARGV[1])
return epoch
