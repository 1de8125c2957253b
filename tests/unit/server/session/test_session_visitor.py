"""A session step by step: what a client asks and is told, with everything else standing still."""

from __future__ import annotations

import asyncio
import json

import pytest

from fake_history import FakeHistory
from session_kit import Person, idle, rooms_of, send
from sockstore import __version__

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SE1")]


async def test_connecting_tells_the_name_of_the_connection_and_what_a_sender_must_know():
    """P21, P30."""
    rooms = rooms_of()
    person, other = Person(rooms), Person(rooms)
    told = (await person.ask("connect", token="t"))["connect"]
    assert person.shown == ["t"]
    assert set(told) == {"client", "version", "ping", "pong", "data"}
    assert (told["ping"], told["pong"]) == (25, True)
    assert told["data"]["sockstore"] == {
        "rate": 1e6,
        "burst": 1_000_000,
        "max_message_bytes": 65536,
        "remembers": 3600.0,
    }
    assert (await other.ask("connect"))["connect"]["client"] != told["client"]
    for each in (person, other):
        each.leave()


async def test_a_wrong_token_ends_the_connection():
    person = Person(rooms_of(), refusal=(3500, "the token is wrong or missing"))
    await person.say('{"id":1,"connect":{}}')
    assert person.client.ended == (3500, "the token is wrong or missing")
    person.leave()


@pytest.mark.contract("SV4")
async def test_another_token_is_checked_as_the_first_one_was():
    """P42."""
    person = await Person(rooms_of()).connect()
    name = person.frames[0]["connect"]["client"]
    told = (await person.ask("refresh", token="second"))["refresh"]
    assert told == {"client": name, "version": __version__}
    assert person.shown == [None, "second"]
    person.refusal = (3004, "the server could not check the token")
    error = (await person.ask("refresh", token="third"))["error"]
    assert (error["code"], error["temporary"]) == (100, True)
    assert person.client.ended is None
    for fields in ({}, {"token": ""}, {"token": None}):
        assert (await person.ask("refresh", **fields))["error"]["code"] == 107
    person.refusal = (3500, "the token is wrong or missing")
    told = await person.say(send(80, id="a") + '\n{"id":81,"refresh":{"token":"bad"}}')
    assert [frame["id"] for frame in told] == [80]
    assert person.client.ended == person.refusal
    person.leave()


@pytest.mark.contract("SV4")
async def test_a_token_of_a_subscription_is_shown_by_its_subscribers():
    """P42."""
    person = await Person(rooms_of()).connect()
    ask = {"channel": "lobby", "token": "t"}
    assert (await person.ask("sub_refresh", **ask))["error"]["code"] == 103
    await person.subscribe()
    assert (await person.ask("sub_refresh", **ask))["sub_refresh"] == {}
    assert (await person.ask("sub_refresh", channel="lobby"))["error"]["code"] == 107
    assert (await person.ask("sub_refresh", channel="", token="t"))["error"]["code"] == 102
    person.leave()


@pytest.mark.contract("SV11")
@pytest.mark.parametrize("command", ['"ping":{}', '"rpc":{"method":"send","data":{}}'])
async def test_others_have_their_turns_while_one_message_of_many_commands_is_done(command):
    person = await Person(rooms_of()).connect()
    turns = 0
    speaking = asyncio.create_task(person.say(f'{{"id":2,{command}}}\n' * 1000))
    while not speaking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 1000 / 16
    assert len(await speaking) == 1000
    person.leave()


@pytest.mark.parametrize(
    "texts",
    [
        ['{"id":1,"subscribe":{"channel":"a"}}'],
        ['{"id":1,"nonsense":{}}'],
        ['{"send":{}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"connect":{}}'],
        ['{"id":1,"connect":{}}\n{"id":2,"connect":{}}'],
        ['{"id":1,"connect":{}}', b"{}"],
        ['{"id":1,"connect":{}}', "nonsense"],
    ],
)
async def test_who_breaks_the_protocol_is_closed_with_3501(texts):
    """P21."""
    person = Person(rooms_of())
    await person.say(*texts)
    assert person.client.ended is not None
    assert person.client.ended[0] == 3501
    person.leave()


