"""What everyone sees: one snapshot, never a mixture, whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockstore import (
    Close,
    ConnectionState,
    HandshakeFailed,
    Reconnect,
    SockstoreError,
    StopReconnecting,
    WebSocketStore,
    derived,
)
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
    send,
    slow,
)
from waiting import turns

NAMES = ("state", "socket", "connected", "error", "status", "phase")

# Legal successors; a subscriber sees every change, so nothing else may ever follow.
SUCCESSORS = {
    "idle": {"connecting", "closed"},
    "connecting": {"connecting", "open", "waiting", "closing", "failed", "closed"},
    "open": {"open", "connecting", "waiting", "closing", "failed", "closed"},
    "waiting": {"waiting", "connecting", "closed", "failed"},
    "closing": {"closed", "connecting"},
    "closed": {"connecting", "closed"},
    "failed": {"connecting", "closed"},
}


class Witness:
    """Subscribes to every store, and at each call looks at all of them."""

    def __init__(self, connection: WebSocketStore) -> None:
        self.connection = connection
        self.states: list[ConnectionState] = []
        self.looks = 0
        connection.state.subscribe(self.states.append)
        for name in NAMES[1:]:
            getattr(connection, name).subscribe(self.look)
        self.joined = derived([getattr(connection, name) for name in NAMES], self.join)
        self.joined.subscribe(self.look)
        connection.messages.on_append(self.look)

    def look(self, _: object) -> None:
        self.join(*(getattr(self.connection, name).value for name in NAMES))

    def join(self, state, socket, connected, error, status, phase) -> int:
        self.looks += 1
        assert connected == (socket is not None) == (phase == "open") == state.connected
        assert not (connected and error)
        assert status == ("error" if error else "connected" if connected else "disconnected")
        assert (phase, socket, error) == (state.phase, state.socket, state.exception)
        assert state.error == (None if error is None else str(error))
        assert isinstance(error, SockstoreError | None)
        assert (state.failure is not None) == (phase == "failed")
        assert state.retry_at is None or phase == "waiting"
        assert not (error and phase in {"idle", "open", "closing", "closed"})
        assert error or phase != "failed"
        return self.looks


steps = st.one_of(
    st.builds(accept),
    st.builds(refuse, st.sampled_from([None, 401, 404, 429, 503])),
    st.builds(hang),
    st.builds(send, st.sampled_from(["text", {"type": "json"}, b"binary"])),
    st.builds(close, st.sampled_from([1000, 1001, 1002, 1008, 1012, 1013, 4000, 4401])),
    st.builds(drop),
    st.builds(pause, st.sampled_from([0.5, 3, 8, 50])),
    st.builds(slow, st.sampled_from([0.0, 0.7])),
)
actions = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.4, 2, 7, 30, 100])),
    st.tuples(
        st.sampled_from(["connect", "close", "reconnect", "send", "go_down", "come_up", "freeze"]),
        st.none(),
    ),
    st.tuples(st.just("connect to"), st.sampled_from(["ws://one", "ws://two"])),
)


@pytest.mark.contract("CN2", "CN3", "CN5", "CN7", "CN10")
@settings(max_examples=40, deadline=None)
@given(
    script=st.lists(steps, max_size=12),
    actions=st.lists(actions, max_size=15),
    on_open=st.sampled_from([None, "quick", "slow", "raises"]),
    predicate=st.sampled_from([None, "yes", "slow"]),
    attempts=st.sampled_from([None, 0, 2]),
)
def test_no_subscriber_ever_sees_a_mixed_state(script, actions, on_open, predicate, attempts):
    async def story() -> None:
        async def open_(connection) -> None:
            connection.send("hello")
            if on_open != "quick":
                await asyncio.sleep(0.3)
            if on_open == "raises":
                raise ValueError("not today")

        async def allow(outcome) -> bool:
            await asyncio.sleep(0.6)
            return True

        played = [accept(), *script]  # so that the others always have a connection to play on
        server = FakeServer(*played)
        connection = WebSocketStore(
            "ws://one",
            transport=server,
            on_open=open_ if on_open else None,
            should_reconnect={None: None, "yes": bool, "slow": allow}[predicate],
            reconnect=Reconnect.exponential(attempts=attempts),
        )
        witness = Witness(connection)
        reported: list[object] = []  # what a subscriber raises, an assertion too, goes there
        asyncio.get_running_loop().set_exception_handler(lambda _, it: reported.append(it))
        async with assert_no_leaks():
            connection.connect()
            for action, argument in actions:
                match action:
                    case "sleep":
                        await asyncio.sleep(argument)
                    case "connect to":
                        connection.connect(argument)
                    case "send":
                        connection.send("x")
                    case "go_down" | "come_up" | "freeze":
                        getattr(server, action)()
                    case _:
                        getattr(connection, action)()
                if action == "close":
                    state = connection.state.value
                    assert state.phase in {"closing", "closed"}
                    assert state.error is None
            await asyncio.sleep(1)
            await connection.aclose()
            await asyncio.sleep(1000)
            assert connection.phase.value == "closed"
        assert reported == []
        assert witness.looks > len(witness.states)
        phases = [state.phase for state in witness.states]
        for one, next_ in itertools.pairwise(phases):
            assert next_ in SUCCESSORS[one], phases
        since = [state.since for state in witness.states]
        assert since == sorted(since)

    VirtualClock(start=1000).run(story())


@pytest.mark.contract("CN2")
@pytest.mark.virtual_clock
async def test_the_snapshot_is_frozen_and_tells_everything(virtual_clock):
    server = FakeServer(accept("chat", (("X-Server", "s1"),)), pause(10), close(1012, "restart"))
    async with WebSocketStore(
        "ws://fake/path", transport=server, subprotocols=["chat", "superchat"]
    ) as connection:
        first = connection.state.value
        assert (first.phase, first.attempt, first.since) == ("connecting", 0, 0)
        await connection.ready()
        opened = connection.state.value
        assert opened.socket.subprotocol == "chat"
        assert opened.socket.headers == (("X-Server", "s1"),)
        assert (opened.attempt, opened.error, opened.close, opened.failure) == (0, None, None, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            opened.phase = "closed"
        with pytest.raises(dataclasses.FrozenInstanceError):
            opened.socket.url = "ws://evil"
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        waiting = connection.state.value
        assert (waiting.attempt, waiting.since, waiting.socket) == (1, 10, None)
        assert waiting.close == Close(1012, "restart", clean=True)
        assert 10 <= waiting.retry_at <= 11
        assert (
            waiting.error == "the server closed the connection with 1012 (service restart): restart"
        )
        await connection.phase.wait_for(lambda phase: phase == "connecting")
        assert connection.state.value.since == waiting.retry_at
        assert connection.state.value.attempt == 1
        assert connection.error.value is waiting.exception, "visible until a connection opens"
        await connection.ready()
        assert (connection.state.value.attempt, connection.error.value) == (0, None)


@pytest.mark.contract("CN2")
@pytest.mark.virtual_clock
async def test_writing_to_the_connections_stores_is_not_offered():
    async with WebSocketStore("ws://fake", transport=FakeServer()) as connection:
        for name in (*NAMES, "messages", "buffered_amount"):
            assert not hasattr(getattr(connection, name), "set"), name
            assert (
                getattr(connection, name) is getattr(connection, name) or name == "buffered_amount"
            )


@pytest.mark.contract("CN7", "CN3")
@pytest.mark.virtual_clock
async def test_error_is_set_by_attempts_losses_and_silence_and_cleared_by_open_connect_and_close():
    server = FakeServer(
        refuse(),
        refuse(503),
        hang(),
        accept(),
        pause(20),
        drop(),
        accept(),
        pause(20),
        close(1011, "bug"),
        accept(),
    )
    texts: list[str | None] = []
    connection = WebSocketStore("ws://fake:81/x?y=z", transport=server)
    connection.error.subscribe(lambda error: texts.append(error and str(error)))
    connection.connect()
    while len(server.connections) < 3:
        await asyncio.sleep(1)
    await connection.ready()
    server.freeze()
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    assert texts == [
        None,
        "cannot connect to ws://fake:81/x?***: the connection was refused (is the server running?)",
        "cannot connect to ws://fake:81/x?***: the server answered HTTP 503",
        "cannot connect to ws://fake:81/x?***: no answer within 10 s",
        None,
        "the connection broke without a close frame",
        None,
        "the server closed the connection with 1011 (internal error): bug",
        None,
        "no answer to ping",
    ]
    connection.close()
    assert connection.error.value is None
    await connection.aclose()
    server.go_down()
    connection.connect()
    await connection.error.wait_for(bool)
    connection.connect("ws://other")
    assert connection.error.value is None
    await connection.aclose()


@pytest.mark.contract("CN7", "ST9")
@pytest.mark.virtual_clock
async def test_bugs_of_subscribers_and_undecodable_messages_set_no_error_and_drop_no_link(reported):
    def broken(value: object) -> None:
        if armed:
            raise ZeroDivisionError("a bug of mine")

    def decode(frame):
        return json.loads(frame)

    armed: list[int] = []
    seen: list[object] = []
    server = FakeServer(accept(), send("no json {", {"type": "x"}))
    connection = WebSocketStore(
        "ws://fake", transport=server, codec=(decode, json.dumps), on_error=lambda *_: broken(None)
    )
    for name in (*NAMES, "buffered_amount", "messages"):
        getattr(connection, name).subscribe(broken)
        getattr(connection, name).subscribe(seen.append)
    connection.messages.on_append(broken)
    connection.select(len).subscribe(broken)
    armed.append(1)
    async with connection:
        await connection.ready()
        connection.send("x")
        await turns()
        assert connection.status.value == "connected"
        assert connection.messages.total == 2
        assert len(server.handshakes) == 1
        seen.clear()
    assert seen, "the others are still told"
    assert connection.phase.value == "closed"
    where = {context["message"].split(" raised")[0] for context in reported}
    assert where == {
        "a subscriber of the connection's state",
        "a subscriber of the messages",
        "a subscriber of buffered_amount",
        "on_append",
        "on_error",
    }
    assert all("test_snapshots.py" in context["message"] for context in reported)


@pytest.mark.contract("CN9", "RC7")
@pytest.mark.virtual_clock
@pytest.mark.parametrize("error", [StopReconnecting("enough"), HandshakeFailed("ws://x", "no")])
async def test_on_open_may_refuse_the_connection(error):
    async def check(connection) -> None:
        raise error

    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, on_open=check, reconnect=False)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed", 1)
    assert phases == ["idle", "connecting", "failed"]
    assert str(connection.error.value) == str(error)
    await turns()
    assert server.open_connections == []
