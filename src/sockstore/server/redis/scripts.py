"""Lua scripts that run inside Redis; each one is atomic.

A room is a stream whose ids are ``OFFSET-0``. The state of all rooms is in one hash, ``rooms``, so
that Redis can lose (evict, delete) all of it or nothing: the epoch, the number of rooms, and for
each room its newest offset and the id of the message there. Every change in any room is also added
to the feed, one stream that every server follows. All keys share a hash tag, so a cluster keeps
them on one node.

Redis does not undo the writes of a script that fails. So each script reads, checks and computes
everything before it writes.
"""

from __future__ import annotations

__all__ = ["MEMBERS", "PAGE", "SETTLE", "STORE"]

LOG = """
local function text_of(number) return string.format('%.0f', number) end

local function offset_in(id) return tonumber(string.match(id, '^%d+')) end

-- The number of the last entry of the feed, and an error if the feed cannot be written.
local function feed_number(prefix)
    redis.call('XLEN', prefix .. ':feed')
    return assert(tonumber(redis.call('GET', prefix .. ':told') or 0), 'the key told has no number')
end

-- The replication id, which is another one after each start and each failover, and whether this
-- Redis was the replica of another one before. Nothing if INFO is forbidden, and on a replica.
local function master_of()
    local said = redis.pcall('INFO', 'replication')
    if type(said) ~= 'string' or not string.find(said, 'role:master', 1, true) then return nil end
    local other = string.match(said, 'master_replid2:(%x+)') or ''
    return string.match(said, 'master_replid:(%x+)'), string.find(other, '[1-9a-f]') ~= nil
end

-- The log of all rooms, and the changes to write to it before anything else.
--   new: the epoch to begin if one has to begin.
--   known_epoch, known_number: the position in the feed that the calling server knows.
local function read_log(prefix, new, known_epoch, known_number)
    local kept = redis.call('HMGET', prefix .. ':rooms', 'epoch', 'born', 'master', 'count')
    local log = {epoch = kept[1], born = kept[2], number = feed_number(prefix), changes = {}}
    log.count = redis.call('HLEN', prefix .. ':rooms')
    for i = 1, 4 do
        if kept[i] then log.count = log.count - 1 end
    end
    local master, was_replica = master_of()
    if not (log.epoch and log.born) then
        log.epoch, log.born = new, new
        log.changes = {'epoch', new, 'born', new, 'master', master or '',
            'count', text_of(log.count)}
        return log
    end
    -- If a room's field and its stream were deleted, its used offsets are unknown.
    local begins = tonumber(kept[4]) ~= log.count and new
    if master then
        -- A replica that became the master may lack messages that the master had stored, and so
        -- may a Redis that restarted from an older file.
        local is_promoted = was_replica and (kept[3] or '') ~= '' and kept[3] ~= master
        if is_promoted or (known_epoch == log.epoch and log.number < tonumber(known_number)) then
            -- The same for every caller, also if it cannot be written.
            begins = kept[3] ~= master and string.sub(master, 1, 16) or new
        end
        if kept[3] ~= master then log.changes = {'master', master} end
    end
    if begins then
        log.epoch = begins
        for _, word in ipairs({'epoch', begins, 'count', text_of(log.count)}) do
            log.changes[#log.changes + 1] = word
        end
    end
    return log
end

local function write_log(prefix, log, call)
    if #log.changes > 0 then return call('HSET', prefix .. ':rooms', unpack(log.changes)) end
end

-- The message of an entry; nothing if another program wrote the entry.
local function message_of(entry)
    local message = {}
    for i = 1, #entry[2], 2 do message[entry[2][i]] = entry[2][i + 1] end
    local is_ours = message.sender and message.id and message.data and message.at
    return string.find(entry[1], '%-0$') and is_ours and message or nil
end

-- Whether a stream has another message at an offset than the one that was stored there: then it is
-- the stream of another room or another Redis. A deleted message proves nothing.
local function is_foreign(stream, offset, id)
    local place = text_of(offset) .. '-0'
    local entry = redis.call('XRANGE', stream, place, place)[1]
    if not entry then return false end
    local message = message_of(entry)
    return not message or message.id ~= id
end

-- The state of one room. `losses` counts how often its stream was lost, including just now.
local function read_room(prefix, room)
    local stream = prefix .. ':room:' .. room
    local kept = redis.call('HGET', prefix .. ':rooms', 'room:' .. room)
    local losses, top, id = string.match(kept or '', '^(%d+) (%d+) (.*)$')
    local found = {stream = stream, is_new = not kept,
        losses = tonumber(losses or 0), top = tonumber(top or 0)}
    local last = 0
    if redis.call('EXISTS', stream) == 1 then
        local said = redis.call('XINFO', 'STREAM', stream)
        for i = 1, #said, 2 do
            -- It stays when the newest entries are deleted.
            if said[i] == 'last-generated-id' then last = offset_in(said[i + 1]) end
            if said[i] == 'first-entry' and said[i + 1] then
                found.first = offset_in(said[i + 1][1])
            end
        end
    end
    if last < found.top or found.top > 0 and is_foreign(stream, found.top, id) then
        found.losses = found.losses + 1
    end
    found.top = math.max(found.top, last)
    found.first = found.first or found.top + 1
    return found
end

local function epoch_of(log, room)
    return room.losses > 0 and log.epoch .. '-' .. room.losses or log.epoch
end
"""

