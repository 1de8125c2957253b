"""Heartbeats of the application, on the virtual clock: sent, answered, missed, and kept apart."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from sockstore import InvalidOption, Reconnect, WebSocketStore
from sockstore.protocols import Heartbeat, Plain, Topics
from sockstore.testing import (
    FakeServer,
    accept,
    assert_no_leaks,
    echo,
    pause,
    receive,
    repeat,
    send,
)

pytestmark = pytest.mark.virtual_clock

MUCH_LATER = Reconnect(schedule=lambda attempt, outcome: 1e6)


def beating(server: FakeServer, **options) -> WebSocketStore:
    heartbeat = Heartbeat(
        options.pop("message", "ping"),
        options.pop("reply", "pong"),
        interval=options.pop("interval", 15.0),
        timeout=options.pop("timeout", 5.0),
    )
    protocol = Plain(heartbeat=heartbeat)
    return WebSocketStore(
        "ws://fake", transport=server, reconnect=MUCH_LATER, protocol=protocol, **options
    )


async def lost_at(connection: WebSocketStore) -> float:
    await connection.phase.wait_for(lambda phase: phase == "waiting", timeout=10_000)
    return asyncio.get_running_loop().time()


@pytest.mark.contract("LV2")
@pytest.mark.parametrize(
    ("message", "reply", "frames"),
    [
        ("ping", "pong", ("ping", "pong")),
        (b"\x09", b"\x0a", (b"\x09", b"\x0a")),
        ({"op": "ping"}, {"op": "pong"}, ('{"op":"ping"}', '{ "op": "pong" }')),
        ({"op": "ping"}, lambda data: data == {"op": "pong"}, ('{"op":"ping"}', '{"op":"pong"}')),
    ],
    ids=["text", "binary", "JSON", "callable"],
)
async def test_it_is_sent_at_each_interval_and_its_reply_is_no_message(message, reply, frames):
    sent, answer = frames
    server = FakeServer(accept(), repeat(receive(), send(answer)))
    async with (
        assert_no_leaks(),
        beating(server, message=message, reply=reply) as connection,
    ):
        await connection.ready()
        await asyncio.sleep(100)
        assert server.received == [sent] * 6
        assert connection.connected.value
        assert connection.messages.total == 0
        server.send("pang")
        await connection.messages.wait_for(len)
        assert [message.data for message in connection.messages.value] == ["pang"]


@pytest.mark.contract("LV2")
async def test_a_server_that_does_not_answer_is_lost_although_it_answers_pings():
    server = FakeServer()
    async with beating(server) as connection:
        await connection.ready()
        assert await lost_at(connection) == 20
        assert connection.state.value.error == "no answer to heartbeat"


@pytest.mark.contract("LV2", "TK2")
async def test_pings_and_pongs_of_its_websocket_layer_are_no_answer():
    server = FakeServer()
    async with beating(server, ping_interval=2.0) as connection:
        await connection.ready()

        async def ping() -> None:
            while True:
                await asyncio.sleep(1)
                server.connection.ping()

        pinging = asyncio.ensure_future(ping())
        assert await lost_at(connection) == 20
        pinging.cancel()
        assert connection.state.value.error == "no answer to heartbeat"
        assert server.connection.pings == 9
        assert server.connection.pongs == 19


@pytest.mark.contract("LV2", "OB5", "LV3")
async def test_an_answer_to_a_request_proves_that_the_program_lives_and_is_no_message():
    server = FakeServer(accept(), echo())
    async with beating(server, message="unknown", idle_timeout=60.0) as connection:
        await connection.ready()
        server.connection.on_message = lambda frame: (
            server.connection.send(frame) if frame != "unknown" else None
        )
        for _ in range(14):
            await asyncio.sleep(4)
            await connection.request({"op": "time"})
        assert connection.connected.value
        assert await lost_at(connection) == 60
        assert connection.state.value.error == "no message for 60 s"


@pytest.mark.contract("LV2", "LV1")
async def test_any_message_proves_that_the_servers_program_lives():
    server = FakeServer(accept(), repeat(pause(4), send("news")))
    async with beating(server) as connection:
        await connection.ready()
        await asyncio.sleep(1000)
        assert connection.connected.value
        assert connection.messages.total == 249


@pytest.mark.contract("LV2")
async def test_without_a_reply_nothing_is_expected():
    server = FakeServer()
    async with beating(server, reply=None) as connection:
        await connection.ready()
        await asyncio.sleep(100)
        assert server.received == ["ping"] * 6
        assert connection.connected.value


@pytest.mark.contract("LV2", "LV3")
async def test_replies_do_not_count_for_the_idle_timeout_and_messages_do():
    server = FakeServer(accept(), repeat(receive(), send("pong")))
    async with beating(server, idle_timeout=60.0) as connection:
        await connection.ready()
        await asyncio.sleep(30)
        server.send("news")
        assert await lost_at(connection) == 90
        assert connection.state.value.error == "no message for 60 s"


@pytest.mark.contract("LV2")
async def test_a_callable_makes_each_heartbeat_and_one_that_raises_is_reported():
    numbers = iter([1, 2])
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["message"])
    )
    server = FakeServer(accept(), repeat(receive(), send({"ref": 1})))
    message, reply = (lambda: {"ref": next(numbers)}), (lambda data: "ref" in data)
    async with beating(server, message=message, reply=reply) as connection:
        await connection.ready()
        assert await lost_at(connection) == 50
        assert server.received == ['{"ref":1}', '{"ref":2}']
    assert len(reported) == 1
    assert reported[0].startswith("the heartbeat's message raised")


@pytest.mark.contract("LV2")
async def test_a_reply_that_cannot_be_asked_about_is_a_message():
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["message"])
    )
    server = FakeServer(accept(), send("no object"))
    async with beating(server, reply=lambda data: data["op"] == "pong") as connection:
        await connection.messages.wait_for(len)
    assert reported[0].startswith("the heartbeat's reply raised")


@pytest.mark.contract("LV2", "MS5")
async def test_a_typed_codec_never_sees_the_replies():
    class Trade(msgspec.Struct):
        price: float

    errors: list[object] = []
    server = FakeServer(accept(), send("pong", {"price": 1.5}, "pong"))
    connection = beating(server, codec=Trade, on_error=lambda *error: errors.append(error))
    async with connection:
        await connection.messages.wait_for(len)
        await asyncio.sleep(1)
        assert [message.data for message in connection.messages.value] == [Trade(1.5)]
    assert errors == []


@pytest.mark.contract("LV2", "LV4")
async def test_a_loop_that_was_blocked_gets_one_more_heartbeat(virtual_clock):
    server = FakeServer(accept(), repeat(receive(), pause(0.25), send("pong")))
    async with beating(server, ping_interval=None) as connection:
        await connection.ready()
        asyncio.get_running_loop().call_at(15.1, virtual_clock.block, 60)
        await asyncio.sleep(200)
        assert connection.connected.value


@pytest.mark.contract("LV2", "LV3")
async def test_a_message_beside_a_reply_counts_for_the_idle_timeout():
    beat = (receive(), send("pong"))
    server = FakeServer(accept(), *beat, receive(), send("news", "pong"), repeat(*beat))
    async with beating(server, idle_timeout=60.0) as connection:
        await connection.ready()
        assert await lost_at(connection) == 90


@pytest.mark.contract("LV2")
async def test_after_a_reconnection_it_goes_on():
    beats = (receive(), send("pong"))
    server = FakeServer(accept(), *beats, accept(), repeat(*beats))
    async with beating(server) as connection:
        await connection.ready()
        await asyncio.sleep(20)
        connection.reconnect()
        await asyncio.sleep(50)
        assert len(server.connections) == 2
        assert len(server.connections[1].received) == 3


@pytest.mark.contract("LV2")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"message": object()}, "message"),
        ({"message": "ping", "reply": object()}, "reply"),
        ({"message": "ping", "interval": 0}, "interval"),
        ({"message": "ping", "timeout": -1}, "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_work_is_refused_when_it_is_made(options, why):
    with pytest.raises(InvalidOption, match=why):
        Heartbeat(**options)


@pytest.mark.contract("LV2", "SE0")
async def test_a_protocol_and_its_heartbeat_are_what_they_should_be():
    with pytest.raises(InvalidOption, match="protocol"):
        WebSocketStore("ws://fake", protocol="plain")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="heartbeat"):
        Plain(heartbeat="ping")  # type: ignore[arg-type]


@pytest.mark.contract("LV2")
async def test_long_frames_are_not_decoded_for_the_sake_of_a_short_reply():
    heartbeat = Heartbeat({"op": "ping"}, reply={"op": "pong"})
    assert heartbeat.recognises('{"op": "pong"}')
    assert not heartbeat.recognises(json.dumps({"op": "pong", "more": "x" * 1000}))
    assert not heartbeat.recognises(b"\x00")
    assert not heartbeat.recognises("[" * 50_000)


@pytest.mark.contract("LV2")
async def test_a_reply_counts_that_comes_before_the_time_for_which_the_heartbeat_was_set():
    # A loop may call a timer early by the resolution of its clock: 16 ms on Windows, the error of
    # a sum of many short sleeps here.
    async def answer(client):
        async for _ in client:
            await client.send("pong")

    async with FakeServer(answer) as server:
        async with beating(server, interval=2.0, timeout=2.0) as connection:
            await connection.ready()
            for _ in range(30_000):
                await asyncio.sleep(0.002)
            assert connection.connected.value, connection.explain()
            assert len(server.received) == 29


@pytest.mark.contract("OP5", "LV2")
@pytest.mark.parametrize("reply", ["new pong", None])
@pytest.mark.parametrize("make", [Plain, lambda heartbeat: Topics(key=str, heartbeat=heartbeat)])
async def test_the_replies_to_a_heartbeat_that_was_replaced_are_messages(make, reply):
    given = [True, False]

    def on_open(opening):
        if given.pop(0):
            opening.heartbeat(Heartbeat("new ping", reply, interval=15.0))

    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        protocol=make(heartbeat=Heartbeat("old ping", "old pong", interval=15.0)),
        on_open=on_open,
        reconnect=Reconnect(schedule=lambda attempt, outcome: 1.0),
    )
    async with connection:
        await connection.ready()
        server.send("old pong", "new pong", "one")
        await connection.messages.wait_for(lambda messages: "one" in [m.data for m in messages])
        first = [each.data for each in connection.messages.value]
        assert first == (["old pong", "one"] if reply else ["old pong", "new pong", "one"])
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        await connection.ready()
        server.send("old pong", "new pong", "two")
        await connection.messages.wait_for(lambda messages: "two" in [m.data for m in messages])
        assert [m.data for m in connection.messages.value][len(first) :] == ["new pong", "two"]
