-- Makes changes. ARGV[1] is 'all' (every change, or none) or 'each' (every one by itself). ARGV[2] is what reserved keys begin
-- with, or '' where there are none: these stand in a sorted set of that name too. Change i is of the key KEYS[i] and takes four arguments: 'set' or 'delete'; '' (always), 'absent', or the version that must be there; the time to live in
-- milliseconds, or '0'; the value. Returns one number for each: 1 for a change that was made, 0 for one that was not.
--
-- A key is a hash with the fields `data` and `version`. A version begins at the server's time in microseconds and not at 1, so
-- that a version of before a delete is none of those after it.

local all = ARGV[1] == 'all'
local reserved = ARGV[2]
local done = {}
local now = redis.call('TIME')
local first = string.format('%d%06d', now[1], now[2])

-- What earlier changes will have made of a key: false for a delete, true for a version that nobody knows yet.
local pending = {}

local function holds(key, condition)
  if condition == '' then return true end
  local version = pending[key]
  if version == nil then version = redis.call('HGET', key, 'version') end
  if condition == 'absent' then
    return not version and (pending[key] ~= nil or redis.call('EXISTS', key) == 0)
  end
  return version == condition
end

local function make(at)
  local key, argument = KEYS[at], 3 + (at - 1) * 4
  local listed = reserved ~= '' and string.sub(key, 1, #reserved) == reserved
  if ARGV[argument] == 'delete' then
    redis.call('DEL', key)
    if listed then redis.call('ZREM', reserved, key) end
    return
  end
  if redis.call('HEXISTS', key, 'version') == 0 then redis.call('HSET', key, 'version', first) end
  redis.call('HINCRBY', key, 'version', 1)
  redis.call('HSET', key, 'data', ARGV[argument + 3])
  if listed then redis.call('ZADD', reserved, 0, key) end
  local ttl = ARGV[argument + 2]
  if ttl == '0' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end

local possible = true
for at, key in ipairs(KEYS) do
  local argument = 3 + (at - 1) * 4
  if possible and holds(key, ARGV[argument + 1]) then
    done[at] = 1
    if all then pending[key] = ARGV[argument] == 'set' else make(at) end
  else
    done[at] = 0
    if all then possible = false end
  end
end
if all and possible then
  for at = 1, #KEYS do make(at) end
end
return done