FEED = """
local function tell(prefix, length, kind, room, ...)
    local number = redis.call('INCR', prefix .. ':told')
    redis.call('XADD', prefix .. ':feed', 'MAXLEN', '~', length, '*',
        'number', number, 'kind', kind, 'room', room, ...)
    return number
end
"""

STORE = (
    LOG
    + FEED
    + """
-- ARGV: room, new epoch, known epoch, known number, messages to keep, milliseconds to remember,
--       length of the feed, time, then sender, id and data of each message.
-- Returns the epoch of the room, that of the log, the number of the last entry of the feed, and the
-- offsets, each negative if the message was stored before.
local prefix, room_name = KEYS[1], ARGV[1]
local log = read_log(prefix, ARGV[2], ARGV[3], ARGV[4])
local room = read_room(prefix, room_name)
local epoch, top = epoch_of(log, room), room.top
local name_of_log = log.born .. '-' .. room.losses

-- The offset that a message has in this log, if it was stored before.
local function find_stored(key, sender, id)
    local value = redis.call('GET', key)
    local offset = value and tonumber(string.match(value, '%d+$'))
    if not offset or offset > room.top then return nil end
    local place = text_of(offset) .. '-0'
    local entry = redis.call('XRANGE', room.stream, place, place)[1]
    if entry then
        local message = message_of(entry)
        return message and message.sender == sender and message.id == id and offset or nil
    end
    -- It was deleted, or was in a stream that was lost.
    return string.match(value, '^%S+') == name_of_log and offset or nil
end

local function may(...)
    return not redis.acl_check_cmd or redis.acl_check_cmd(...)
end

local offsets, fresh, offset_by_key = {}, {}, {}
for i = 9, #ARGV, 3 do
    local sender, id = ARGV[i], ARGV[i + 1]
    local key = table.concat({prefix .. ':id', #room_name, room_name, #sender, sender, id}, ':')
    local stored = offset_by_key[key] or find_stored(key, sender, id)
    if stored then
        offsets[#offsets + 1] = -stored
    else
        top = top + 1
        offset_by_key[key] = top
        offsets[#offsets + 1] = top
        fresh[#fresh + 1] = {sender = sender, id = id, data = ARGV[i + 2], key = key, offset = top}
        if not may('SET', key, '') then
            return redis.error_reply('ERR its user may not SET the ids to remember')
        end
    end
end
if top > 9007199254740991 then
    return redis.error_reply('ERR the offsets of this room are used up; delete its key')
end
if not (may('HSET', prefix .. ':rooms', '', '') and may('INCR', prefix .. ':told')
        and may('XADD', room.stream, '*', '', '')
        and may('XADD', prefix .. ':feed', '*', '', '')) then
    return redis.error_reply('ERR its user may not HSET, INCR and XADD all keys of the rooms')
end

write_log(prefix, log, redis.call)
-- Before Redis 7 a script cannot ask for its user's rights: the first command of a kind shows them.
local written = {}
local function attempt(...)
    local said = redis.pcall(...)
    if type(said) == 'table' and said.err then
        for _, key in ipairs(written) do redis.pcall('SET', key, '', 'PX', 1) end
        return said
    end
end
for _, each in ipairs(fresh) do
    local value = name_of_log .. ' ' .. text_of(each.offset)
    local failure = attempt('SET', each.key, value, 'PX', ARGV[6])
    if failure then return failure end
    written[#written + 1] = each.key
end
for _, each in ipairs(fresh) do
    local failure = attempt('XADD', room.stream, 'MAXLEN', '=', ARGV[5],
        text_of(each.offset) .. '-0',
        'sender', each.sender, 'id', each.id, 'data', each.data, 'at', ARGV[8])
    if failure then return failure end
end
if #fresh > 0 then
    redis.call('HSET', prefix .. ':rooms', 'room:' .. room_name,
        table.concat({text_of(room.losses), text_of(top), fresh[#fresh].id}, ' '),
        'count', text_of(log.count + (room.is_new and 1 or 0)))
end
for _, each in ipairs(fresh) do
    log.number = tell(prefix, ARGV[7], 'message', room_name, 'log', log.epoch, 'epoch', epoch,
        'offset', text_of(each.offset), 'sender', each.sender, 'id', each.id, 'data', each.data,
        'at', ARGV[8])
end
return {epoch, log.epoch, log.number, offsets}
"""
)