async def test_replies_to_one_message_are_one_message_in_the_order_of_the_commands():
    """P20."""
    person = await Person(rooms_of()).connect()
    await person.say('{"id":5,"ping":{}}\n{"id":6,"nope":{}}\n{"send":{}}\n{"id":7,"ping":{}}')
    lines = person.client.texts[-1].split("\n")
    assert [json.loads(line)["id"] for line in lines] == [5, 6, 7]
    assert json.loads(lines[1])["error"]["code"] == 104
    person.leave()


async def test_a_subscriber_is_told_what_is_said_from_then_on():
    """P24."""
    history = FakeHistory()
    history.say("lobby", 3)
    person = await Person(rooms_of(history)).connect()
    assert await person.subscribe() == {
        "epoch": "epoch-1",
        "offset": 3,
        "recoverable": True,
        "positioned": True,
        "publications": [],
        "data": {"last": "epoch-1-3"},
    }
    history.say("lobby", 2)
    history.say("elsewhere", 2)
    assert person.offsets() == [4, 5]
    assert (await person.ask("unsubscribe", channel="lobby"))["unsubscribe"] == {}
    history.say("lobby")
    assert person.offsets() == [4, 5]
    assert (await person.ask("unsubscribe", channel="lobby"))["unsubscribe"] == {}
    person.leave()


@pytest.mark.contract("SE3")
@pytest.mark.parametrize(
    ("asked", "offsets", "recovered", "reason"),
    [
        ({"epoch": "epoch-1", "offset": 6}, [7, 8, 9, 10], True, None),
        (
            {"epoch": "epoch-1", "offset": 6, "data": {"last": "epoch-1-6"}},
            [7, 8, 9, 10],
            True,
            None,
        ),
        ({"epoch": "epoch-1", "offset": 10}, [], True, None),
        ({"epoch": "epoch-1", "offset": 4}, [5, 6, 7, 8, 9, 10], True, None),
        ({"epoch": "epoch-1", "offset": 3}, [5, 6, 7, 8, 9, 10], False, "trimmed"),
        ({}, [5, 6, 7, 8, 9, 10], False, "trimmed"),
        ({"epoch": "other", "offset": 6}, [5, 6, 7, 8, 9, 10], False, "epoch"),
        ({"epoch": "epoch-1", "offset": 11}, [], False, "forked"),
        ({"epoch": "epoch-1", "offset": 6, "data": {"last": "other"}}, [], False, "forked"),
    ],
)
async def test_who_comes_back_gets_what_was_missed_or_hears_that_it_is_gone(
    asked, offsets, recovered, reason
):
    """P25, P26, P27."""
    history = FakeHistory()
    history.say("lobby", 10)
    history.trim("lobby", 4)
    person = await Person(rooms_of(history)).connect()
    reply = await person.subscribe(recover=True, **asked)
    assert person.offsets() == offsets
    assert reply["was_recovering"] is True
    assert reply["recovered"] is recovered
    assert (reply["epoch"], reply["offset"]) == ("epoch-1", asked["offset"] if recovered else 10)
    last = {} if offsets else {"last": "epoch-1-10"}
    assert reply["data"] == last | ({} if reason is None else {"reason": reason})
    history.say("lobby")
    assert person.offsets() == [*offsets, 11]
    person.leave()


async def test_a_long_answer_is_divided_and_the_rest_comes_as_pushes():
    """P25."""
    history = FakeHistory()
    history.say("lobby", 1000)
    person = await Person(rooms_of(history)).connect()
    reply = await person.subscribe(recover=True)
    assert (reply["recovered"], reply["offset"]) == (True, 0)
    assert reply["publications"][-1]["offset"] == 256
    history.say("lobby", 5)
    await idle()
    history.say("lobby", 5)
    assert person.offsets() == list(range(1, 1011))
    person.leave()


