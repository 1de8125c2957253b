"""A protocol that a user wrote and that has a bug: it is reported, and nothing hangs or spins."""

from __future__ import annotations

import asyncio

import pytest

from sockstore import ConnectionEnded, DeliveryError, Reconnect, WebSocketStore
from sockstore.protocols import (
    Ask,
    BaseProtocol,
    Called,
    Conversation,
    Failed,
    Opened,
    Received,
    Settled,
    Subscribed,
    Write,
)
from sockstore.testing import FakeServer

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("PR1")]

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


class Talk(Conversation):
    """One that works: a server that lets in, takes subscriptions, and calls."""

    def open(self, given, now):
        return [Opened(), Ask("token")]

    def hear(self, frame, now):
        return [Called("f", None, 1)] if frame == "call" else [Received(frame)]

    def subscribe(self, subscriptions, now):
        return [Subscribed(each) for each in subscriptions]

    def request(self, data, subscription, request):
        return ["request"]

    def reply(self, call, result, failure):
        return ["reply"]


class Speaking(BaseProtocol):
    has_subscriptions = has_requests = has_calls = True

    def __init__(self, *, once=True, **methods) -> None:
        self.methods = methods
        self.broken = [1] if once else range(1000)
        self.used = 0

    def parameters(self):
        return {"token": "t"}

    def converse(self, memory, attempt):
        is_broken = self.used < len(self.broken)
        self.used += 1
        return type("Broken", (Talk,), self.methods)() if is_broken else Talk()


def raising(*args):
    raise LookupError("a bug")


def failing_later(*args):
    yield from ()
    raise LookupError("a bug")


def nothing(*args):
    return None


def speaking(server, protocol, **options):
    return WebSocketStore(
        "ws://fake", transport=server, protocol=protocol, reconnect=EVERY_SECOND, **options
    )


async def everything(connection, server):
    """Do what calls each method of a conversation."""
    connection.handle("f", lambda: 5)
    async with connection.subscribe("a"):
        await asyncio.sleep(0.1)
        connection.send("message")
        with pytest.raises((TimeoutError, DeliveryError)):
            await connection.request({}, timeout=0.1)
        for peer in server.open_connections:
            peer.send("one", "call")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("bug", [raising, failing_later, nothing])
@pytest.mark.parametrize("method", ["open", "hear", "subscribe", "unsubscribe", "told", "tick"])
async def test_a_conversation_that_raises_costs_its_connection(method, bug, reported):
    server = FakeServer()

    def open_with_deadline(self, given, now):
        self.deadline = now + 0.05
        return [Opened()]

    methods = {method: bug}
    if method == "tick":
        methods["open"] = open_with_deadline
    errors = []
    async with speaking(server, Speaking(**methods)) as connection:
        connection.error.subscribe(errors.append)
        await everything(connection, server)
        await asyncio.sleep(5)
        await connection.ready(5)
        assert len(server.connections) == 2
        server.send("still", "there")
        await connection.messages.wait_for(lambda messages: len(messages) >= 2)
        assert [each.data for each in connection.messages.value[-2:]] == ["still", "there"]
    words = f"Speaking: {method}() raised"
    assert any(words in str(error) for error in errors)
    (report,) = reported
    assert report["message"].startswith(words)


@pytest.mark.parametrize(
    "output",
    [42, None, Write(42), Settled("no entry", "acknowledged"), Failed("why", "no word")],
    ids=repr,
)
async def test_an_output_that_is_none_costs_the_connection(output, reported):
    server = FakeServer()
    methods = {"hear": lambda self, frame, now: [output]}
    async with speaking(server, Speaking(**methods)) as connection:
        await connection.ready()
        server.send("one")
        error = await connection.error.wait_for(lambda error: error is not None)
        assert "Speaking: following its outputs raised" in str(error)
        await connection.ready(5)
    assert len(reported) == 1


