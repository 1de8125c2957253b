"""The inspector: a connection says what it is doing and why, what happened, and how much."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from sockstore import (
    Outbox,
    Reconnect,
    StopReconnecting,
    TimelineEvent,
    WebSocketProvider,
    WebSocketStore,
)
from sockstore.protocols import Centrifuge
from sockstore.testing import (
    FakeServer,
    accept,
    close,
    drop,
    echo,
    hang,
    pause,
    refuse,
    send,
    slow,
)

pytestmark = pytest.mark.virtual_clock

URL = "ws://fake/feed?token=secret"
STEADY = Reconnect(schedule=lambda attempt, outcome: 4.0 * attempt)


def to(server: FakeServer, **options) -> WebSocketStore:
    options.setdefault("reconnect", STEADY)
    return WebSocketStore(URL, transport=server, **options)


async def at(connection: WebSocketStore, phase: str) -> None:
    await connection.phase.wait_for(lambda now: now == phase)


# A situation is: what the server does, the options, until which phase, and for how long after it.
SITUATIONS = {
    "nothing asked for": (
        (),
        {},
        "idle",
        0,
        "Nothing has been asked for yet: connect() opens a connection to ws://fake/feed?***.",
    ),
    "nothing asked for, and no outbox": (
        (),
        {"outbox": None},
        "idle",
        0,
        "Nothing has been asked for yet: connect() opens a connection to ws://fake/feed?***. "
        "What is sent now is refused, because there is no outbox.",
    ),
    "first handshake": (
        (hang(),),
        {},
        "connecting",
        3,
        "The first attempt is connecting to ws://fake/feed?***, for 3.0 s now.",
    ),
    "waiting to be let in": (
        (accept(),),
        {"protocol": Centrifuge()},
        "connecting",
        3,
        "The first attempt has reached ws://fake/feed?*** and waits until the server lets it in, "
        "for 3.0 s now.",
    ),
    "on_open runs": (
        (accept(),),
        {"on_open": lambda _: asyncio.sleep(5)},
        "connecting",
        3,
        "The first attempt has reached ws://fake/feed?*** and waits for on_open to finish, "
        "for 3.0 s now.",
    ),
    "open": (
        (accept(),),
        {},
        "open",
        100,
        "Connected to ws://fake/feed?*** for 1 min 40 s."
        " The last ping was answered after less than 1 ms.",
    ),
    "open and far away": (
        (slow(0.2), accept()),
        {},
        "open",
        21,
        "Connected to ws://fake/feed?*** for 21 s. The last ping was answered after 400 ms.",
    ),
    "waiting after a loss": (
        (accept(), pause(12), close(1012)),
        {},
        "waiting",
        1,
        "Waiting: retry 1 begins in 3.0 s. The reason: the connection ended after 12 s with close "
        "code 1012 (service restart), which is worth another try.",
    ),
    "waiting after a broken connection": (
        (accept(), pause(12), drop()),
        {},
        "waiting",
        1,
        "Waiting: retry 1 begins in 3.0 s. The reason: the connection was lost after 12 s (the "
        "connection broke without a close frame), which is worth another try.",
    ),
    "waiting after a refusal": (
        (refuse(500),),
        {},
        "waiting",
        1,
        "Waiting: retry 1 begins in 3.0 s. The reason: the attempt failed (the server answered "
        "HTTP 500), which is worth another try.",
    ),
    "throttled with Retry-After": (
        (refuse(429, retry_after=90),),
        {},
        "waiting",
        10,
        "Waiting: retry 1 begins in 1 min 20 s. The reason: the attempt failed (the server "
        "answered HTTP 429), which asks to slow down. The server asked to wait 1 min 30 s.",
    ),
    "should_reconnect is asked": (
        (refuse(500),),
        {"should_reconnect": lambda outcome: asyncio.sleep(5)},
        "waiting",
        1,
        "should_reconnect is asked whether to begin retry 1. The reason: the attempt failed (the "
        "server answered HTTP 500), which is worth another try.",
    ),
    "a retry": (
        (accept(), pause(6), drop(), hang()),
        {},
        "connecting",
        5,
        "Retry 1 is connecting to ws://fake/feed?***, for 1.0 s now. Before that: the connection "
        "broke without a close frame.",
    ),
    "goodbye of the server": (
        (accept(), pause(1), close(1000, "bye")),
        {"reconnect": Reconnect.linear(after_goodbye=False)},
        "closed",
        1,
        "The server said goodbye with close code 1000 (normal closure): bye, so it stays closed. "
        "connect() opens it again.",
    ),
    "an own word for a goodbye": (
        (accept(), pause(1), close(4000, "done")),
        {"reconnect": Reconnect.linear(classify={4000: "goodbye"})},
        "closed",
        1,
        "The server closed with 4000: done, which Reconnect(classify=) calls a goodbye, so it "
        "stays closed. connect() opens it again.",
    ),
    "after a goodbye": (
        (accept(), pause(6), close(1000)),
        {"reconnect": Reconnect.linear()},
        "waiting",
        1,
        "Waiting: retry 1 begins in 2.0 s. The reason: the connection ended after 6.0 s with close "
        "code 1000 (normal closure), after which this connection returns.",
    ),
    "an own word for another try": (
        (refuse(404),),
        {"reconnect": Reconnect.linear(classify={404: "retry"})},
        "waiting",
        1,
        "Waiting: retry 1 begins in 2.0 s. The reason: the attempt failed (the server answered "
        "HTTP 404), which Reconnect(classify=) calls worth another try.",
    ),
    "an own word for the end": (
        (accept(), pause(6), close(4406)),
        {"reconnect": Reconnect.linear(classify={4406: "fatal"})},
        "failed",
        7,
        "Given up: fatal close code, which Reconnect(classify=) calls fatal. The error: the server "
        "closed the connection with 4406. connect() or reconnect() begins anew.",
    ),
    "reconnecting is off": (
        (accept(), pause(1), drop()),
        {"reconnect": False},
        "failed",
        1,
        "Given up: reconnecting is off. The error: the connection broke without a close frame. "
        "connect() or reconnect() begins anew.",
    ),
    "attempts exhausted": (
        (refuse(500), refuse(500)),
        {"reconnect": Reconnect.linear(1, 1)},
        "failed",
        1,
        "Given up: all retries that were allowed have failed. The error: Failed to reconnect after "
        "1 attempts. connect() or reconnect() begins anew.",
    ),
    "fatal HTTP status": (
        (refuse(404),),
        {},
        "failed",
        0,
        "Given up: fatal HTTP status. The error: cannot connect to ws://fake/feed?***: the server "
        "answered HTTP 404. connect() or reconnect() begins anew.",
    ),
    "fatal close code": (
        (accept(), close(4404, "no such room")),
        {},
        "failed",
        0,
        "Given up: fatal close code. The error: the server closed the connection with 4404: no "
        "such room. connect() or reconnect() begins anew.",
    ),
    "unauthorised": (
        (refuse(401),),
        {},
        "failed",
        0,
        "Given up: there are no other credentials to try. The error: cannot connect to "
        "ws://fake/feed?***: the server answered HTTP 401. "
        "connect() or reconnect() begins anew.",
    ),
    "refused by should_reconnect": (
        (refuse(500),),
        {"should_reconnect": lambda outcome: False},
        "failed",
        0,
        "Given up: should_reconnect refused to go on. The error: cannot connect to "
        "ws://fake/feed?***: the server answered HTTP 500. "
        "connect() or reconnect() begins anew.",
    ),
    "a schedule that raises": (
        (refuse(500),),
        {"reconnect": Reconnect(schedule=lambda attempt, outcome: 1 / 0)},
        "failed",
        0,
        "Given up: the schedule, should_reconnect or classify raised an error. The error: policy "
        "error: the reconnect schedule raised ZeroDivisionError('division by zero'). connect() or "
        "reconnect() begins anew.",
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_explain_is_right_in_each_situation(situation):
    script, options, phase, seconds, expected = SITUATIONS[situation]
    connection = to(FakeServer(*script), **options)
    if phase != "idle":
        connection.connect()
        await at(connection, "connecting")
    if phase == "connecting" and "retry" in situation:
        await at(connection, "waiting")
        await at(connection, "connecting")
        seconds = 1
    await at(connection, phase)
    await asyncio.sleep(seconds)
    assert connection.explain() == expected
    await connection.aclose()


async def test_explain_after_close_in_closing_and_closed():
    connection = to(FakeServer(slow(0.5), accept()))
    connection.connect()
    await connection.ready()
    connection.close()
    assert connection.explain() == (
        "This program closed the connection; the server has 5.0 s to answer."
    )
    await connection.aclose()
    assert connection.explain() == ("This program closed the connection. connect() opens it again.")


async def test_explain_names_what_a_callable_did():
    def url(attempt):
        raise StopReconnecting("the account is closed")

    connection = WebSocketStore(url, transport=FakeServer())
    connection.connect()
    await at(connection, "failed")
    assert connection.explain() == (
        "Given up: a callable of this program stopped it. The error: the account is closed. "
        "connect() or reconnect() begins anew."
    )


async def test_explain_says_what_waits_and_that_the_platform_is_offline():
    server = FakeServer(accept(), pause(6), drop())
    connection = to(server)
    connection.connect()
    await at(connection, "waiting")
    connection.send("one")
    assert connection.explain().endswith(
        "1 message waits to be sent and leaves as soon as it is open."
    )
    connection.send("two")
    connection.hint("offline")
    assert connection.explain().startswith(
        "Waiting: retry 1 begins in 30 s, or as soon as the platform is online again."
    )
    assert connection.explain().endswith(
        "2 messages wait to be sent and leave as soon as it is open."
    )
    connection.hint("online")
    await connection.ready()
    assert "wait" not in connection.explain()
    await connection.aclose()


async def kinds_and_texts(connection: WebSocketStore) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in connection.timeline.value]


async def test_the_timeline_tells_a_whole_story(virtual_clock):
    server = FakeServer(accept("chat"), pause(12), close(1012), refuse(503, retry_after=7))
    connection = to(server, subprotocols=["chat"])
    assert connection.timeline.value == ()
    connection.connect()
    await at(connection, "waiting")
    connection.send("queued")
    await at(connection, "connecting")
    await at(connection, "open")
    connection.close(4000, "done")
    await connection.aclose()
    assert await kinds_and_texts(connection) == [
        ("attempt", "An attempt to connect began."),
        ("open", "Open after less than 1 ms, with subprotocol chat."),
        (
            "loss",
            "The connection ended after 12 s: the server closed the connection with 1012 "
            "(service restart).",
        ),
        (
            "decision",
            "The connection ended after 12 s with close code 1012 (service restart), which is "
            "worth another try: retry 1 in 4.0 s.",
        ),
        ("wait", "Waiting 4.0 s for retry 1."),
        ("attempt", "Retry 1 began."),
        ("failure", "The attempt failed: the server answered HTTP 503."),
        (
            "decision",
            "The attempt failed (the server answered HTTP 503), which is worth another try: "
            "retry 2 in 7.0 s, as the server asked.",
        ),
        ("wait", "Waiting 7.0 s for retry 2."),
        ("attempt", "Retry 2 began."),
        ("gap", "What was said while there was no connection may be missing."),
        ("open", "Open after less than 1 ms, with subprotocol chat."),
        ("flush", "1 message that had waited went out."),
        ("close", "This program closed the connection with 4000: done."),
        ("end", "It is closed."),
    ]
    events = connection.timeline.value
    assert [event.at - events[0].at for event in events][-1] == pytest.approx(23)
    decided = [event for event in events if event.kind == "decision"]
    assert [event.classification.value for event in decided] == ["retry", "retry"]
    assert [event.seconds for event in events if event.kind == "wait"] == [4, 7]


async def test_the_timeline_keeps_200_events_and_tells_its_subscribers(virtual_clock):
    server = FakeServer()
    connection = to(server, reconnect=Reconnect(schedule=lambda *_: 0.5))
    seen: list[tuple[TimelineEvent, ...]] = []
    with connection.timeline.subscribe(seen.append):
        connection.connect()
        await connection.ready()
        server.go_down()
        await asyncio.sleep(300)
        await connection.aclose()
    assert len(connection.timeline.value) == 200
    assert max(map(len, seen)) == 200
    assert seen[-1] == connection.timeline.value


async def test_the_timeline_tells_of_hints_sleep_gaps_and_what_was_not_delivered(virtual_clock):
    connection = to(FakeServer(), outbox=Outbox(ttl=5))
    connection.connect()
    await connection.ready()
    connection.hint("offline")
    virtual_clock.suspend(3600)
    connection.reconnect()
    connection.send("too late")
    connection.close()
    told = await kinds_and_texts(connection)
    assert ("hint", "The platform says it is offline.") in told
    assert ("sleep", "The machine slept for 1 h 0 min, or its clock was set.") in told
    assert ("reconnect", "This program asked for a new connection now.") in told
    assert ("delivery", "1 message is dropped: the connection was closed.") in told
    await connection.aclose()


async def test_a_burst_of_overflows_is_one_event():
    connection = to(FakeServer(), outbox=Outbox(limit=2))
    for number in range(10):
        connection.send(number)
    [event] = connection.timeline.value
    assert event.kind == "overflow"
    assert event.text == "The outbox is full: 8 messages were refused."
    oldest = to(FakeServer(), outbox=Outbox(limit=2, overflow="drop_oldest"))
    for number in range(10):
        oldest.send(number)
    [event] = oldest.timeline.value
    assert event.text == (
        "The outbox is full: 8 messages were dropped to make room for newer ones."
    )


async def test_a_subscriber_of_the_timeline_that_raises_is_reported_and_stops_nothing():
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["message"])
    )
    connection = to(FakeServer())

    def fail(events):
        if events:
            raise ValueError("no")

    connection.timeline.subscribe(fail)
    connection.latency.subscribe(lambda latency: 1 / 0 if latency is not None else None)
    async with connection:
        await connection.ready()
        await asyncio.sleep(25)
    assert any(words.startswith("a subscriber of the timeline raised") for words in reported)
    assert any(words.startswith("a subscriber of the latency raised") for words in reported)


@pytest.mark.contract("CN14")
async def test_no_secret_is_in_the_timeline_the_explanation_or_the_log(caplog):
    caplog.set_level(logging.DEBUG, "sockstore")
    server = FakeServer(accept(), pause(1), drop(), refuse(500), refuse(401))
    connection = to(server, headers=[("Authorization", "Bearer secret")])
    explained: list[str] = []
    connection.state.subscribe(lambda _: explained.append(connection.explain()))
    connection.connect()
    await at(connection, "failed")
    told = [*explained, *caplog.messages, repr(connection.timeline.value)]
    assert len(told) > 8
    assert not [words for words in told if "secret" in words]


async def test_the_figures(virtual_clock):
    server = FakeServer(slow(0.05), accept(), echo(), pause(30), drop(), refuse(500))
    connection = to(server)
    before = connection.stats()
    assert (before.phase, before.attempts, before.open_seconds, before.latency) == (
        "idle",
        0,
        0,
        None,
    )
    async with connection:
        await connection.ready()
        for number in range(3):
            connection.send(number)
        await asyncio.sleep(25)
        assert connection.latency.value == pytest.approx(0.1)
        await at(connection, "waiting")
        connection.send("waits")
        waiting = connection.stats()
        assert (waiting.messages_waiting, waiting.bytes_waiting) == (1, 5)
        await at(connection, "open")
        await asyncio.sleep(10)
        after = connection.stats()
    assert (after.attempts, after.connections, after.losses) == (3, 2, 1)
    assert (after.messages_sent, after.messages_received) == (4, 3)
    assert after.open_seconds == pytest.approx(40, abs=0.5)
    assert after.latency == pytest.approx(0.1)


async def test_one_warning_for_each_outage_rather_than_for_each_attempt(caplog):
    caplog.set_level(logging.INFO, "sockstore")
    server = FakeServer()
    async with to(server) as connection:
        await connection.ready()
        for _ in range(3):
            await asyncio.sleep(10)
            server.go_down()
            await asyncio.sleep(100)
            server.come_up()
            await at(connection, "open")
    records = [(one.levelname, one.getMessage()) for one in caplog.records]
    warnings = [words for level, words in records if level == "WARNING"]
    assert (
        warnings
        == [
            "ws://fake/feed?***: the connection broke without a close frame; it will be tried again"
        ]
        * 3
    )
    again = [words for level, words in records if "connected again" in words]
    assert again[0] == "ws://fake/feed?***: connected again after 1 min 52 s, retry 7"
    assert len(again) == 3
    assert records[0] == ("INFO", "ws://fake/feed?***: connected")
    assert records[-1] == ("INFO", "ws://fake/feed?***: closed")


async def test_a_server_that_accepts_and_drops_is_one_outage(caplog):
    caplog.set_level(logging.WARNING, "sockstore")
    server = FakeServer(*[step for _ in range(10) for step in (accept(), pause(0.1), drop())])
    async with to(server):
        await asyncio.sleep(150)
    assert len(caplog.records) == 1


async def test_giving_up_is_one_error(caplog):
    caplog.set_level(logging.WARNING, "sockstore")
    connection = to(FakeServer(refuse(404)))
    connection.connect()
    await at(connection, "failed")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        (
            "ERROR",
            "ws://fake/feed?***: gave up: cannot connect: the server answered HTTP 404",
        )
    ]


async def test_what_the_connection_does_is_the_same_for_who_holds_a_lease(virtual_clock):
    server = FakeServer(accept(), send("one"))
    async with WebSocketProvider(URL, share=True, transport=server) as connection:
        await connection.messages.wait_for(len)
        assert connection.stats().messages_received == 1
        assert connection.explain().startswith("Connected to ws://fake/feed?***")
        assert [event.kind for event in connection.timeline.value] == ["attempt", "open"]


@pytest.mark.contract("ST12")
async def test_a_store_that_is_made_late_belongs_to_the_thread_of_the_loop(virtual_clock):
    server = FakeServer(accept())
    async with WebSocketStore(URL, transport=server) as connection:
        await connection.ready()
        with ThreadPoolExecutor() as threads:
            for name in ("latency", "timeline", "buffered_amount"):
                with pytest.raises(RuntimeError, match="thread"):
                    threads.submit(
                        lambda name=name: getattr(connection, name).subscribe(print)
                    ).result()


async def test_all_leases_show_the_same_latency_and_the_same_buffer(virtual_clock):
    server = FakeServer(accept())
    shared = {"share": True, "transport": server, "ping_interval": 1.0}
    async with WebSocketProvider(URL, **shared) as first, WebSocketProvider(URL, **shared) as other:
        seen = [first.latency, other.latency]  # both are asked for before there is one
        await first.latency.wait_for(lambda latency: latency is not None)
        assert seen[0].value == seen[1].value is not None
        assert first.buffered_amount is other.buffered_amount
