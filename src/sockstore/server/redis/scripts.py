"""The scripts that run inside Redis: each one does all of its work, or none, at one moment.

A room is a stream whose ids are ``OFFSET-0``, so its last entry is the newest message. What happens
in any room goes to the feed too, one stream that every server follows. All keys share a hash tag,
so a cluster keeps them on one node.
"""

from __future__ import annotations

__all__ = ["ENTER", "LEAVE", "MEMBERS", "PAGE", "STORE"]

# It writes only what is missing: a Redis that is full, or a replica, can be read all the same.
EPOCH = """
local function epoch_of(prefix, new)
    local epoch = redis.call('GET', prefix .. ':epoch')
    if not epoch then
        redis.call('SET', prefix .. ':epoch', new)
    end
    return epoch or new
end
"""

FEED = """
local function tell(prefix, length, kind, room, ...)
    local number = redis.call('INCR', prefix .. ':told')
    redis.call('XADD', prefix .. ':feed', 'MAXLEN', '~', length, '*',
        'number', number, 'kind', kind, 'room', room, ...)
end
"""

STORE = (
    EPOCH
    + FEED
    + """
-- ARGV: room, new epoch, messages to keep, milliseconds to remember, length of the feed, time,
--       then sender, id and data of each message. Returns the epoch, then each offset, negative
--       if the message was stored before.
local prefix, room = KEYS[1], ARGV[1]
local epoch = epoch_of(prefix, ARGV[2])
local stream = prefix .. ':room:' .. room
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
local top = last[1] and tonumber(string.match(last[1][1], '^%d+')) or 0
local result = {epoch}
for i = 7, #ARGV, 3 do
    local sender, id, data = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local known_as = table.concat({prefix .. ':id', #room, room, #sender, sender, id}, ':')
    local known = redis.call('GET', known_as)
    if known then
        result[#result + 1] = -tonumber(known)
    else
        top = top + 1
        redis.call('SET', known_as, top, 'PX', ARGV[4])
        redis.call('XADD', stream, 'MAXLEN', '=', ARGV[3], top .. '-0',
            'sender', sender, 'id', id, 'data', data, 'at', ARGV[6])
        tell(prefix, ARGV[5], 'message', room, 'epoch', epoch, 'offset', top,
            'sender', sender, 'id', id, 'data', data, 'at', ARGV[6])
        result[#result + 1] = top
    end
end
return result
"""
)

PAGE = (
    EPOCH
    + """
-- ARGV: room, new epoch, offset after which to read or '' for the newest, offset before which the
-- newest are read or '' for the end, count.
-- Returns the epoch, the newest and the oldest offset, the id before, and the entries.
local prefix = KEYS[1]
local stream = prefix .. ':room:' .. ARGV[1]
local function offset_of(entries, otherwise)
    return entries[1] and tonumber(string.match(entries[1][1], '^%d+')) or otherwise
end
local epoch = epoch_of(prefix, ARGV[2])
local top = offset_of(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1), 0)
local first = offset_of(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1), top + 1)
local count = tonumber(ARGV[5])
local entries, before = {}, ARGV[3]
if before == '' then
    local last = ARGV[4] == '' and top or math.min(tonumber(ARGV[4]) - 1, top)
    if count > 0 then
        entries = redis.call('XREVRANGE', stream, string.format('%.0f', last), '-', 'COUNT', count)
    end
    before = string.format('%.0f', entries[1] and offset_of({entries[#entries]}, 0) - 1 or last)
elseif count > 0 then
    entries = redis.call('XRANGE', stream, '(' .. before .. '-0', '+', 'COUNT', count)
end
local seen = redis.call('XRANGE', stream, before .. '-0', before .. '-0')
local id = ''
if seen[1] then
    local fields = seen[1][2]
    for i = 1, #fields, 2 do
        if fields[i] == 'id' then id = fields[i + 1] end
    end
end
return {epoch, top, first, id, entries}
"""
)

ENTER = (
    FEED
    + """
-- ARGV: room, length of the feed, server, client, name. Puts a client into a room.
local order = redis.call('INCR', KEYS[1] .. ':arrivals')
redis.call('HSET', KEYS[1] .. ':members:' .. ARGV[1], ARGV[3] .. ' ' .. ARGV[4],
    order .. ' ' .. ARGV[5])
tell(KEYS[1], ARGV[2], 'join', ARGV[1], 'server', ARGV[3], 'client', ARGV[4], 'name', ARGV[5])
return order
"""
)

LEAVE = (
    FEED
    + """
-- ARGV: room, length of the feed, server, client, name. Takes a client out of a room.
local members = KEYS[1] .. ':members:' .. ARGV[1]
if redis.call('HDEL', members, ARGV[3] .. ' ' .. ARGV[4]) == 1 then
    tell(KEYS[1], ARGV[2], 'leave', ARGV[1], 'server', ARGV[3], 'client', ARGV[4], 'name', ARGV[5])
end
"""
)

MEMBERS = """
-- ARGV: room. Returns clients and what is kept of them, of servers that are alive; what servers
-- left behind that have been gone for long is deleted.
local members = KEYS[1] .. ':members:' .. ARGV[1]
local all, found, alive = redis.call('HGETALL', members), {}, {}
for i = 1, #all, 2 do
    local server, client = string.match(all[i], '^(%S+) (.*)$')
    if alive[server] == nil then
        alive[server] = redis.call('EXISTS', KEYS[1] .. ':alive:' .. server) == 1
    end
    if alive[server] then
        found[#found + 1] = client
        found[#found + 1] = all[i + 1]
    elseif redis.call('EXISTS', KEYS[1] .. ':known:' .. server) == 0 then
        redis.call('HDEL', members, all[i])
    end
end
return found
"""