@pytest.mark.parametrize("bug", [raising, failing_later, nothing, lambda *_: [42], lambda *_: []])
async def test_a_message_without_a_frame_is_refused(bug, reported):
    server = FakeServer()
    protocol = Speaking(once=False, send=bug, request=bug)
    connection = speaking(server, protocol)
    early = connection.send("before it is open")
    async with connection:
        await connection.ready()
        assert early.state == "refused"
        late = connection.send("while it is open")
        assert (late.state, bool(late.why)) == ("refused", True)
        with pytest.raises(DeliveryError):
            await connection.request({})
        server.send("one")
        await connection.messages.wait_for(len)
    assert server.received == []


async def test_a_reply_that_cannot_be_made_is_reported(reported):
    server = FakeServer()
    async with speaking(server, Speaking(once=False, reply=raising)) as connection:
        connection.handle("f", lambda: 5)
        await connection.ready()
        server.send("call", "after")
        assert [each.data for each in await connection.messages.wait_for(len)] == ["after"]
    (report,) = reported
    assert report["message"].startswith("Speaking: reply() raised")


async def test_a_close_code_that_cannot_be_classified_means_what_it_usually_does(reported):
    class Classifying(Speaking):
        def classify(self, code):
            return {4001: "no word"}[code]

    server = FakeServer()
    async with speaking(server, Classifying(once=False)) as connection:
        for code in (4001, 4002):
            await connection.ready()
            server.close(code)
            await connection.connected.wait_for(lambda connected: not connected)
        await connection.ready()
    assert [each["message"].split(" raised")[0] for each in reported] == [
        "Classifying: classify()"
    ] * 2


async def test_a_conversation_that_cannot_be_made_is_a_failed_attempt(reported):
    server = FakeServer()
    made = []

    class Making(Speaking):
        def converse(self, memory, attempt):
            made.append(attempt)
            return None if len(made) == 1 else Talk()

    async with speaking(server, Making()) as connection:
        error = await connection.error.wait_for(lambda error: error is not None)
        assert "Making: converse() raised TypeError" in str(error)
        await connection.ready(5)
    assert len(reported) == 1


async def test_a_question_about_no_parameter_costs_the_attempt(reported):
    server = FakeServer()
    methods = {"open": lambda self, given, now: [Ask("no parameter")]}
    async with speaking(server, Speaking(**methods)) as connection:
        error = await connection.error.wait_for(lambda error: error is not None)
        assert "the callable for 'no parameter' raised" in str(error)
        await connection.ready(5)
    assert len(reported) == 1


# Time


@pytest.mark.parametrize("deadline", [-1.0, 0, float("-inf"), float("nan"), "soon", True])
async def test_a_deadline_that_stays_in_the_past_does_not_spin(deadline, reported):
    server, ticks = FakeServer(), []

    def open_with_deadline(self, given, now):
        self.deadline = deadline
        return [Opened()]

    methods = {"open": open_with_deadline, "tick": lambda self, now: ticks.append(now) or []}
    errors = []
    async with speaking(server, Speaking(**methods)) as connection:
        connection.error.subscribe(errors.append)
        await asyncio.sleep(5)
        await connection.ready(5)
    assert len(ticks) <= 1
    assert any("the deadline" in str(error) for error in errors)
    assert len(reported) == 1


async def test_a_deadline_that_a_message_sets_is_kept():
    server, ticks = FakeServer(), []

    def hear(self, frame, now):
        self.deadline = now + 1
        return []

    def tick(self, now):
        ticks.append(now)
        self.deadline = None
        return [Write("acknowledged")]

    protocol = Speaking(once=False, hear=hear, tick=tick)
    async with speaking(server, protocol, ping_interval=None) as connection:
        await connection.ready()
        now = asyncio.get_running_loop().time
        server.send("acknowledge this")
        sent_at = now()
        await asyncio.sleep(10)
        assert ticks == [pytest.approx(sent_at + 1, abs=0.1)]
        assert server.received == ["acknowledged"]


# What a protocol promises and does not have


class Empty(BaseProtocol):
    """Has what a test says; its conversation has no methods."""

    def __init__(self, *flags: str, **methods) -> None:
        self.methods = methods
        for flag in flags:
            setattr(self, flag, True)

    def converse(self, memory, attempt):
        return type("Bare", (Conversation,), self.methods)()


