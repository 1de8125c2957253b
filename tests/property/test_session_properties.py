"""Properties of the session: every order of events tells 1 to N, and no input crashes it."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_history import FakeHistory
from session_kit import Guest, Person, idle, rooms_of, send

STEPS = st.lists(
    st.sampled_from(
        [
            *("say", "say", "say", "say untold", "see again"),
            *("come", "come plain", "leave", "answer", "answer", "read", "turn"),
        ]
    ),
    max_size=40,
)


class PlainReader:
    """A client of plain JSON, which sees the room from its coming on."""

    def __init__(self, rooms) -> None:
        self.guest = Guest(rooms)
        self.client = self.guest.client
        self.entering = asyncio.create_task(self.guest.enter())

    def offsets(self) -> list[int]:
        found: list[int] = []
        for frame in self.client.frames:
            found += [message["offset"] for message in frame.get("messages", ())]
            found += [frame["offset"]] if frame["type"] == "message" else []
        return found

    async def leave(self) -> None:
        self.entering.cancel()
        await asyncio.wait([self.entering])
        self.guest.leave()


class Reader:
    """A client of the session that comes back again and again, from its own position."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.epoch = ""
        self.person: Person | None = None
        self.subscribing: asyncio.Task | None = None

    async def come(self, rooms) -> None:
        await self.leave()
        self.person = await Person(rooms).connect()
        self.person.client.is_reading = False
        self.subscribing = asyncio.create_task(
            self.person.say(
                json.dumps(
                    {
                        "id": 9,
                        "subscribe": {
                            "channel": "lobby",
                            "recover": True,
                            "epoch": self.epoch,
                            "offset": self.seen[-1] if self.seen else 0,
                        },
                    }
                )
            )
        )

    async def leave(self) -> None:
        if self.person is None or self.subscribing is None:
            return
        self.subscribing.cancel()
        await asyncio.wait([self.subscribing])
        self.person.leave()
        self.seen += self.person.offsets()
        for frame in self.person.frames:
            self.epoch = frame.get("subscribe", {}).get("epoch") or self.epoch
        assert not [push for push in self.person.pushes if "unsubscribe" in push]
        self.person = self.subscribing = None


async def play(steps: list[str]) -> None:
    history = FakeHistory()
    rooms = rooms_of(history, history_messages=1000, buffer_messages=16)
    reader, plain_readers = Reader(), []
    history.hold()
    for step in steps:
        match step:
            case "say":
                history.say("lobby")
            case "say untold":
                history.tells = False
                history.say("lobby")
                history.tells = True
            case "see again":
                history.lost_sight()
            case "come":
                await reader.come(rooms)
            case "come plain":
                plain_readers.append(PlainReader(rooms))
            case "leave":
                await reader.leave()
            case "answer":
                history.release(1)
                await idle(10)
            case "read":
                if reader.person is not None:
                    reader.person.client.take(1)
            case _:
                await asyncio.sleep(0)
    await settle(history, rooms, reader, plain_readers)


async def settle(history, rooms, reader: Reader, plain_readers: list[PlainReader]) -> None:
    """Let everything arrive; then nobody may have missed anything, or seen it twice."""
    history.release()
    history.say("lobby")
    history.lost_sight()
    if reader.person is None or reader.person.client.ended:
        await reader.come(rooms)
    for _ in range(20):
        await idle(20)
        reader.person.client.take()
    history.say("lobby")
    reader.person.client.take()
    top = history.rooms["lobby"].top
    for each in plain_readers:
        assert each.client.ended is None
        assert each.offsets() == list(range(1, top + 1))
        await each.leave()
    await reader.leave()
    assert reader.seen == list(range(1, top + 1))
    assert rooms.members == {}
    await idle(5)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.contract("SE1", "SV1")
@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_in_every_order_of_events_everybody_sees_one_to_n(steps):
    """P9, P24, P25."""
    asyncio.run(play(steps))