@pytest.mark.contract("SE3", "SE5")
async def test_what_is_kept_after_a_gap_is_divided_too_and_the_offset_is_the_newest():
    """P24, P26."""
    history = FakeHistory()
    history.say("lobby", 1000)
    history.trim("lobby", 300)
    person = await Person(rooms_of(history)).connect()
    reply = await person.subscribe(recover=True, epoch="epoch-1", offset=100)
    assert reply["recovered"] is False
    assert (reply["was_recovering"], reply["offset"]) == (True, 1000)
    assert len(reply["publications"]) == 256
    history.say("lobby", 5)
    await idle()
    assert person.offsets() == list(range(301, 1006))
    person.leave()


async def test_a_long_answer_waits_for_a_client_that_reads_slowly():
    """P24, P25."""
    history = FakeHistory()
    history.say("lobby", 5000, data=json.dumps("x" * 1000))
    person = await Person(rooms_of(history)).connect()
    await person.subscribe(recover=True)
    person.client.is_reading = False
    most = 0
    while person.offsets()[-1] < 5000:
        await idle(50)
        assert person.client.ended is None
        most = max(most, person.client.buffered_bytes)
        person.client.take(1)
    assert most <= 1024 * 1024
    assert person.offsets() == list(range(1, 5001))
    history.say("lobby")
    person.client.take()
    assert person.offsets()[-1] == 5001
    person.leave()


@pytest.mark.contract("SV3")
async def test_who_reads_too_slowly_while_others_talk_is_dropped():
    history = FakeHistory()
    rooms = rooms_of(history, buffer_messages=16)
    slow, other = await Person(rooms).connect(), await Person(rooms).connect()
    for each in (slow, other):
        await each.subscribe()
    slow.client.is_reading = False
    history.say("lobby", 17)
    assert slow.client.ended == (1013, "the client reads too slowly")
    assert other.offsets() == list(range(1, 18))
    for each in (slow, other):
        each.leave()


@pytest.mark.contract("SE3")
@pytest.mark.parametrize("how", ["trimmed", "other epoch", "cannot be read"])
async def test_who_cannot_be_told_what_comes_next_is_told_to_subscribe_again(how):
    """P28."""
    history = FakeHistory()
    history.say("lobby", 1000)
    person = await Person(rooms_of(history)).connect()
    await person.subscribe(recover=True)
    match how:
        case "trimmed":
            history.trim("lobby", 600)
        case "other epoch":
            history.lose_everything()
            history.say("lobby", 400)
        case _:
            history.is_broken = True
    await idle()
    assert person.pushes == [
        {
            "channel": "lobby",
            "unsubscribe": {
                "code": 2500,
                "reason": "the server cannot continue the room; subscribe again",
            },
        }
    ]
    history.is_broken = False
    again = await person.subscribe(recover=True, epoch="epoch-1", offset=256)
    assert again["recovered"] == (how == "cannot be read")
    await idle()
    assert person.offsets()[-1] == history.rooms["lobby"].top
    person.leave()


async def test_what_another_server_stored_is_found_when_sight_comes_back():
    """P24: a history that several servers share may tell less than everything."""
    history = FakeHistory()
    history.say("lobby", 2)
    rooms = rooms_of(history)
    people = [await Person(rooms).connect() for _ in range(3)]
    for person in people:
        await person.subscribe()
    history.say("lobby")
    history.tells = False
    history.say("lobby", 700)
    history.tells = True
    history.lost_sight()
    await idle()
    history.say("lobby")
    for person in people:
        assert person.offsets() == list(range(3, 705))
        person.leave()


async def test_what_was_stored_unseen_while_the_first_subscriber_came_is_found():
    """P24: sight may come back before the answer that shows the room to the server."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.hold()
    subscribing = asyncio.create_task(person.subscribe())
    await idle()
    history.tells = False
    history.say("lobby")
    history.lost_sight()
    history.release()
    await subscribing
    await idle()
    assert person.offsets() == [1]
    person.leave()


async def test_a_hole_in_what_is_told_is_filled_before_what_comes_behind_it():
    """P24."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    await person.subscribe()
    history.say("lobby")
    history.tells = False
    history.say("lobby", 3)
    history.tells = True
    history.say("lobby")
    assert person.offsets() == [1]
    history.say("lobby")
    await idle()
    assert person.offsets() == [1, 2, 3, 4, 5, 6]
    person.leave()