@pytest.mark.parametrize(
    ("flag", "method"), [("has_requests", "request"), ("has_subscriptions", "subscribe")]
)
async def test_a_method_that_a_protocol_promises_and_has_not_is_named_at_once(
    flag, method, reported
):
    server = FakeServer()
    async with speaking(server, Empty(flag)) as connection:
        with pytest.raises(ConnectionEnded) as ended:
            await connection.ready(5)
        assert str(ended.value).endswith(
            f"cannot connect to ws://fake: Empty says {flag} = True, "
            f"and the conversation Bare has no method {method}()"
        )
        assert connection.phase.value == "failed", "no attempt would find it either"
    assert len(server.connections) == 1
    assert not reported


@pytest.mark.parametrize("made", [None, Conversation, "talk"])
async def test_what_is_no_conversation_is_named(made, reported):
    protocol = Empty()
    protocol.converse = lambda memory, attempt: made
    async with speaking(FakeServer(), protocol) as connection:
        error = await connection.error.wait_for(lambda error: error is not None)
        assert "Empty: converse() raised TypeError" in str(error)
        assert f"{made!r} is not a Conversation" in str(error)
    reported.clear()


async def test_a_call_that_no_method_replies_to_is_reported_with_the_name_of_the_method(reported):
    server = FakeServer()
    protocol = Empty("has_calls", hear=lambda self, frame, now: [Called("f", None, 1)])
    async with speaking(server, protocol) as connection:
        connection.handle("f", lambda: 5)
        await connection.ready()
        server.send("call")
        await asyncio.sleep(0.1)
        assert connection.phase.value == "open"
    (report,) = reported
    assert report["message"].startswith("Empty: reply() raised")
    assert str(report["exception"]) == "the conversation Bare has no method reply()"
    reported.clear()


async def test_events_that_expect_no_reply_need_no_method_for_it(reported):
    server, told = FakeServer(), []
    protocol = Empty("has_calls", hear=lambda self, frame, now: [Called("f", frame)])
    async with speaking(server, protocol) as connection:
        connection.handle("f", told.append)
        await connection.ready()
        server.send("event")
        await asyncio.sleep(0.1)
    assert told == ["event"]
    assert not reported


async def test_a_message_to_a_subscription_never_leaves_without_its_address(reported):
    server = FakeServer()
    protocol = Empty(
        "has_subscriptions",
        "addresses_subscriptions",
        subscribe=lambda self, subscriptions, now: [Subscribed(each) for each in subscriptions],
    )
    async with speaking(server, protocol) as connection:
        async with connection.subscribe("room") as room:
            await room.ready(5)
            receipt = room.send("to whom?")
            await asyncio.sleep(0.1)
            assert receipt.state == "refused"
            assert "the conversation Bare has no method send()" in receipt.why
        assert not server.received
    reported.clear()


@pytest.mark.parametrize(
    ("action", "flag"),
    [("subscribe", "has_subscriptions"), ("request", "has_requests"), ("handle", "has_calls")],
)
async def test_what_a_protocol_does_not_have_is_refused_with_the_name_of_its_flag(action, flag):
    async with speaking(FakeServer(), Empty()) as connection:
        with pytest.raises(RuntimeError, match=f"says so: {flag} = True in Empty"):
            done = getattr(connection, action)(*(("f", print) if action == "handle" else ({},)))
            await done


@pytest.mark.parametrize(
    ("action", "flags"),
    [
        ("send", "addresses_subscriptions"),
        ("request", "addresses_subscriptions = has_requests"),
        ("handle", "addresses_subscriptions = has_calls"),
    ],
)
async def test_what_a_subscription_does_not_have_is_refused_with_the_name_of_its_flags(
    action, flags
):
    methods = {"subscribe": Talk.subscribe}
    async with speaking(FakeServer(), Empty("has_subscriptions", **methods)) as connection:
        async with connection.subscribe("room") as room:
            with pytest.raises(RuntimeError, match=f"says so: {flags} = True in Empty"):
                done = getattr(room, action)(*(("f", print) if action == "handle" else ("x",)))
                await done