VALID = [
    (
        '{"id":2,"subscribe":{"channel":"lobby","recover":true,"epoch":"epoch-1","offset":1,'
        '"data":{"last":"a"},"join_leave":true}}'
    ),
    '{"id":3,"unsubscribe":{"channel":"lobby"}}',
    send(4, id="a", data={"content": "hello", "timestamp": "t"}),
    '{"id":5,"publish":{"channel":"lobby","data":[1,2.5,null,"\\u00e9"]}}',
    (
        '{"id":6,"history":{"channel":"lobby","limit":5,"reverse":true,'
        '"since":{"offset":3,"epoch":"epoch-1"}}}'
    ),
    '{"id":7,"presence":{"channel":"lobby"}}',
    '{"id":8,"presence_stats":{"channel":"lobby"}}',
    '{"id":9,"ping":{}}',
    '{"id":10,"connect":{"token":"t"}}',
    '{"send":{"data":1}}',
    "{}",
]
PIECES = [
    *('"', "{", "}", "[", "]", ",", ":", "\\", "\n", "\0", "null", "true", "-1", "0", "1e999"),
    *(
        "99999999999999999999",
        '"channel"',
        '"data"',
        '"id"',
        "NaN",
        "\\ud800",
        "é",
        "\u2028",
        "[" * 2000,
    ),
]
ERRORS = {100, 102, 103, 104, 105, 106, 107, 112}
CLOSES = {3501}
RESULTS = {
    *("connect", "subscribe", "unsubscribe", "rpc", "publish", "history"),
    *("presence", "presence_stats", "ping"),
}


def mutated(chance: random.Random) -> str | bytes:
    text = chance.choice(VALID)
    for _ in range(chance.randrange(4)):
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        match chance.randrange(5):
            case 0:
                text = text[:at] + text[min(end, at + 3) :]
            case 1:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 2:
                text = text[:at] + text[at:end] + text[at:]
            case 3:
                text = text + "\n" + chance.choice(VALID)
            case _:
                text = (
                    text[:at] + chr(chance.choice([0, 34, 48, 92, 125, 233, 0x1F600])) + text[end:]
                )
    return text.encode() if chance.random() < 0.01 else text


def assert_documented(frame: dict) -> None:
    if "push" in frame:
        (name,) = frame["push"].keys() - {"channel"}
        assert name in {"pub", "join", "leave"}
    elif "error" in frame:
        assert frame.keys() == {"id", "error"}
        assert frame["error"]["code"] in ERRORS
        assert frame["error"]["message"].endswith(".")
    else:
        (name,) = frame.keys() - {"id"}
        assert name in RESULTS
        assert frame["id"] >= 1


async def converse(messages: list[str | bytes], history: FakeHistory) -> None:
    """Send messages on as many connections as it takes; each is answered as documented."""
    rooms = rooms_of(history)
    bystander = await Person(rooms).connect()
    bystander_reader = PlainReader(rooms)
    await bystander.subscribe()
    await bystander_reader.entering
    person = await Person(rooms, "Eve").connect()
    for message in messages:
        for frame in await person.say(message):
            assert_documented(frame)
        if person.client.ended is not None:
            assert person.client.ended[0] in CLOSES
            person.leave()
            person = await Person(rooms, "Eve").connect()
    history.say("lobby")
    assert bystander.client.ended is None
    assert bystander.offsets()[-1] == history.rooms["lobby"].top
    assert bystander_reader.offsets()[-1] == history.rooms["lobby"].top
    for each in (person, bystander):
        each.leave()
    await bystander_reader.leave()


@pytest.mark.contract("SV3", "SV4")
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_mutated_frames_are_answered_as_documented(seed):
    """P21, P33."""
    chance = random.Random(seed)
    asyncio.run(converse([mutated(chance) for _ in range(1000)], FakeHistory()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
NAMES = st.sampled_from([*sorted(RESULTS), "send", "refresh", "nonsense"])
FIELDS = st.dictionaries(
    st.sampled_from(
        ["channel", "data", "id", "method", "epoch", "offset", "recover", "since", "limit", "token"]
    ),
    JSON | st.sampled_from(["lobby", "send", 1, True, {"channel": "lobby", "id": "a", "data": 1}]),
)
COMMANDS = st.builds(
    lambda number, name, fields: json.dumps({"id": number, name: fields}),
    st.integers(1, 99) | JSON,
    NAMES,
    FIELDS | JSON,
)


@pytest.mark.contract("SV3", "SV4")
@given(st.lists(st.one_of(st.binary(max_size=50), st.text(), JSON.map(json.dumps), COMMANDS)))
@settings(deadline=None)
def test_arbitrary_messages_are_answered_as_documented(messages):
    """P21, P33."""
    asyncio.run(converse(messages, FakeHistory()))
