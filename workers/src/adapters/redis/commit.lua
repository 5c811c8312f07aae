-- One commit. KEYS: stage, blocks, outbox.
-- ARGV: 1 owner, 2 epoch, 3 base, 4 next, 5 log, 6 first sequence ('' for no entries, -1 for a broken
-- sequence), 7 next sequence, 8 number of outbox pieces, then (id, first sequence, bytes) for each piece,
-- then runs of blocks: n > 0 and n times (field, block) to write, or n < 0 and -n fields to remove.
-- A script is not undone when it fails: whatever can fail is checked, or comes first among the writes.
local stage, blocks, outbox = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', stage, 'owner', 'epoch', 'next', 'seq', 'blocks', 'pieces')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] or (held[3] or '0') ~= ARGV[3] then
  return redis.status_reply('fenced')
end
if redis.call('HLEN', blocks) ~= tonumber(held[5] or 0) or redis.call('XLEN', outbox) ~= tonumber(held[6] or 0) then
  return redis.status_reply('damaged')
end
local seq = held[4] or '0'
if ARGV[6] ~= '' then
  if tonumber(ARGV[6]) < tonumber(seq) then return redis.status_reply('sequence ' .. seq) end
  seq = ARGV[7]
end
redis.call('HINCRBY', stage, 'version', 1)
local at = 9
for _ = 1, tonumber(ARGV[8]) do
  redis.call('XADD', outbox, ARGV[at] .. '-0', ARGV[at + 1], ARGV[at + 2])
  at = at + 3
end
local last = #ARGV
while at <= last do
  local count = tonumber(ARGV[at])
  local command, fields = 'HSET', 2 * count
  if count < 0 then command, fields = 'HDEL', -count end
  redis.call(command, blocks, unpack(ARGV, at + 1, at + fields))
  at = at + fields + 1
end
redis.call('HSET', stage, 'next', ARGV[4], 'log', ARGV[5], 'seq', seq,
  'blocks', redis.call('HLEN', blocks), 'pieces', redis.call('XLEN', outbox))
return redis.status_reply('stored')
