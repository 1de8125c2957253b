"""A connection's whole life under hostile callbacks: whatever they do, one story is told."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from puppets import let_go

from sockstore import ConnectionLost, ConnectionState, Reconnect, WebSocketStore, derived
from sockstore.testing import (
    FakeServer,
    VirtualClock,
    accept,
    assert_no_leaks,
    close,
    drop,
    hang,
    pause,
    refuse,
    repeat,
    send,
    slow,
)
from sockstore.transports.base import Listener, Transport, TransportOptions
from waiting import turns

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)

steps = st.one_of(
    st.builds(accept),
    st.builds(refuse, st.sampled_from([None, 401, 404, 429, 503])),
    st.builds(hang),
    st.just(send(1, 2, 3)),
    st.builds(close, st.sampled_from([1000, 1001, 1008, 1012, 4400])),
    st.builds(drop),
    st.builds(pause, st.sampled_from([0.5, 8, 50])),
    st.builds(slow, st.sampled_from([0.0, 0.7, 6.0])),
)
CALLBACKS = (
    "state",
    "joined",
    "on_append",
    "messages",
    "on_open",
    "url",
    "headers",
    "should_reconnect",
    "stream",
)
deeds = st.lists(
    st.tuples(
        st.sampled_from(CALLBACKS),
        st.integers(0, 12),  # at which call of it
        st.sampled_from(["close", "connect", "connect to another", "reconnect", "send", "raise"]),
    ),
    max_size=10,
)


@pytest.mark.contract("CN2", "CN3", "CN5", "CN6", "CN10", "RC11")
@settings(max_examples=40, deadline=None)
@given(script=st.lists(steps, max_size=12), deeds=deeds, attempts=st.sampled_from([None, 0, 3]))
def test_callbacks_that_do_anything_at_any_time_never_mix_the_state(script, deeds, attempts):
    plan = {(who, nth): deed for who, nth, deed in deeds}
    calls = dict.fromkeys(CALLBACKS, 0)
    armed: list[bool] = []
    broken: list[str] = []
    closed: list[bool] = []  # not empty after a close() that no callback has overruled
    urls = (f"ws://n{n}" for n in itertools.count())

    def check(connected, socket, error, status) -> str:
        if connected != (socket is not None) or (connected and error):
            broken.append(f"{connected=} {socket=} {error=}")
        if status != ("error" if error else "connected" if connected else "disconnected"):
            broken.append(f"{status=} {connected=} {error=}")
        return status

    def act(who: str) -> None:
        if not armed:  # what a first call raises belongs to who subscribes (ST5)
            return
        deed = plan.get((who, calls[who]))
        calls[who] += 1
        match deed:
            case "close":
                closed.append(True)
                connection.close()
                state = connection.state.value
                shown = (connection.connected.value, connection.socket.value, state.error)
                at_rest = state.phase in {"closing", "closed"} and shown == (False, None, None)
                if closed and not at_rest:
                    broken.append(f"close() in {who} left {state}")
            case "connect":
                closed.clear()
                connection.connect()
            case "connect to another":
                closed.clear()
                connection.connect(next(urls))
            case "reconnect":
                closed.clear()
                connection.reconnect()
            case "send":
                connection.send(who)
            case "raise":
                raise ZeroDivisionError(who)

    def saw(state: ConnectionState) -> None:
        if closed and connection.state.value.phase not in {"closing", "closed"}:
            broken.append(f"after close() came {connection.state.value}")
        act("state")

    def ask(who: str, answer: object):
        def asked(_: object) -> object:
            act(who)
            return answer

        return asked

    async def read() -> None:
        while True:
            async for _ in connection.stream():
                act("stream")
            await connection.phase.wait_for(lambda phase: phase == "open")

    server = FakeServer(*script)
    connection = WebSocketStore(
        ask("url", "ws://first"),
        headers=ask("headers", ()),
        on_open=ask("on_open", None),
        should_reconnect=ask("should_reconnect", True),
        reconnect=Reconnect.exponential(attempts=attempts, rng=random.Random(1)),
        transport=server,
    )

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with assert_no_leaks():
            stores = (connection.connected, connection.socket, connection.error, connection.status)
            joined = derived(stores, check)
            with (
                connection.state.subscribe(saw),
                joined.subscribe(lambda _: act("joined")),
                connection.messages.subscribe(lambda _: act("messages")),
            ):
                connection.messages.on_append(lambda _: act("on_append"))
                reading = asyncio.create_task(read())
                armed.append(True)
                connection.connect()
                for _ in range(8):
                    await asyncio.sleep(20)
                    if server.connections:
                        server.send("now", "then")
                plan.clear()
                await connection.aclose()
                await asyncio.sleep(100)
                assert connection.phase.value == "closed"
                assert server.open_connections == []
                reading.cancel()
                await asyncio.wait([reading])
            assert broken == []

    VirtualClock(start=1000).run(story())


@pytest.mark.contract("CN5", "CN9")
@pytest.mark.virtual_clock
@pytest.mark.parametrize("deed", ["close", "connect to another", "reconnect"])
@pytest.mark.parametrize("end", ["refused", "lost"])
async def test_a_schedule_that_acts_on_its_connection_is_obeyed(deed, end):
    acted: list[str] = []

    def schedule(attempt: int, outcome: object) -> float:
        if not acted:
            match deed:
                case "close":
                    connection.close()
                case "reconnect":
                    connection.reconnect()
                case _:
                    connection.connect("ws://other")
            acted.append(connection.phase.value)
        return 5.0

    async with assert_no_leaks():
        server = FakeServer(*([refuse()] if end == "refused" else [accept(), pause(7), drop()]))
        connection = WebSocketStore(
            "ws://fake", transport=server, reconnect=Reconnect(schedule=schedule)
        )
        connection.connect()
        await asyncio.sleep(1000)
        phase, handshakes, open_ones = (
            connection.phase.value,
            len(server.handshakes),
            len(server.open_connections),
        )
        await connection.aclose()
    if deed == "close":
        assert (acted, phase, handshakes, open_ones) == (["closed"], "closed", 1, 0)
    else:
        assert (acted, phase, handshakes, open_ones) == (["connecting"], "open", 2, 1)


@pytest.mark.contract("CN10")
@pytest.mark.virtual_clock
@pytest.mark.parametrize("when", ["open", "a message", "waiting", "hanging"])
async def test_the_warning_names_this_line_and_the_server_sees_the_end(when):
    async with assert_no_leaks():
        script = {"waiting": [refuse()], "hanging": [hang()]}.get(when, [])
        server = FakeServer(*script)
        held = [WebSocketStore("ws://x", transport=server, reconnect=EVERY_SECOND)]  # this line
        line = _line_of("# this line")
        held[0].connect()
        await asyncio.sleep(0.1)
        if when == "a message":
            server.send("on its way")
        with pytest.warns(ResourceWarning) as warned:
            let_go(held)
        assert f"{__file__}:{line}" in str(warned[0].message)
        await turns(20)
        assert server.open_connections == []
        await asyncio.sleep(1000)
        assert len(server.handshakes) == 1, "nobody tries again"


@pytest.mark.contract("CN10")
@pytest.mark.virtual_clock
async def test_one_that_is_dropped_in_another_thread_is_ended_on_its_loop():
    loop = asyncio.get_running_loop()
    async with assert_no_leaks():
        server = FakeServer()
        held = [WebSocketStore("ws://fake", transport=server)]
        held[0].connect()
        await held[0].ready()
        gone = weakref.ref(held[0])
        with pytest.warns(ResourceWarning):
            _in_another_thread(lambda: let_go(held))
        await turns(20)
        assert gone() is None
        assert server.open_connections == []
        assert loop.time() == 0


@pytest.mark.contract("CN8")
@pytest.mark.virtual_clock
@pytest.mark.parametrize(
    "where", ["ready", "stream", "receipt", "drain", "wait_for", "for", "aclose"]
)
async def test_a_cancellation_comes_out_of_every_await(where):
    async with assert_no_leaks():
        server = FakeServer(hang(), hang())
        connection = WebSocketStore("ws://fake", transport=server)
        entered = asyncio.Event()

        async def program() -> None:
            async with connection:
                receipt = connection.send("never sent")
                entered.set()
                match where:
                    case "ready":
                        await connection.ready()
                    case "stream":
                        async for _ in connection.stream():
                            pass
                    case "receipt":
                        await receipt
                    case "drain":
                        await connection.drain()
                    case "wait_for":
                        await connection.phase.wait_for(lambda phase: phase == "open")
                    case "for":
                        async for _ in connection.socket:
                            pass
            await asyncio.sleep(100)

        task = asyncio.create_task(program())
        await entered.wait()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert connection.phase.value == "closed"
        assert asyncio.get_running_loop().time() == 1


@pytest.mark.contract("RC10", "RC9", "RC3")
@pytest.mark.virtual_clock
@pytest.mark.parametrize("is_async", [False, True])
async def test_reconnect_inside_the_predicate_is_obeyed_and_its_answer_is_not(is_async):
    def answer(outcome) -> bool:
        connection.reconnect()
        return False

    async def answer_later(outcome) -> bool:
        await asyncio.sleep(3)
        return answer(outcome)

    async with assert_no_leaks():
        server = FakeServer(refuse())
        connection = WebSocketStore(
            "ws://fake",
            transport=server,
            reconnect=EVERY_SECOND,
            should_reconnect=answer_later if is_async else answer,
        )
        connection.connect()
        await connection.ready(10)
        assert [handshake.at for handshake in server.handshakes] == [0, 3 if is_async else 0]
        await connection.aclose()


def _in_another_thread(run: Callable[[], None]) -> None:
    other = threading.Thread(target=run)
    other.start()
    other.join()


def _line_of(mark: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(n for n, text in enumerate(lines, 1) if text.endswith(mark))


@pytest.mark.contract("RC11", "CN10")
@pytest.mark.virtual_clock
async def test_two_thousand_replacements_in_callbacks_need_no_stack_and_leave_nothing():
    async with assert_no_leaks():
        server = FakeServer()
        links: set[type] = set()

        def transport(listener: Listener, options: TransportOptions) -> Transport:
            links.add(type(listener))
            return server(listener, options)

        connection = WebSocketStore("ws://fake", transport=transport)
        opened = 0

        def again(phase: str) -> None:
            nonlocal opened
            opened += phase == "open"
            if phase == "open" and opened < 2000:
                connection.reconnect()

        connection.phase.subscribe(again)
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase == "open" and opened == 2000)
        await turns(20)
        assert len(server.open_connections) == 1
        server.connections[:-1] = []  # what ended is held by the server only
        gc.collect()
        (link,) = links
        assert sum(type(each) is link for each in gc.get_objects()) == 1
        await connection.aclose()


# Liveness

MUCH_LATER = Reconnect(schedule=lambda attempt, outcome: 1e6)


async def lost_at(connection: WebSocketStore) -> float:
    await connection.phase.wait_for(lambda phase: phase == "waiting", 10_000)
    return asyncio.get_running_loop().time()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV4")
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("where", ["timer", "task"])
async def test_blocking_the_loop_for_half_a_minute_costs_one_more_ping(
    where, answers, virtual_clock, caplog
):
    caplog.set_level(logging.WARNING, "sockstore")
    async with assert_no_leaks():
        server = FakeServer(slow(0.25))  # open at 0.25, the first ping at 20.25
        async with WebSocketStore(
            "ws://fake", transport=server, reconnect=MUCH_LATER
        ) as connection:
            await connection.ready()
            await asyncio.sleep(20.1)  # the ping is under way
            if not answers:
                server.freeze()
            if where == "timer":
                asyncio.get_running_loop().call_soon(virtual_clock.block, 30)
            else:
                virtual_clock.block(30)
            # The answer was due at 40.25, the loop turns again at 50.35.
            if answers:
                await asyncio.sleep(3600)
                assert connection.connected.value
                assert len(server.handshakes) == 1
            else:
                assert await lost_at(connection) == pytest.approx(70.35)
                assert str(connection.error.value) == "no answer to ping"
        [record] = [one for one in caplog.records if "was blocked" in one.getMessage()]
        assert (record.name, record.levelname) == ("sockstore.connection", "WARNING")
        assert "the event loop was blocked for at least 10.1 s" in record.getMessage()


@pytest.mark.virtual_clock
@pytest.mark.contract("LV4", "LV1")
@pytest.mark.parametrize("where", ["on_append", "messages", "state"])
async def test_a_callback_that_blocks_between_signs_of_life_loses_nothing(
    where, virtual_clock, caplog
):
    async with assert_no_leaks():
        server = FakeServer(slow(0.25), accept(), repeat(pause(15), send("tick")))

        def block(value: object) -> None:
            if value and virtual_clock.now > 20:
                virtual_clock.block(30)

        connection = WebSocketStore("ws://fake", transport=server, reconnect=MUCH_LATER)
        if where == "on_append":
            connection.messages.on_append(block)
        elif where == "messages":
            connection.messages.subscribe(block)
        else:
            connection.state.subscribe(block)
        async with connection:
            await connection.ready()
            for _ in range(100):
                await asyncio.sleep(10)
            assert connection.connected.value
            assert len(server.handshakes) == 1
            assert connection.messages.total > 20
        assert caplog.records == []


@pytest.mark.virtual_clock
@pytest.mark.contract("LV4", "LV1")
async def test_each_block_gets_its_own_ping_and_its_own_warning(virtual_clock, caplog):
    async with assert_no_leaks():
        server = FakeServer(slow(0.25))
        pinged: list[bytes] = []

        def transport(listener: Listener, options: TransportOptions) -> Transport:
            transport = server(listener, options)
            ping = transport.ping
            transport.ping = lambda payload: (pinged.append(payload), ping(payload))
            return transport

        async with WebSocketStore(
            "ws://fake", transport=transport, reconnect=MUCH_LATER
        ) as connection:
            await connection.ready()
            for n in range(1, 6):
                # Right after a ping, whenever that is: its answer cannot be heard in time.
                pings = len(pinged)
                while len(pinged) == pings:
                    await asyncio.sleep(0.05)
                virtual_clock.block(30 + n)
                await asyncio.sleep(1)
                assert len(caplog.records) == n
            await asyncio.sleep(3600)
            assert connection.connected.value
            assert len(caplog.records) == 5


@pytest.mark.virtual_clock
@pytest.mark.contract("LV1", "CN7")
@pytest.mark.parametrize("frozen_at", [0.1, 7, 19.9, 20.1, 33, 59.9])
async def test_a_server_that_freezes_at_any_moment_is_noticed_in_time(frozen_at):
    async with assert_no_leaks():
        server = FakeServer()
        async with WebSocketStore(
            "ws://fake", transport=server, reconnect=Reconnect.linear()
        ) as connection:
            await connection.ready()
            await asyncio.sleep(frozen_at)
            server.freeze()
            assert await lost_at(connection) <= frozen_at + 20 + 20
            assert isinstance(connection.error.value, ConnectionLost)
            assert connection.state.value.error == "no answer to ping"
            assert connection.state.value.attempt == 1
            await connection.ready(4)
            assert connection.error.value is None
            assert len(server.open_connections) == 1


@pytest.mark.virtual_clock
@pytest.mark.contract("LV1")
async def test_inbound_messages_are_life_although_no_pong_ever_comes():
    async with assert_no_leaks():
        server = FakeServer(accept(), repeat(pause(15), send("tick")))
        async with WebSocketStore(
            "ws://fake", transport=server, reconnect=MUCH_LATER
        ) as connection:
            await connection.ready()
            server.connection.pinged = lambda payload: None  # this server knows no pings
            await asyncio.sleep(3600)
            assert connection.connected.value
            assert connection.messages.total >= 239
            server.freeze()
            assert await lost_at(connection) <= 3600 + 40


@pytest.mark.virtual_clock
@pytest.mark.contract("LV3")
@pytest.mark.parametrize("ping_interval", [None, 7])
async def test_a_quiet_feed_ends_after_idle_timeout_with_and_without_pings(ping_interval):
    async with assert_no_leaks():
        server = FakeServer(accept(), pause(12), send("a", "b"), pause(29.5), send("c"))
        async with WebSocketStore(
            "ws://fake",
            transport=server,
            reconnect=MUCH_LATER,
            idle_timeout=30,
            ping_interval=ping_interval,
        ) as connection:
            assert await lost_at(connection) == 12 + 29.5 + 30
            assert connection.state.value.error == "no message for 30 s"
            assert connection.messages.total == 3
