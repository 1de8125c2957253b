"""What a connection asks of a protocol that somebody wrote, and what it does with the answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from sockstore import (
    HandshakeFailed,
    InvalidOption,
    Reconnect,
    SubscriptionRefused,
    WebSocketStore,
)
from sockstore.protocols import (
    Address,
    Answered,
    Ask,
    BaseProtocol,
    Conversation,
    Ended,
    Failed,
    Missed,
    Opened,
    Raised,
    Received,
    Settled,
    Subscribed,
    Write,
)
from sockstore.testing import FakeServer, accept, close, pause, receive, send
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


class Talk(Conversation):
    """Does what a frame says, so that a test decides what the conversation says."""

    def __init__(self, protocol: Own, memory: list[object]) -> None:
        super().__init__()
        self.protocol = protocol
        self.memory = memory
        self.keys: dict[Any, Any] = {}
        self.told_of: list[object] = []
        self.sent: list[object] = []

    def open(self, given, now):
        self.memory.append(dict(given))
        return [Write("hello"), *([] if self.protocol.waits else [Opened()])]

    def subscribe(self, subscriptions, now):
        self.keys.update({each.key: each for each in subscriptions})
        frame = json.dumps({"subscribe": [each.key for each in subscriptions]})
        return [Write(frame), *(Subscribed(each) for each in subscriptions)]

    def unsubscribe(self, subscriptions, now):
        return [Write(json.dumps({"leave": [each.key for each in subscriptions]}))]

    def send(self, data, subscription, entry):
        self.sent.append(entry)
        return [f"header of {len(data)}", data]

    def told(self, question, value, now):
        return [Write(f"{question.what} is {value}")]

    def hear(self, frame, now):
        match frame.split():
            case ["ping"]:
                return [Write("pong")]
            case ["late"]:
                return []
            case ["welcome"]:
                return [Opened()]
            case ["ask"]:
                return [Ask("token", refresh=True)]
            case ["limit", most]:
                self.max_message_bytes = int(most)
                return []
            case ["fail", kind]:
                return [Failed("the server is confused", kind)]
            case ["raise"]:
                return [Raised(ValueError("a bug"), "key"), Received("after it")]
            case ["stored"]:
                return [Settled(self.sent[0], "acknowledged")]
            case ["missed", key]:
                return [Missed(self.keys[key], "reconnected"), Received("next", self.keys[key])]
            case ["end", key, *words]:
                return [Ended(self.keys[key], " ".join(words) or None)]
            case ["for", key]:
                return [Received(frame, self.keys[key])]
        return [Received(frame)]


@dataclasses.dataclass(frozen=True)
class Own(BaseProtocol):
    token: str | Callable[..., object] = "secret"
    waits: bool = False
    memories: list[list[object]] = dataclasses.field(default_factory=list)
    talks: list[Talk] = dataclasses.field(default_factory=list)
    codes: dict[int, str] = dataclasses.field(default_factory=dict)
    has_subscriptions = True

    def parameters(self):
        return {"token": self.token}

    def address(self, url, given):
        return Address(f"{url}/v1?token={given['token']}", ("own.v1",))

    def make_memory(self):
        self.memories.append([])
        return self.memories[-1]

    def converse(self, memory, attempt):
        self.talks.append(Talk(self, memory))
        return self.talks[-1]

    def classify(self, code):
        return self.codes.get(code)


class Unshared(Own):
    shares_subscriptions = False


def speaking(server: FakeServer, protocol: BaseProtocol, **options) -> WebSocketStore:
    options = {"reconnect": EVERY_SECOND} | options
    return WebSocketStore("ws://fake", transport=server, protocol=protocol, **options)


async def phase(connection: WebSocketStore, *phases: str):
    return await connection.state.wait_for(lambda state: state.phase in phases, 60)


# Lifetimes


@pytest.mark.contract("PR1")
async def test_options_are_shared_memory_is_a_stores_and_a_conversation_is_a_transports():
    protocol, server = Own(), FakeServer()
    async with speaking(server, protocol) as one, speaking(FakeServer(), protocol) as other:
        await one.ready(5)
        await other.ready(5)
        server.drop()
        await phase(one, "waiting")
        await one.ready(5)
        one.close()
        one.connect()
        await one.ready(5)
    assert [len(memory) for memory in protocol.memories] == [3, 1]
    assert len(protocol.talks) == len({id(talk) for talk in protocol.talks}) == 4


@pytest.mark.contract("PR2")
async def test_each_attempt_asks_for_the_address_and_offers_the_protocols_subprotocol_first():
    tokens = iter(["one", "two"])

    async def token(attempt) -> str:
        asked.append((attempt.number, attempt.refresh))
        return next(tokens)

    asked: list[object] = []
    server = FakeServer()
    options = {"subprotocols": ["mine", "own.v1"]}
    async with speaking(server, Own(token), **options) as connection:
        await connection.ready(5)
        server.drop()
        await phase(connection, "waiting")
        await connection.ready(5)
        assert "one" not in repr(connection) + connection.explain()
    targets = [each.target for each in server.handshakes]
    assert [each.url for each in targets] == [
        "ws://fake/v1?token=one",
        "ws://fake/v1?token=two",
    ]
    assert targets[0].subprotocols == ("own.v1", "mine"), "each name once"
    assert asked == [(0, False), (1, False)]
    with pytest.raises(InvalidOption, match="name each only once"):
        speaking(server, Own(), subprotocols=["mine", "mine"])


# What a message is


@pytest.mark.contract("PR2")
async def test_control_and_late_answers_stand_nowhere_and_pings_of_the_server_are_answered():
    server = FakeServer()
    async with speaking(server, Own()) as connection:
        seen: list[object] = []
        stream = connection.stream()
        handle = connection.subscribe("a")
        connection.messages.on_append(lambda message: seen.append(message.data))
        await handle.ready(5)
        server.send("ping", "late", "news", "for a")
        await turns()
        assert (await anext(stream)).data == "news"
        assert seen == ["news"]
        assert [message.data for message in connection.messages.value] == ["news"]
        assert [message.data for message in handle.messages.value] == ["for a"]
        assert server.received[-1] == "pong"
        handle.unsubscribe()


@pytest.mark.contract("PR2")
async def test_data_is_encoded_when_it_is_sent_and_framed_when_it_is_handed_over():
    server, protocol = FakeServer(), Own()
    connection = speaking(server, protocol)
    data = {"n": 1}
    assert connection.send(data).state == "queued"
    data["n"] = 2
    with pytest.raises(TypeError):
        connection.send({"no": object()})
    assert protocol.talks == [], "nobody was asked yet"
    async with connection:
        await connection.ready(5)
        await turns()
        assert server.received == ["hello", "header of 7", '{"n":1}']
        receipt = connection.send("x")
        await turns()
        assert server.received[-2:] == ["header of 1", "x"]
        assert receipt.state == "sent"


@pytest.mark.contract("PR1")
async def test_a_question_to_the_program_is_awaited_and_its_answer_is_an_event():
    async def token(question) -> str:
        await asyncio.sleep(1)
        return "new" if question.refresh else "old"

    server = FakeServer()
    async with speaking(server, Own(token)) as connection:
        await connection.ready(5)
        server.send("ask", "not held up")
        await turns()
        assert connection.messages.value[-1].data == "not held up"
        await asyncio.sleep(1.1)
        assert server.received[-1] == "token is new"
    server = FakeServer()
    async with speaking(server, Own("fixed")) as connection:
        await connection.ready(5)
        server.send("ask")
        await turns()
        assert server.received[-1] == "token is fixed"


@pytest.mark.contract("PR1")
@pytest.mark.parametrize("waits", [False, True])
async def test_a_question_that_the_program_cannot_answer_ends_the_connection(waits, reported):
    def token(question) -> str:
        if isinstance(question, Ask):
            raise LookupError("no token")
        return "first"

    server = FakeServer(accept(), receive(), send("ask"), pause(60))
    loop = asyncio.get_running_loop()
    async with speaking(server, Own(token, waits=waits)) as connection:
        state = await phase(connection, "waiting")
        assert "the callable for 'token' raised" in state.error
        assert loop.time() < 1
    assert ["token" in each["message"] for each in reported] == [True]


@pytest.mark.contract("PR1", "PR2")
async def test_what_a_conversation_says_of_functions_messages_and_gaps_reaches_the_program(
    reported,
):
    server, protocol = FakeServer(), Own()
    async with speaking(server, protocol) as connection:
        handle = connection.subscribe("a")
        gaps = handle.stream(gaps=True)
        await handle.ready(5)
        server.send("raise")
        await turns()
        assert connection.messages.value[-1].data == "after it"
        receipt = connection.send("x")
        await turns()
        server.send("stored")
        await turns()
        assert receipt.state == "acknowledged"
        server.send("missed a")
        await turns()
        assert [(await anext(gaps)).kind for _ in range(2)] == ["gap", "text"]
        server.send("end a")
        with pytest.raises(StopAsyncIteration):
            await anext(gaps)
        assert (handle.state.value.phase, handle.state.value.error) == ("ended", None)
        again = connection.subscribe("a")
        reader = again.stream()
        await again.ready(5)
        server.send("end a kicked out")
        with pytest.raises(SubscriptionRefused) as ended:
            await anext(reader)
        assert str(ended.value) == "the server ended the subscription 'a': kicked out"
        assert (again.state.value.phase, again.state.value.error) == ("ended", "kicked out")
    assert [each["message"] for each in reported if "key raised" in each["message"]]
    reported.clear()


@pytest.mark.contract("OB9")
async def test_what_the_server_announced_as_its_limit_refuses_a_larger_message_here():
    server = FakeServer()
    async with speaking(server, Own()) as connection:
        await connection.ready(5)
        server.send("limit 20")
        await turns()
        for refused in (connection.send("x" * 21), await connection.asend("x" * 21)):
            assert refused.state == "refused"
            assert refused.why == "it is larger than the server takes"
        assert connection.send("x" * 20)
        await turns()
        assert server.received[-1] == "x" * 20
        assert connection.phase.value == "open"
        server.drop()
        await phase(connection, "waiting")
        assert connection.send("x" * 21), "the next server has not said it"
        await connection.ready(5)


class Asking(Talk):
    """Answers each request with the first frame that says `answer`."""

    def request(self, data, subscription, request):
        self.asked = request
        return ["request"]

    def hear(self, frame, now):
        if frame == "answer":
            return [Answered(self.asked, frame)]
        if frame.startswith("end"):
            return [Write("over"), *super().hear(frame, now)]
        return super().hear(frame, now)


@dataclasses.dataclass(frozen=True)
class OwnAsking(Own):
    has_requests = True

    def converse(self, memory, attempt):
        return Asking(self, memory)


@pytest.mark.contract("SU4", "SU6", "SU7")
@pytest.mark.parametrize("end", ["end a", "end a kicked out"])
async def test_what_is_said_of_a_subscription_stays_behind_the_messages_that_wait(end):
    server, told = FakeServer(), []
    async with speaking(server, OwnAsking()) as connection:
        connection.messages.on_append(lambda message: told.append(message.data))
        handle = connection.subscribe("a")
        handle.messages.on_append(lambda message: told.append(message.data))
        handle.state.subscribe(lambda state: told.append(state.phase))
        stream = handle.stream(gaps=True)
        await handle.ready(5)
        asking = asyncio.create_task(connection.request({}))
        await turns()
        server.send("answer", "news", "for a", "missed a", end)
        assert await asking == "answer"
        await turns()
        assert told == ["waiting", "subscribed", "news", "for a", "next", "ended"]
        assert [(await anext(stream)).kind for _ in range(3)] == ["text", "gap", "text"]
        assert server.received[-1] == "over"


# Ending


@pytest.mark.contract("PR2")
@pytest.mark.parametrize("waits", [False, True])
async def test_a_conversation_that_cannot_go_on_is_a_failed_attempt_or_a_loss(waits):
    server = FakeServer(accept(), receive(), send("fail retry"), pause(60))
    async with speaking(server, Own(waits=waits)) as connection:
        state = await phase(connection, "waiting")
        assert "the server is confused" in state.error
        assert isinstance(state.exception, HandshakeFailed) is waits
    server = FakeServer(accept(), receive(), send("fail fatal"), pause(60))
    connection = speaking(server, Own(waits=waits))
    connection.connect()
    assert "the server is confused" in (await phase(connection, "failed")).error
    await connection.aclose()


@pytest.mark.contract("PR2", "RC6")
async def test_a_protocols_table_of_close_codes_stands_over_ours_and_under_the_users():
    for codes, classify, expected in [
        ({}, {}, "waiting"),
        ({4999: "fatal"}, {}, "failed"),
        ({4999: "fatal"}, {4999: "retry"}, "waiting"),
        ({4400: "retry"}, {}, "waiting"),  # fatal in ours
        ({1011: "goodbye"}, {}, "closed"),
    ]:
        code = next(iter(codes), 4999)
        policy = Reconnect(
            schedule=lambda attempt, outcome: 1.0, classify=classify, after_goodbye=False
        )
        server = FakeServer(accept(), pause(0.1), close(code))
        connection = speaking(server, Own(codes=codes), reconnect=policy)
        connection.connect()
        state = await phase(connection, "waiting", "failed", "closed")
        assert (codes, classify, state.phase) == (codes, classify, expected)
        await connection.aclose()


# Subscriptions


@pytest.mark.contract("SU1")
async def test_where_the_protocol_does_not_share_each_handle_asks_the_server():
    server, protocol = FakeServer(), Unshared()
    async with speaking(server, protocol) as connection:
        await connection.ready(5)
        one, two = connection.subscribe("a", {"n": 1}), connection.subscribe("a", {"n": 2})
        await turns()
        assert server.received[-1] == '{"subscribe": ["a", "a"]}'
        one.unsubscribe()
        await turns()
        assert server.received[-1] == '{"leave": ["a"]}'
        assert (one.state.value.phase, two.state.value.phase) == ("ended", "subscribed")
        server.send("for a")
        await turns()
        assert (len(one.messages.value), len(two.messages.value)) == (0, 1)
        two.unsubscribe()


@pytest.mark.contract("SU1", "SU3")
async def test_the_history_and_the_limit_are_those_of_each_handle():
    server = FakeServer()
    async with speaking(server, Own()) as connection:
        few, all_ = connection.subscribe("a", history=1), connection.subscribe("a", history=None)
        none = connection.subscribe("a", history=0, limit=1)
        await none.ready(5)
        for _ in range(150):
            server.send("for a")
        await asyncio.sleep(0.1)
        assert server.received == ["hello", '{"subscribe": ["a"]}']
        lengths = [len(each.messages.value) for each in (few, all_, none)]
        assert lengths == [1, 150, 0]
        assert none.latest.value == "for a"
        for each in (few, all_, none):
            each.unsubscribe()
