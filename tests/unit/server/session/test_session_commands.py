"""Frames of the session, exactly as PROTOCOL.md has them in section 6."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_history import STORED_AT, FakeHistory
from session_kit import Guest, Person, idle, rooms_of
from sockstore.server import Limits
from sockstore.server.history.base import Entry, Page, StoredMessage
from sockstore.server.rooms.recovery import LastSeen, decide_recovery
from sockstore.server.session.commands import (
    COMMANDS,
    Connect,
    Disregarded,
    History,
    Invalid,
    Line,
    Ping,
    Pong,
    Publish,
    Send,
    Since,
    Subscribe,
    Violation,
    parse,
)

pytestmark = pytest.mark.contract("SE1", "SE2", "SV4")

PROTOCOL = (Path(__file__).parents[4] / "PROTOCOL.md").read_text()
PUSH = (
    '{"push":{"channel":"lobby","pub":{"offset":42,"data":{"content":"hello"},'
    '"info":{"user":"Ann","client":""},"tags":{"id":"0b6c1f9e"}}}}'
)


@pytest.mark.asyncio
async def test_the_frames_of_the_server_are_exact():
    history = FakeHistory()
    rooms = rooms_of(history)
    reader = await Person(rooms, "Ann").connect()
    await reader.subscribe(join_leave=True)
    for name in (None, "Bob"):
        other = await Person(rooms, name).connect()
        await other.subscribe()
        other.leave()
        user = name or ""
        assert reader.client.texts[-2:] == [
            f'{{"push":{{"channel":"lobby","{change}":{{"info":{{"user":"{user}",'
            f'"client":"{other.client.id}"}}}}}}}}'
            for change in ("join", "leave")
        ]
    history.store("lobby", Entry("Ann", '{"content":"hello"}', "0b6c1f9e"))
    assert reader.client.texts[-1] == PUSH.replace("42", "1")
    history.lose_everything()
    history.lost_sight()
    await idle()
    assert reader.client.texts[-1] == (
        '{"push":{"channel":"lobby","unsubscribe":{"code":2500,'
        '"reason":"the server cannot continue the room; subscribe again"}}}'
    )
    history.is_broken = True
    await reader.say('{"id":3,"subscribe":{"channel":"lobby"}}')
    assert reader.client.texts[-1] == (
        '{"id":3,"error":{"code":100,"message":"The server cannot do it now; try later.",'
        '"temporary":true}}'
    )
    await reader.say('{"id":3,"nonsense":{}}')
    assert reader.client.texts[-1] == (
        '{"id":3,"error":{"code":104,"message":"There is no such command."}}'
    )
    reader.leave()


def test_the_examples_of_the_protocol_are_what_the_server_reads_and_writes():
    examples = [line for line in PROTOCOL.splitlines() if line.startswith('{"id": ')]
    assert len(examples) == 3
    read = list(parse("\n".join(examples)))
    assert [type(each.command) for each in read] == [Connect, Subscribe, Send]
    assert read[1].command.last == "c0ffee"
    assert bytes(read[2].command.data) == b'{"content": "hello"}'
    (push,) = [line for line in PROTOCOL.splitlines() if line.startswith('{"push": ')]
    assert json.loads(push) == json.loads(PUSH)


def test_one_message_holds_one_command_or_several():
    """P20."""
    publish = '{"id":2,"publish":{"channel":"a","data": [1, 2.0]}}'
    read = list(parse(f'{{"id":1,"ping":{{}}}}\n{{}}\n\n{publish}\n'))
    assert [type(each) for each in read] == [Line, Pong, Line]
    assert read[0] == Line(1, Ping())
    assert isinstance(read[2].command, Publish)
    assert bytes(read[2].command.data) == b"[1, 2.0]"


@pytest.mark.parametrize(
    "message",
    [
        *(b"{}", "", "\n\n", "x", "[]", "null", "1", '"a"', "{", '{"id":1}', '{"ping":{}}'),
        *('{"id":0,"ping":{}}', '{"id":-1,"ping":{}}', '{"id":"1","ping":{}}'),
        *('{"id":1.5,"ping":{}}', '{"id":1e99,"ping":{}}', '{"id":99999999999999999999,"ping":{}}'),
        '{"id":1,"ping":{},"connect":{}}',
        '{"x":1}',
        '{"id":1,"publish":{"channel":"a","data":{"a":NaN}}}',
        '{"id":1,"publish":{"channel":"a","data":[1,]}}',
        '{"id":1,"publish":{"channel":"a","data":' + "[" * 30_000 + "}}",
        '{"id":1,\n"ping":{}}',
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_command_ends_the_connection(message):
    """P21."""
    read = list(parse(message))
    assert isinstance(read[-1], Violation)


@pytest.mark.contract("SV11")
def test_a_command_is_parsed_when_it_is_asked_for():
    """Thousands of them are in one message, of which a client has the right to a few."""
    commands = parse('{"id":1,"ping":{}}\n' * 1000 + "nonsense")
    assert next(commands) == Line(1, Ping())
    assert sum(1 for _ in commands) == 1000


def test_nothing_behind_a_violation_is_read():
    """P21."""
    read = list(parse('{"id":1,"ping":{}}\nnonsense\n{"id":2,"ping":{}}'))
    assert [type(each) for each in read] == [Line, Violation]


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        *[
            (name, fields, 107)
            for name in ("subscribe", "unsubscribe", "publish", "history", "presence")
            for fields in ("null", "[]", "1", '"a"', "{}", '{"channel":1}', '{"channel":null}')
        ],
        ("connect", '{"token":1}', 107),
        ("connect", "[]", 107),
        ("ping", "null", 107),
        ("subscribe", '{"channel":"a","offset":-1}', 107),
        ("subscribe", '{"channel":"a","offset":1.5}', 107),
        ("subscribe", '{"channel":"a","offset":1e300}', 107),
        ("subscribe", '{"channel":"a","recover":1}', 107),
        ("subscribe", '{"channel":"a","epoch":null}', 107),
        ("history", '{"channel":"a","limit":-2}', 107),
        ("history", '{"channel":"a","since":[]}', 107),
        ("publish", '{"channel":"a"}', 107),
        ("publish", '{"channel":"a","data":' + "[" * 101 + "]" * 101 + "}", 107),
        ("publish", '{"channel":"a","data":' + '[{"[]":' * 51 + "1" + "}]" * 51 + "}", 107),
        ("publish", '{"channel":"a","data":[' + "[{}]," * 99 + "[" * 100 + "]" * 100 + "]}", 107),
        ("rpc", "{}", 104),
        ("rpc", '{"method":"nonsense"}', 104),
        ("rpc", '{"method":"send"}', 107),
        ("rpc", '{"method":"send","data":{"channel":"a","data":1}}', 107),
        ("rpc", '{"method":"send","data":{"channel":"a","id":"","data":1}}', 107),
        ("rpc", '{"method":"send","data":{"channel":"a","id":"a b","data":1}}', 107),
        ("rpc", '{"method":"send","data":{"channel":"a","id":"é","data":1}}', 107),
        ("rpc", '{"method":"send","data":{"channel":"a","id":"%s","data":1}}' % ("x" * 65), 107),
        ("nonsense", "{}", 104),
        ("refresh", "{}", 107),
        ("sub_refresh", '{"channel":"a"}', 107),
    ],
)
def test_wrong_fields_are_an_error_reply(name, fields, code):
    """P21, P33."""
    (read,) = parse(f'{{"id":7,"{name}":{fields}}}')
    assert isinstance(read, Invalid)
    assert (read.number, read.code) == (7, code)
    assert read.message.endswith(".")


def test_data_may_be_nested_a_hundred_levels_deep():
    deep = "[" * 100 + "]" * 100
    wide = "[" + "{}," * 1000 + "0]"
    mixed = '[{"a\\"[":' * 50 + '"[[{"' + "}]" * 50
    for data in (deep, wide, mixed, '"' + "[" * 200 + '"'):
        for command in (
            f'{{"id":1,"publish":{{"channel":"a","data":{data}}}}}',
            f'{{"id":1,"rpc":{{"method":"send","data":{{"channel":"a","id":"i","data":{data}}}}}}}',
        ):
            (read,) = parse(command)
            assert isinstance(read, Line), read


def test_unknown_fields_are_ignored():
    """P20."""
    (read,) = parse('{"id":1,"connect":{"name":"js","version":"5","x":[1]},"y":2}')
    assert read == Line(1, Connect())
    (read,) = parse('{"send":{"data":1}}')
    assert read == Line(0, Disregarded())
    (read,) = parse('{"id":1,"subscribe":{"channel":"a","flag":1,"data":[1]}}')
    assert read.command.last is None
    (read,) = parse('{"id":1,"history":{"channel":"a","since":{"offset":3,"epoch":"e"}}}')
    assert read.command == History("a", Since(3, "e"))


MESSAGES = [StoredMessage(None, "1", f"id-{offset}", offset, "t") for offset in range(4, 9)]


@pytest.mark.parametrize(
    ("seen", "after", "expected"),
    [
        (LastSeen("e", 8), 8, "recovered"),
        (LastSeen("e", 5), 5, "recovered"),
        (LastSeen("e", 5, "id-5"), 5, "recovered"),
        (LastSeen("e", 3), 3, "recovered"),
        (LastSeen("e", 3, "id-3"), 3, "trimmed"),
        (LastSeen("e", 2), 2, "trimmed"),
        (LastSeen("e", 0), 0, "trimmed"),
        (LastSeen("", 0), 0, "trimmed"),
        (LastSeen("f", 5), 5, "epoch"),
        (LastSeen("", 5), 5, "recovered"),
        (LastSeen("", 5, "id-5"), 5, "recovered"),
        (LastSeen("", 5, "other"), 5, "forked"),
        (LastSeen("", 2), 2, "trimmed"),
        (LastSeen("", 9), 9, "forked"),
        (LastSeen("f", 0), 0, "epoch"),
        (LastSeen("e", 9), 9, "forked"),
        (LastSeen("e", 5, "other"), 5, "forked"),
        (LastSeen("e", 8, "other"), 8, "forked"),
    ],
)
def test_a_page_continues_what_was_seen_or_says_why_not(seen, after, expected):
    """P25 to P27."""
    behind = [message for message in MESSAGES if message.offset > after]
    ids = {message.offset: message.id for message in MESSAGES}
    assert decide_recovery(seen, Page("e", 8, 4, behind, ids.get(after))) == expected


def test_the_beginning_of_an_untrimmed_log_is_recovered_without_an_epoch():
    """P25."""
    assert decide_recovery(LastSeen("", 0), Page("e", 0, 1)) == "recovered"
    first = [StoredMessage("Ann", "1", "id-1", 1, "")]
    assert decide_recovery(LastSeen("", 0), Page("e", 8, 1, first)) == "recovered"


@pytest.mark.contract("SV6")
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "content", "timestamp"),
    [
        ('{"content":"a","timestamp":"then"}', "a", "then"),
        ('{"content":"a","timestamp":""}', "a", STORED_AT),
        ('{"content":"a","timestamp":5,"x":1}', "a", STORED_AT),
        (json.dumps({"content": "a", "timestamp": "9" * 65}), "a", STORED_AT),
        ('{"content":""}', "", STORED_AT),
        ('{"content": 5}', '{"content": 5}', STORED_AT),
        ('"text"', "text", STORED_AT),
        ("[1, 2]", "[1, 2]", STORED_AT),
        ("null", "null", STORED_AT),
    ],
)
async def test_a_plain_client_is_shown_any_data(data, content, timestamp):
    """P23."""
    history = FakeHistory()
    guest = await Guest(rooms_of(history)).enter()
    history.store("lobby", Entry("Ann", data, "id"))
    assert guest.frames[-1] == {
        "type": "message",
        "sender": "Ann",
        "content": content,
        "timestamp": timestamp,
        "id": "id",
        "offset": 1,
    }
    guest.leave()


def test_the_protocol_tells_the_numbers_as_they_are():
    limits = Limits()
    for told in (
        f"within {limits.connect_seconds:g} s",
        f"every {limits.ping_seconds:g} s",
        f"within {limits.pong_seconds:g} s",
        f"as many subscriptions as it may have ({limits.subscriptions}, P43)",
    ):
        assert told in PROTOCOL, told
    for code in (100, 102, 103, 104, 105, 106, 107, 112, 3004, 3012, 3500, 3501, 3502):
        assert f"| {code} |" in PROTOCOL, code
    for name in (*COMMANDS, "send"):
        assert f"| `{name}` |" in PROTOCOL, name
