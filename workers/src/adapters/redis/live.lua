-- Shows rows of a stage. KEYS: stage, all rows of the kind, names of the stage's own among them.
-- ARGV: owner, epoch, number of rows to write, name and row of each, number of rows to take away, name of each,
-- then, where no other row of the stage is to be left, 'all' and the names of all its rows.
local stage, rows, own = KEYS[1], KEYS[2], KEYS[3]
local held = redis.call('HMGET', stage, 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return redis.status_reply('fenced') end

-- As many at a time as fit on Lua's stack.
local function run(command, key, names)
  for first = 1, #names, 4000 do
    redis.call(command, key, unpack(names, first, math.min(first + 3999, #names)))
  end
end

local function take(first, last, step)
  local taken = {}
  for at = first, last, step do taken[#taken + 1] = ARGV[at] end
  return taken
end

local written = 3 + 2 * tonumber(ARGV[3])
run('HSET', rows, take(4, written, 1))
run('SADD', own, take(4, written, 2))
local removed = written + 1 + tonumber(ARGV[written + 1])
local gone = take(written + 2, removed, 1)
if ARGV[removed + 1] == 'all' then
  local kept = {}
  for at = removed + 2, #ARGV do kept[ARGV[at]] = true end
  for _, name in ipairs(redis.call('SMEMBERS', own)) do
    if not kept[name] then gone[#gone + 1] = name end
  end
end
run('HDEL', rows, gone)
run('SREM', own, gone)
return redis.status_reply('stored')