PAGE = (
    LOG
    + """
-- ARGV: room, new epoch, known epoch, known number, offset after which to read or '' for the
--       newest, offset before which the newest are read or '' for the end, count, bytes, and bytes
--       that count for each message besides.
-- Returns the epoch of the room, that of the log, the number of the last entry of the feed, the
-- newest and the oldest offset, the id before, and the messages.
local prefix = KEYS[1]
local log = read_log(prefix, ARGV[2], ARGV[3], ARGV[4])
local room = read_room(prefix, ARGV[1])
-- A full Redis can be read, unless each call would begin another epoch.
local said = write_log(prefix, log, redis.pcall)
if type(said) == 'table' and said.err and log.epoch == ARGV[2] then return said end
local is_newest = ARGV[5] == ''
local count, left, around = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local function clamp(text, otherwise)
    return math.max(0, math.min(tonumber(text) or otherwise, room.top + 1))
end

-- Read in chunks of about the messages that fit: reading more than is returned costs time.
local function collect(place)
    local found, used, chunk = {}, 0, 1
    while #found < count do
        local most = math.min(chunk, count - #found)
        local entries = is_newest
            and redis.call('XREVRANGE', room.stream, place, '-', 'COUNT', most)
            or redis.call('XRANGE', room.stream, place, '+', 'COUNT', most)
        for _, entry in ipairs(entries) do
            local message = message_of(entry)
            if message then
                used = used + around + #message.data + #message.sender
                if used > left and #found > 0 then return found end
                found[#found + 1] = {offset_in(entry[1]),
                    message.sender, message.id, message.data, message.at}
            end
        end
        if #entries < most then return found end
        place = '(' .. entries[#entries][1]
        chunk = #found == 0 and 2 * chunk or math.floor((left - used) / (used / #found)) + 1
        chunk = math.max(1, math.min(chunk, 64))
    end
    return found
end

local messages, before
if is_newest then
    local last = math.max(0, clamp(ARGV[6], room.top + 1) - 1)
    messages = collect(text_of(last) .. '-0')
    before = messages[1] and messages[#messages][1] - 1 or last
else
    before = clamp(ARGV[5], 0)
    messages = collect('(' .. text_of(before) .. '-0')
end
local place = text_of(before) .. '-0'
local entry = redis.call('XRANGE', room.stream, place, place)[1]
local message_before = entry and message_of(entry)
return {epoch_of(log, room), log.epoch, log.number, room.top, room.first,
    message_before and message_before.id or '', messages}
"""
)

SETTLE = (
    FEED
    + """
-- ARGV: room, length of the feed, server, then for each client its id, its name, and '1' if it is
-- there or '0'. Only changes go to the feed.
local prefix, server = KEYS[1], ARGV[3]
local members = prefix .. ':members:' .. ARGV[1]
redis.call('HLEN', members)
redis.call('XLEN', prefix .. ':feed')
for i = 4, #ARGV, 3 do
    local client, name, field = ARGV[i], ARGV[i + 1], server .. ' ' .. ARGV[i]
    local kind = nil
    if ARGV[i + 2] == '0' then
        kind = redis.call('HDEL', members, field) == 1 and 'leave'
    elseif redis.call('HEXISTS', members, field) == 0 then
        local order = redis.call('INCR', prefix .. ':arrivals')
        redis.call('HSET', members, field, order .. ' ' .. name)
        kind = 'join'
    end
    if kind then
        tell(prefix, ARGV[2], kind, ARGV[1], 'server', server, 'client', client, 'name', name)
    end
end
"""
)

MEMBERS = """
-- ARGV: room. Returns the number of the last entry of the feed, then server, client, and order and
-- name, for each client of a server with a lease. Deletes the clients of servers that have been
-- gone for a long time.
local members = KEYS[1] .. ':members:' .. ARGV[1]
local all, alive = redis.call('HGETALL', members), {}
local found = {tonumber(redis.call('GET', KEYS[1] .. ':told') or 0)}
for i = 1, #all, 2 do
    local server, client = string.match(all[i], '^(%S+) (.*)$')
    if server and alive[server] == nil then
        alive[server] = redis.call('EXISTS', KEYS[1] .. ':alive:' .. server) == 1
    end
    if server and alive[server] then
        found[#found + 1] = server
        found[#found + 1] = client
        found[#found + 1] = all[i + 1]
    elseif server and redis.call('EXISTS', KEYS[1] .. ':known:' .. server) == 0 then
        redis.call('HDEL', members, all[i])
    end
end
return found
"""
