"""Writing at once over real sockets: framed once for a room, never past the limits of a client."""

from __future__ import annotations

import gc
import weakref

import pytest

from loopback.test_server_kit import QUICK, Mute, guest, running, until
from sockstore.server import Limits, uvicorn_protocol
from sockstore.server.uvicorn_protocol import BoundedWebSocketProtocol

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SV3")]


@pytest.fixture
def framed(monkeypatch):
    """Every message that was framed to be written at once."""
    messages: list[str | bytes] = []
    frame = uvicorn_protocol._frame

    def note(message: str | bytes) -> bytes:
        messages.append(message)
        return frame(message)

    monkeypatch.setattr(uvicorn_protocol, "_frame", note)
    return messages


async def test_a_message_is_framed_once_for_everybody_in_the_room(framed):
    async with running() as server, server.enter() as one, server.enter() as two:
        await one.say("hellö")
        for each in (one, two):
            assert (await each.read_until("message"))["content"] == "hellö"
        assert len([text for text in framed if "hellö" in text]) == 1


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
async def test_every_length_is_framed_right(size, framed):
    limits = Limits(**QUICK, max_message_bytes=100_000)
    async with running(limits=limits) as server, guest(server.url("/echo")) as person:
        for message in ("x" * size, b"x" * size):
            await person.connection.send(message)
            assert await person.connection.recv() == message
        assert framed == ["x" * size, b"x" * size]


async def test_what_is_compressed_is_one_clients_alone(framed):
    async with running(ws_per_message_deflate=True) as server:
        async with server.enter() as one, server.enter(compression=None) as two:
            assert one.connection.protocol.extensions
            assert not two.connection.protocol.extensions
            await one.say("hello " * 100)
            for each in (one, two):
                assert (await each.read_until("message"))["content"] == "hello " * 100
        assert len([text for text in framed if "hello" in text]) == 1


async def test_all_arrives_in_order_also_from_a_reader_that_stops_now_and_then():
    limits = Limits(**QUICK, buffer_bytes=64 * 2**20, buffer_messages=100_000)
    async with running(limits=limits) as server:
        async with server.enter() as talker, server.enter() as reader:
            for number in range(200):
                await talker.say(f"{number} {'x' * 20_000}")
            offsets = [message["offset"] for message in await reader.messages(200)]
            assert offsets == list(range(1, 201))


async def test_who_has_half_closed_is_not_written_to(monkeypatch):
    asked: list[bool] = []
    write = BoundedWebSocketProtocol.write

    def note(self, outgoing):
        asked.append(self._inner.is_closing())
        written = write(self, outgoing)
        assert not (asked[-1] and written)
        return written

    monkeypatch.setattr(BoundedWebSocketProtocol, "write", note)
    async with running() as server, server.enter() as talker:
        mute = await Mute.connect(server.port, "/chat/lobby")
        await until(lambda: server.chat.clients == 2)
        mute.sock.shutdown(1)
        for number in range(5):
            await talker.say(str(number))
            await talker.read_until("message", content=str(number))
        mute.sock.close()
        await until(lambda: server.chat.clients == 1)
    assert asked


async def test_a_connection_that_is_lost_does_not_wait_for_the_collector():
    async with running() as server:
        gc.collect()
        gc.disable()
        try:
            async with server.enter() as person:
                await until(lambda: server.state.connections)
                (connection,) = map(weakref.ref, server.state.connections)
                await person.say("hello")
                await person.read_until("message")
            await until(lambda: connection() is None)
        finally:
            gc.enable()
