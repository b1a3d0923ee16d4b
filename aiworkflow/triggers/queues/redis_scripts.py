"""What must happen as one in Redis, as Lua.

A message's fields travel as a flat list of names and values, in the form that `XADD` takes. A delayed
one is kept packed: its level of priority, then its fields.
"""

from __future__ import annotations

from typing import Final

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_ADD: Final = """
local function add(at, delay, level, fields)
  if delay > 0 then
    local packed = {level}
    for _, one in ipairs(fields) do packed[#packed + 1] = one end
    redis.call('ZADD', KEYS[at + 10], now + delay, cmsgpack.pack(packed))
  else
    redis.call('XADD', KEYS[at + 9 - level], '*', unpack(fields))
  end
end
local function rest(from)
  local fields = {}
  for i = from, #ARGV do fields[#fields + 1] = ARGV[i] end
  return fields
end
local function owned(stream, group, consumer, id)
  local found = redis.call('XPENDING', stream, group, id, id, 1)
  return #found == 1 and found[1][2] == consumer
end
"""

# KEYS: the streams of the levels, 9 first. ARGV: group
OPEN: Final = """
for i = 1, 10 do
  redis.pcall('XGROUP', 'CREATE', KEYS[i], ARGV[1], '0', 'MKSTREAM')
  for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[i], ARGV[1])) do
    if one[4] == 0 and one[6] > 3600000 then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[i], ARGV[1], one[2])
    end
  end
end
"""

# KEYS: the streams, the delayed. ARGV: delay in ms, level, fields
PUBLISH: Final = (
    _NOW
    + _ADD
    + """
add(1, tonumber(ARGV[1]), tonumber(ARGV[2]), rest(3))
"""
)

# KEYS: the streams, the delayed, the consumers.
# ARGV: group, consumer, most, lease in ms or 0 not to look for dead takers
TAKE: Final = (
    _NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[11], '-inf', now, 'LIMIT', 0, 500)
for _, one in ipairs(due) do
  redis.call('ZREM', KEYS[11], one)
  local fields = cmsgpack.unpack(one)
  local level = table.remove(fields, 1)
  redis.call('XADD', KEYS[10 - level], '*', unpack(fields))
end
local group, consumer, most, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZADD', KEYS[12], now, consumer)
redis.call('ZREMRANGEBYSCORE', KEYS[12], '-inf', now - 30000)
local found = {}
for i = 1, 10 do
  if lease > 0 and most > #found then
    local again = redis.call(
      'XAUTOCLAIM', KEYS[i], group, consumer, lease, '0', 'COUNT', most - #found)
    for _, one in ipairs(again[2]) do
      if one then  -- Redis 6.2 tells of what was trimmed, as nothing
        local times = redis.call('XPENDING', KEYS[i], group, one[1], one[1], 1)
        found[#found + 1] = {10 - i, one[1], times[1][4], one[2]}
      end
    end
  end
  if most > #found then
    local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most - #found,
      'STREAMS', KEYS[i], '>')
    if new then
      for _, one in ipairs(new[1][2]) do
        found[#found + 1] = {10 - i, one[1], 1, one[2]}
      end
    end
  end
end
return found
"""
)

# KEYS: the stream. ARGV: group, id
ACKNOWLEDGE: Final = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
"""

# KEYS: where it is, the streams, the delayed. ARGV: group, consumer, id, delay in ms, level, fields
GIVE_BACK: Final = (
    _NOW
    + _ADD
    + """
if owned(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  redis.call('XDEL', KEYS[1], ARGV[3])
  add(2, tonumber(ARGV[4]), tonumber(ARGV[5]), rest(6))
end
"""
)

# KEYS: where it is, the dead. ARGV: group, consumer, id, fields
SET_ASIDE: Final = (
    _ADD
    + """
if owned(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  redis.call('XDEL', KEYS[1], ARGV[3])
  redis.call('XADD', KEYS[2], '*', unpack(rest(4)))
end
"""
)

# KEYS: the dead, the stream of its level. ARGV: id, fields
RETRY: Final = (
    _ADD
    + """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 1 then
  redis.call('XADD', KEYS[2], '*', unpack(rest(2)))
  return 1
end
return 0
"""
)

# KEYS: the streams, the delayed, the consumers, the dead. ARGV: group
STATUS: Final = (
    _NOW
    + """
local ready, taken, oldest = 0, 0, -1
for i = 1, 10 do
  local groups = redis.call('XINFO', 'GROUPS', KEYS[i])
  for _, one in ipairs(groups) do
    if one[2] == ARGV[1] then
      taken = taken + one[6]
      ready = ready + redis.call('XLEN', KEYS[i]) - one[6]
      local first = redis.call('XRANGE', KEYS[i], '(' .. one[8], '+', 'COUNT', 1)[1]
      if first then
        oldest = math.max(oldest, now - tonumber(string.match(first[1], '^%d+')))
      end
    end
  end
end
local consumers = redis.call('ZCOUNT', KEYS[12], now - 30000, '+inf')
return {ready, redis.call('ZCARD', KEYS[11]), taken, redis.call('XLEN', KEYS[13]), oldest, consumers}
"""
)

# KEYS: the streams, the delayed. ARGV: group. A page of what is ready; 0 when all is gone
PURGE: Final = """
local count = redis.call('ZCARD', KEYS[11])
redis.call('DEL', KEYS[11])
for i = 1, 10 do
  for _, one in ipairs(redis.call('XINFO', 'GROUPS', KEYS[i])) do
    if one[2] == ARGV[1] then
      for _, entry in ipairs(redis.call('XRANGE', KEYS[i], '(' .. one[8], '+', 'COUNT', 500)) do
        count = count + redis.call('XDEL', KEYS[i], entry[1])
      end
    end
  end
end
return count
"""

# KEYS: the stream. ARGV: group, consumer, then ids. They can be claimed by others at once
RELEASE: Final = """
for i = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #found == 1 and found[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', 4000000000, 'JUSTID')
  end
end
for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if one[2] == ARGV[2] and one[4] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  end
end
"""
