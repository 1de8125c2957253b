"""Clients that misbehave: each gets its answer, and the others do not notice."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopback.server_kit import (
    PATIENCE,
    QUICK,
    Mute,
    guest,
    masked,
    note_buffered,
    running,
    send_without_end,
)
from sockstore.server import Limits, create_app
from sockstore.server.uvicorn_protocol import BoundedWebSocketProtocol
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SV3")]

MIB = 2**20
PATHS = ["/echo", "/chat/lobby"]


async def assert_round_trip(person, content: str = "are you there") -> None:
    await person.say(content)
    assert (await person.read_until("message", content=content))["type"] == "message"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("message", ["x" * 10 * MIB, b"x" * 10 * MIB], ids=["text", "binary"])
async def test_ten_mebibytes_are_answered_with_1009(path, message):
    async with running() as server, server.enter() as other:
        async with guest(server.url(path)) as hostile:
            await hostile.connection.send(message)
            assert await hostile.close_of() == (1009, "larger than 65536 bytes")
        await assert_round_trip(other)


@pytest.mark.parametrize("path", PATHS)
async def test_our_own_server_does_not_even_receive_what_is_too_large(path):
    # Compressed: asyncio's transport of the client trips when it is closed amid so much to write.
    compressing = {"ws_max_size": 65536, "ws_per_message_deflate": True}
    async with running(**compressing) as server, server.enter() as other:
        async with guest(server.url(path)) as hostile:
            # The rest is thrown away, so that the answer is not lost in a reset.
            sending = asyncio.create_task(hostile.connection.send("x" * 10 * MIB))
            code, reason = await hostile.close_of()
            await asyncio.wait([sending])
            sending.exception()
            assert code == 1009
            assert "65536" in reason
        await assert_round_trip(other)


async def test_the_size_is_counted_in_bytes():
    async with running(limits=Limits(**QUICK, max_message_bytes=100)) as server:
        async with guest(server.url()) as visitor:
            await visitor.connection.send("ä" * 50)
            assert await visitor.connection.recv() == "ä" * 50
            await visitor.connection.send("ä" * 51)
            assert (await visitor.close_of())[0] == 1009


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_sends_too_much_is_closed_with_4429(path):
    async with running(limits=Limits(rate=1, burst=50)) as server, server.enter() as other:
        async with guest(server.url(path)) as hostile:
            for number in range(1000):
                await hostile.connection.send(json.dumps({"content": str(number)}))
                if hostile.connection.close_code:
                    break
            code, reason = await hostile.close_of()
        assert (code, reason) == (4429, "more than 1 messages a second (at most 50 at once)")
        await assert_round_trip(other)


async def test_a_client_that_sends_only_rubbish_is_throttled_too():
    async with running(limits=Limits(rate=1, burst=10)) as server:
        async with server.enter() as hostile:
            for _ in range(11):
                await hostile.connection.send(b"\xff")
            errors = [await hostile.read() for _ in range(10)]
            assert {error["code"] for error in errors} == {"binary_message"}
            assert (await hostile.close_of())[0] == 4429


async def test_what_a_throttled_client_said_before_is_not_lost():
    async with running(limits=Limits(rate=0.001, burst=5)) as server, server.enter() as other:
        async with server.enter() as hostile:
            for number in range(6):
                await hostile.say(str(number))
            assert [m["content"] for m in await hostile.messages(5)] == list("01234")
            assert (await hostile.close_of())[0] == 4429
        assert [m["content"] for m in await other.messages(5)] == list("01234")


async def test_fifty_messages_at_once_are_nothing_special():
    async with running(create_app()) as server, server.enter() as person:
        for number in range(50):
            await person.say(str(number))
        assert [m["content"] for m in await person.messages(50)] == [str(n) for n in range(50)]


async def test_others_talk_on_while_one_sends_a_thousand_messages():
    async with running() as server:
        async with server.enter("noisy") as noisy, server.enter("quiet") as quiet:

            async def shout() -> list[int]:
                for number in range(1000):
                    await noisy.say(str(number))
                return [message["offset"] for message in await noisy.messages(1000)]

            shouting = asyncio.create_task(shout())
            answered = 0
            while not shouting.done():
                await assert_round_trip(quiet, str(answered))
                answered += 1
            assert await shouting == list(range(1, 1001))
            assert answered > 10


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_never_reads_is_dropped_and_nothing_of_it_stays(path, monkeypatch):
    buffered = note_buffered(monkeypatch, "Mute")
    limits = Limits(**QUICK, max_message_bytes=20_000, buffer_bytes=100_000, close_seconds=0.05)
    async with running(limits=limits) as server:
        async with server.enter("lobby", "Ann") as talker, server.enter("lobby", "Bob") as listener:
            others = server.sockets()
            mute = await Mute.connect(server.port, f"{path}?name=Mute")
            await until(lambda: server.chat.clients == 3)
            (stuck,) = (sock for sock in server.sockets() if sock not in others)
            assert stuck.fileno() >= 0
            sent = 0
            if path == "/echo":
                sending = asyncio.create_task(send_without_end(mute, masked(0x82, b"x" * 10_000)))
                await until(lambda: server.chat.clients == 2)
                sending.cancel()
            while server.chat.clients == 3:
                await talker.say("x" * 10_000 + str(sent))
                await talker.read_until("message")
                sent += 1
                assert sent < 1000, "it is never dropped"
            await until(lambda: stuck.fileno() == -1)
            messages = await listener.messages(sent)
            assert [m["offset"] for m in messages] == list(range(1, sent + 1))
            await assert_round_trip(talker)
            assert max(buffered, default=0) <= 100_000
            mute.sock.close()


async def test_a_client_that_reads_slowly_is_told_1013_if_it_can_be():
    limits = Limits(**QUICK, max_message_bytes=20_000, buffer_bytes=100_000)
    async with running(limits=limits) as server, server.enter("lobby", "Ann") as talker:
        mute = await Mute.connect(server.port, "/chat/lobby?name=Slow")
        await talker.read_until("join")
        for number in range(100):  # ten times what its buffer holds
            await talker.say("x" * 10_000 + str(number))
            await talker.read_until("message")
        assert server.chat.clients == 2
        # It reads again, in time.
        await mute.read_until(struct.pack("!H", 1013) + b"the client reads too slowly")
        mute.sock.close()
        await talker.read_until("leave", sender="Slow")


async def test_pings_of_a_client_that_never_reads_cost_no_memory():
    """It is sent some early pongs, and the last one: not one for each of its pings."""
    pings = 40_000
    async with running() as server:
        mute = await Mute.connect(server.port, "/echo")
        await until(lambda: server.state.connections)
        (connection,) = server.state.connections
        # What the kernel holds the server has not seen, and would answer later.
        mute.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        frames = b"".join(masked(0x89, b"%0125d" % number) for number in range(pings))
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(mute.sock, frames)
        data = await mute.read_until(b"%0125d" % (pings - 1))
        numbers = [int(pong) for pong in data.split(b"\x8a\x7d")[1:]]
        assert numbers == sorted(set(numbers))
        assert len(data) < MIB < len(frames)
        assert connection.transport.inner.get_write_buffer_size() == 0
        mute.sock.close()


@pytest.mark.parametrize("path", PATHS)
async def test_a_peer_that_vanished_is_noticed_by_pings(path):
    async with running(ws_ping_interval=0.02, ws_ping_timeout=0.02) as server:
        mute = await Mute.connect(server.port, path)  # it answers no ping
        await until(lambda: server.chat.clients == 1)
        (sock,) = server.sockets()
        await until(lambda: server.chat.clients == 0 and sock.fileno() == -1)
        mute.sock.close()


async def test_half_a_close_of_a_client_that_never_reads_ends_it(monkeypatch):
    monkeypatch.setattr("sockstore.server.bounded_transport.SECONDS_TO_CLOSE", 0.05)
    async with running() as server:
        mute = await Mute.connect(server.port, "/echo")
        await until(lambda: server.state.connections)
        (sock,) = server.sockets()
        mute.sock.shutdown(1)
        await until(lambda: sock.fileno() == -1)
        mute.sock.close()


async def test_stopping_does_not_wait_for_a_client_that_never_reads(monkeypatch):
    monkeypatch.setattr(BoundedWebSocketProtocol, "pause_writing", hold)
    monkeypatch.setattr("sockstore.server.bounded_transport.SECONDS_TO_CLOSE", 0.05)
    HELD.clear()
    limits = Limits(**QUICK, buffer_bytes=8 * MIB, buffer_messages=100_000)
    async with running(limits=limits) as server:
        mute = await Mute.connect(server.port, "/chat/lobby")
        async with server.enter() as talker:
            while not HELD:
                await talker.say("x" * 20_000)
                await talker.read_until("message")
        # Leaving the block is the test: shutting down has a bound.
    mute.sock.close()


HELD: list[BoundedWebSocketProtocol] = []
pause_writing = BoundedWebSocketProtocol.pause_writing


def hold(self: BoundedWebSocketProtocol) -> None:
    HELD.append(self)
    pause_writing(self)


@pytest.mark.contract("SV4")
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(0x81, b"\xff\xfe"), 1007),
        (masked(0x01, b"\xff") + masked(0x80, b"\xfe"), 1007),
        (masked(0x83, b"reserved opcode"), 1002),
        (masked(0xC1, b"reserved bit"), 1002),
        (b"\x81\x05hello", 1002),
        (masked(0x80, b"continues nothing"), 1002),
        (masked(0x88, b"\x03"), 1002),
        (masked(0x89, b"x" * 126), 1002),
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", 1009),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_violation_of_the_protocol_is_closed_and_not_logged(path, frame, code, caplog):
    async with running() as server, server.enter("other") as other:
        mute = await Mute.connect(server.port, path)
        mute.sock.send(frame)
        data = await mute.until_gone()
        assert struct.pack("!H", code) in data
        await assert_round_trip(other)
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "timestamp", "type", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)
FRAMES = st.one_of(
    st.binary(max_size=100),
    st.text(max_size=100),
    JSON.map(json.dumps),
    st.fixed_dictionaries({"content": JSON, "timestamp": JSON}).map(json.dumps),
    st.text(max_size=20).map(lambda content: json.dumps({"content": content})),
)


@pytest.mark.contract("SV4", "SV6")
async def test_whatever_a_client_sends_the_answer_is_a_documented_frame():
    async with running() as server, server.enter() as visitor:
        answers: list[set[str]] = []

        async def send(messages: list[str | bytes]) -> None:
            for message in messages:
                await visitor.connection.send(message)
            for _ in messages:
                frame = await visitor.read()
                answers.append(set(frame))
                if frame["type"] == "error":
                    assert set(frame) == {"type", "code", "message"}
                else:
                    assert set(frame) == {
                        *("type", "sender", "content", "timestamp", "id", "offset")
                    }

        loop = asyncio.get_running_loop()
        examples: list[list[str | bytes]] = []

        @settings(
            max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(st.lists(FRAMES, max_size=5))
        def collect(messages):
            examples.append(messages)

        await loop.run_in_executor(None, collect)
        async with asyncio.timeout(PATIENCE):
            for messages in examples:
                await send(messages)
        assert len(answers) == sum(map(len, examples))


async def test_bytes_that_are_not_a_websocket_at_all_do_not_harm_other_clients():
    async with running() as server, server.enter() as other:
        for size in (1, 100, 10_000):
            mute = await Mute.connect(server.port, "/chat/lobby")
            mute.sock.send(os.urandom(size))
            mute.sock.shutdown(1)
            await mute.until_gone()
        await assert_round_trip(other)
        await until(lambda: server.chat.clients == 1)
