#!lua name=uoro_2

-- Every write of the store. Rules:
-- 1. The server neither rolls back nor retries: all checks come before the first write, and what can still
--    fail is the first write itself.
-- 2. Epochs and positions arrive and are kept as canonical decimal strings, so equality of strings decides.
-- 3. A reply is a list: 'OK' and its fruits, or the name of the refusal and what the writer should know.
-- 4. The number in the names rises with every change that an older program could not live with: programs of
--    two versions may share a server while one replaces the other.

local function decimal(number)
  return string.format('%.0f', number)
end

local function epoch_of(owner_key)
  return redis.call('HGET', owner_key, 'epoch') or '0'
end

-- Whether a write may carry `epoch`. Nothing is current before the first take, not even 0.
local function is_current(owner_key, epoch)
  return redis.call('HGET', owner_key, 'epoch') == epoch
end

local function stale(owner_key)
  return {'STALE', epoch_of(owner_key)}
end

-- Whether `epoch` is one that the present owner was given, by its acquire or by a fence since.
local function is_owners(owner_key, epoch)
  local since = redis.call('HGET', owner_key, 'since')
  if not since then
    return false
  end
  return tonumber(since) <= tonumber(epoch) and tonumber(epoch) <= tonumber(epoch_of(owner_key))
end

-- KEYS owner lease; ARGS expected epoch, name, lease in ms. Moves the epoch only from the expected one.
local function take(keys, args)
  local epoch = epoch_of(keys[1])
  if epoch ~= args[1] then
    return {'MOVED', epoch}
  end
  local holder = redis.call('GET', keys[2])
  if holder and holder ~= args[2] then
    -- An expiry is a time of day: if the server's clock was set back since, the lease would last as much longer.
    local given_ms = redis.call('HGET', keys[1], 'lease_ms')
    if given_ms and redis.call('PTTL', keys[2]) > tonumber(given_ms) then
      redis.call('PEXPIRE', keys[2], given_ms)
    end
    return {'HELD', holder}
  end
  local raised = decimal(tonumber(epoch) + 1)
  redis.call('HSET', keys[1], 'epoch', raised, 'since', raised, 'name', args[2],
    'lease_ms', args[3])
  redis.call('SET', keys[2], args[2], 'PX', args[3])
  return {'OK', raised}
end

-- KEYS owner; ARGS epoch. Moves the epoch from `epoch` to the next; a repetition finds it moved and agrees.
local function fence(keys, args)
  local epoch = epoch_of(keys[1])
  local raised = decimal(tonumber(args[1]) + 1)
  if not is_owners(keys[1], args[1]) or (epoch ~= args[1] and epoch ~= raised) then
    return stale(keys[1])
  end
  if epoch ~= raised then
    redis.call('HSET', keys[1], 'epoch', raised)
  end
  return {'OK', raised}
end

-- KEYS owner lease; ARGS epoch, lease in ms.
local function renew(keys, args)
  if not is_owners(keys[1], args[1]) then
    return stale(keys[1])
  end
  redis.call('SET', keys[2], redis.call('HGET', keys[1], 'name'), 'PX', args[2])
  redis.call('HSET', keys[1], 'lease_ms', args[2])
  return {'OK'}
end

-- KEYS owner lease; ARGS epoch.
local function release(keys, args)
  if is_owners(keys[1], args[1]) then
    redis.call('DEL', keys[2])
  end
  return {'OK'}
end

-- KEYS owner log bounds; ARGS epoch, position, record.
local function append(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  local bounds = redis.call('HMGET', keys[3], 'next', 'written')
  local next_position = bounds[1] or '1'
  local written = bounds[2] or '0'
  if next_position ~= args[2] then
    return {'POSITION', next_position}
  end
  -- XADD comes first and is a check of its own: it refuses an id that is not above the last.
  redis.call('XADD', keys[2], args[2] .. '-0', 'before', written, 'record', args[3])
  redis.call('HSET', keys[3], 'next', decimal(tonumber(next_position) + 1),
    'written', decimal(tonumber(written) + #args[3]))
  return {'OK'}
end

-- KEYS owner log bounds; ARGS epoch, before.
local function trim(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  local bounds = redis.call('HMGET', keys[3], 'first', 'next', 'written')
  local before = math.min(tonumber(args[2]), tonumber(bounds[2] or '1'))
  if before <= tonumber(bounds[1] or '1') then
    return {'OK'}
  end
  local kept = redis.call('XRANGE', keys[2], decimal(before) .. '-0', '+', 'COUNT', 1)
  local trimmed = kept[1] and kept[1][2][2] or bounds[3]
  redis.call('XTRIM', keys[2], 'MINID', '=', decimal(before) .. '-0')
  redis.call('HSET', keys[3], 'first', decimal(before), 'trimmed', trimmed)
  return {'OK'}
end

-- KEYS owner streams generations; ARGS epoch, stream, record, heading. Replaces the older slot and tells which.
local function put_generation(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  local slot = redis.call('HGET', keys[3], 'newest') == 'a' and 'b' or 'a'
  redis.call('HSET', keys[3], slot, args[3], 'heading_' .. slot, args[4], 'newest', slot)
  redis.call('SADD', keys[2], args[2])
  return {'OK', slot}
end

-- KEYS owner generations; ARGS epoch, slot. The slot's record was not read back intact: forget it, so that
-- the next put does not replace the only intact one.
local function drop_generation(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  redis.call('HSET', keys[2], 'newest', args[2] == 'a' and 'b' or 'a')
  redis.call('HDEL', keys[2], args[2], 'heading_' .. args[2])
  return {'OK'}
end

-- KEYS owner named; ARGS epoch, name, record.
local function put_named(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  redis.call('HSET', keys[2], args[2], args[3])
  return {'OK'}
end

-- KEYS owner streams generations named; ARGS epoch, stream.
local function delete_snapshots(keys, args)
  if not is_current(keys[1], args[1]) then
    return stale(keys[1])
  end
  redis.call('UNLINK', keys[3], keys[4])
  redis.call('SREM', keys[2], args[2])
  return {'OK'}
end

-- KEYS owner; ARGS commands with whole arguments, KEY for the key. Those that the caller may not use.
-- Whole, since Redis 7.0 looks for keys among arguments that are not there, and crashes.
local function forbidden(keys, args)
  local found = {}
  for _, command in ipairs(args) do
    local words = {}
    for word in string.gmatch(command, '%S+') do
      words[#words + 1] = word == 'KEY' and keys[1] or word
    end
    if not redis.acl_check_cmd(unpack(words)) then
      found[#found + 1] = command
    end
  end
  return found
end

redis.register_function{function_name = 'uoro_2_forbidden', callback = forbidden, flags = {'no-writes'}}
redis.register_function('uoro_2_append', append)
redis.register_function('uoro_2_put_generation', put_generation)
redis.register_function('uoro_2_put_named', put_named)

-- These free memory or take next to none: a full server must still let them in.
local function register_for_full_server(name, callback)
  redis.register_function{function_name = name, callback = callback, flags = {'allow-oom'}}
end

register_for_full_server('uoro_2_take', take)
register_for_full_server('uoro_2_fence', fence)
register_for_full_server('uoro_2_renew', renew)
register_for_full_server('uoro_2_release', release)
register_for_full_server('uoro_2_trim', trim)
register_for_full_server('uoro_2_drop_generation', drop_generation)
register_for_full_server('uoro_2_delete_snapshots', delete_snapshots)
