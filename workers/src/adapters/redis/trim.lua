-- Removes outbox entries. KEYS: stage, outbox. ARGV: owner, epoch, last sequence to remove.
-- It frees memory, so it begins with a command that a full server takes.
local stage, outbox = KEYS[1], KEYS[2]
local held = redis.call('HMGET', stage, 'owner', 'epoch', 'seq', 'first', 'pieces')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return redis.status_reply('fenced') end
if redis.call('XLEN', outbox) ~= tonumber(held[5] or 0) then return redis.status_reply('damaged') end
local first = math.min(tonumber(ARGV[3]) + 1, tonumber(held[3] or 0))
first = math.max(first, tonumber(held[4] or 0))
redis.call('XTRIM', outbox, 'MINID', string.format('%.0f-0', first + 1))
local left = redis.call('XLEN', outbox)
-- An empty stream would remember its last id for ever.
if left == 0 then redis.call('DEL', outbox) end
redis.call('HSET', stage, 'first', string.format('%.0f', first), 'pieces', left)
redis.call('HINCRBY', stage, 'version', 1)
return redis.status_reply('stored')