@pytest.mark.contract("SE3")
@pytest.mark.parametrize("is_longer", [False, True])
async def test_a_log_that_went_another_way_behind_the_servers_back_is_noticed(is_longer):
    """P27, P28: a restored backup, with the same epoch."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    await person.subscribe()
    history.say("lobby", 5)
    history.tells = False
    del history.rooms["lobby"].messages[3:]
    history.rooms["lobby"].top = 3
    history.known.clear()
    for number in range(8 if is_longer else 1):
        history.epoch = f"x{number}"
        history.say("lobby")
    history.epoch = "epoch-1"
    history.lost_sight()
    await idle()
    assert [push["unsubscribe"]["code"] for push in person.pushes if "unsubscribe" in push] == [
        2500
    ]
    person.leave()


@pytest.mark.contract("SE2")
async def test_a_message_is_stored_once_however_often_it_is_sent():
    """P29."""
    history = FakeHistory()
    rooms = rooms_of(history)
    ann, bob = await Person(rooms, "Ann").connect(), await Person(rooms, "Bob").connect()
    await bob.subscribe()

    def stored(frame) -> tuple[int, str, bool]:
        data = frame["rpc"]["data"]
        return data["offset"], data["epoch"], data["duplicate"]

    assert stored((await ann.say(send(2, id="a")))[0]) == (1, "epoch-1", False)
    assert stored((await ann.say(send(3, id="a")))[0]) == (1, "epoch-1", True)
    told = await bob.say(send(9, id="a"))
    assert stored(told[-1]) == (2, "epoch-1", False)
    assert [push["pub"]["info"]["user"] for push in bob.pushes] == ["Ann", "Bob"]
    assert [push["pub"]["tags"]["id"] for push in bob.pushes] == ["a", "a"]
    for each in (ann, bob):
        each.leave()


async def test_publish_stores_each_time_and_says_if_it_cannot():
    """P31, P32."""
    history = FakeHistory()
    person = await Person(rooms_of(history), "Ann").connect()
    await person.subscribe()
    for _ in range(2):
        assert (await person.ask("publish", channel="lobby", data={"a": 1}))["publish"] == {}
    assert person.offsets() == [1, 2]
    first, second = (push["pub"] for push in person.pushes)
    assert first["data"] == second["data"] == {"a": 1}
    assert first["tags"]["id"] != second["tags"]["id"]
    history.is_broken = True
    error = (await person.ask("publish", channel="lobby", data=1))["error"]
    assert (error["code"], error["temporary"]) == (100, True)
    assert person.client.ended is None
    person.leave()


async def test_the_history_is_told_from_both_ends():
    history = FakeHistory()
    history.say("lobby", 130)
    person = await Person(rooms_of(history)).connect()

    async def ask(**fields):
        told = (await person.ask("history", channel="lobby", **fields))["history"]
        assert (told["epoch"], told["offset"]) == ("epoch-1", 130)
        return [publication["offset"] for publication in told["publications"]]

    here = {"epoch": "epoch-1", "offset": 5}
    assert await ask() == []
    assert await ask(limit=3) == [1, 2, 3]
    assert await ask(limit=3, reverse=True) == [130, 129, 128]
    assert await ask(limit=3, since=here) == [6, 7, 8]
    assert await ask(limit=3, since=here, reverse=True) == [4, 3, 2]
    assert await ask(limit=9, since=here, reverse=True) == [4, 3, 2, 1]
    assert await ask(limit=-1) == list(range(1, 101))
    assert await ask(limit=1000, reverse=True) == list(range(130, 30, -1))
    assert await ask(limit=1, since={"offset": 130}) == []
    for since in ({"epoch": "other", "offset": 5}, {"epoch": "epoch-1", "offset": 131}):
        reply = await person.ask("history", channel="lobby", limit=1, since=since)
        assert reply["error"]["code"] == 112
    history.is_broken = True
    reply = await person.ask("history", channel="lobby", limit=1)
    assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
    person.leave()


@pytest.mark.contract("SE1")
async def test_a_history_backwards_begins_right_before_the_position_however_large_it_is():
    history = FakeHistory()
    history.say("lobby", 20, json.dumps("x" * 1000))
    limits = {"buffer_bytes": 16 * 1024, "max_message_bytes": 1024}
    person = await Person(rooms_of(history, **limits)).connect()
    since = {"epoch": "epoch-1", "offset": 18}
    told = await person.ask("history", channel="lobby", limit=10, since=since, reverse=True)
    offsets = [publication["offset"] for publication in told["history"]["publications"]]
    assert offsets == [17, 16, 15, 14][: len(offsets)]
    assert offsets
    person.leave()


async def test_presence_is_told_to_who_is_there():
    rooms = rooms_of()
    people = [await Person(rooms, name).connect() for name in ("Ann", "Ann", None)]
    for person in people:
        await person.subscribe()
    ids = [person.client.id for person in people]
    told = (await people[0].ask("presence", channel="lobby"))["presence"]["presence"]
    assert told == {
        ids[0]: {"client": ids[0], "user": "Ann"},
        ids[1]: {"client": ids[1], "user": "Ann"},
        ids[2]: {"client": ids[2], "user": ""},
    }
    stats = (await people[0].ask("presence_stats", channel="lobby"))["presence_stats"]
    assert stats == {"num_clients": 3, "num_users": 2}
    for command in ("presence", "presence_stats"):
        reply = await people[0].ask(command, channel="elsewhere")
        assert reply["error"]["code"] == 103
    people[1].leave()
    stats = (await people[0].ask("presence_stats", channel="lobby"))["presence_stats"]
    assert stats == {"num_clients": 2, "num_users": 2}
    for person in people:
        person.leave()
    assert rooms.members == {}


async def test_joins_and_leaves_are_told_to_who_asked_for_them():
    """P14."""
    rooms = rooms_of(announced_members=3)
    ann, bob = await Person(rooms, "Ann").connect(), await Person(rooms, "Bob").connect()
    await ann.subscribe(join_leave=True)
    await bob.subscribe()
    ann_and = [await Person(rooms, name).connect() for name in ("C", "D")]
    for person in ann_and:
        await person.subscribe(join_leave=True)
    assert bob.pushes == []
    info = [(push["join"]["info"]["user"]) for push in ann.pushes]
    assert info == ["Bob", "C"]  # four are a crowd
    assert ann_and[0].pushes == []
    for person in (*ann_and, bob, ann):
        person.leave()
    assert rooms.members == {}


@pytest.mark.contract("SV4")
async def test_channels_are_checked_as_rooms_are():
    """P1, P33."""
    person = await Person(rooms_of(subscriptions=2)).connect()
    for command in ("subscribe", "unsubscribe", "history", "presence"):
        assert (await person.ask(command, channel="no/room"))["error"]["code"] == 102
    (reply,) = await person.say(send(50, "no/room", id="a"))
    assert reply["error"]["code"] == 102
    assert (await person.ask("publish", channel="", data=1))["error"]["code"] == 102
    decomposed = "cafe\u0301"
    assert "epoch" in await person.subscribe(decomposed)
    assert (await person.subscribe("caf\u00e9"))["error"]["code"] == 105
    await person.ask("publish", channel="caf\u00e9", data=1)
    assert person.offsets(decomposed) == [1]
    await person.subscribe("a")
    assert (await person.subscribe("b"))["error"]["code"] == 106
    await person.ask("unsubscribe", channel="caf\u00e9")
    assert "epoch" in await person.subscribe("b")
    person.leave()


async def test_a_connection_to_one_room_has_that_room_only():
    person = await Person(rooms_of(), only="lobby").connect()
    assert (await person.subscribe("other"))["error"]["code"] == 102
    (reply,) = await person.say(send(50, "other", id="a"))
    assert reply["error"]["code"] == 102
    assert "epoch" in await person.subscribe("lobby")
    person.leave()


@pytest.mark.contract("SV3")
async def test_every_command_counts_and_what_was_sent_before_too_many_is_stored():
    """P18, P22."""
    history = FakeHistory()
    person = await Person(rooms_of(history, rate=0.001, burst=5)).connect()
    told = await person.say("\n".join(send(number, id=f"a{number}") for number in range(2, 9)))
    assert [frame["id"] for frame in told] == [2, 3, 4, 5]
    assert person.client.ended is not None
    assert person.client.ended[0] == 4429
    assert history.rooms["lobby"].top == 4
    person.leave()


@pytest.mark.contract("SV3")
async def test_pongs_that_nobody_asked_for_count():
    person = await Person(rooms_of(rate=0.001, burst=3)).connect()
    await person.say("{}", "{}", "{}")
    assert person.client.ended is not None
    person.leave()


async def test_a_subscription_that_fails_leaves_nothing_behind():
    history = FakeHistory()
    rooms = rooms_of(history)
    person = await Person(rooms).connect()
    history.is_broken = True
    error = (await person.subscribe())["error"]
    assert (error["code"], error["temporary"]) == (100, True)
    assert rooms.members == {}
    history.is_broken = False
    history.hold()
    subscribing = asyncio.create_task(person.subscribe())
    await idle()
    subscribing.cancel()
    await asyncio.wait([subscribing])
    assert rooms.members == {}
    person.leave()
    assert len(asyncio.all_tasks()) == 1


async def test_leaving_while_catching_up_leaves_nothing_behind():
    history = FakeHistory()
    history.say("lobby", 1000)
    rooms = rooms_of(history)
    person = await Person(rooms).connect()
    await person.subscribe(recover=True)
    history.hold()
    await idle()
    person.leave()
    history.lost_sight()
    await idle()
    assert rooms.members == {}
    assert len(asyncio.all_tasks()) == 1


DATA = '{"id":2,"rpc":{"method":"send","data":{"channel":"a","id":"k","data":DATA}}}'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("1e400", "out of range"),
        ("[-1e400]", "out of range"),
        ("1" * 5000, "out of range"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udc00":1}', "surrogate"),
        ("[" * 101 + "]" * 101, "100 levels"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ('{"a":' * 3000 + '"]"' + "}" * 3000, "nested too deeply"),
    ],
    ids=lambda value: value[:12],
)
@pytest.mark.contract("SV4")
async def test_json_that_no_reader_can_hold_is_refused_alone(data, why):
    """P21: RFC 8259 allows it, so it is a wrong field and not a broken protocol."""
    person = Person(rooms_of())
    await person.say('{"id":1,"connect":{}}', DATA.replace("DATA", data))
    assert person.client.ended is None
    [refusal] = [reply for reply in person.frames if reply.get("id") == 2]
    assert refusal["error"]["code"] == 107
    assert why in refusal["error"]["message"]
    await person.say(DATA.replace("DATA", '"next"').replace('"id":2', '"id":3'))
    assert person.client.ended is None
    person.leave()


@pytest.mark.parametrize(
    "text",
    [
        *(DATA.replace("DATA", data) for data in ("NaN", "-Infinity", "01", "[1", "'a'", "1e")),
        *(DATA.replace("DATA", data) for data in ("[" * 5000 + "]" * 4999, '"\\ud800', "\t")),
        *('{"id":1e400,"ping":{}}', '{"ping":{},"x":1e400}', "1e400", '["\\ud800"]'),
        *('{"id":true,"ping":{},"x":1e400}', '{"id":2,"ping":{},"rpc":1e400}'),
        '"' + '\\"' * 30_000,
    ],
    ids=lambda value: value[-24:],
)
async def test_what_is_not_json_or_not_one_command_still_ends_the_session(text):
    """P21."""
    person = Person(rooms_of())
    await person.say('{"id":1,"connect":{}}', text)
    assert person.client.ended is not None
    assert person.client.ended[0] == 3501
    person.leave()


async def test_a_message_that_is_disregarded_may_hold_any_json():
    person = Person(rooms_of())
    await person.say('{"id":1,"connect":{}}', '{"send":{"x":1e400}}')
    assert person.client.ended is None
    person.leave()
