"""Writing at once over real sockets: framed once for a room, never past the limits of a client."""

from __future__ import annotations

import gc
import weakref

import pytest
from websockets.frames import Frame

from loopback.server_kit import QUICK, guest, running
from sockstore.server import Limits
from sockstore.server.asgi import SharedMessage
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SV3")]


@pytest.fixture
def framed(monkeypatch):
    """The payload of every frame that was made for all clients, without extensions of one."""
    payloads: list[bytes] = []
    serialize = Frame.serialize

    def note(frame: Frame, *, mask: bool, extensions: object = None) -> bytes:
        if not mask and extensions is None:
            payloads.append(bytes(frame.data))
        return serialize(frame, mask=mask, extensions=extensions)

    monkeypatch.setattr(Frame, "serialize", note)
    return payloads


async def test_a_message_is_framed_once_for_everybody_in_the_room(framed):
    async with running() as server, server.enter() as one, server.enter() as two:
        await one.say("hellö")
        for each in (one, two):
            assert (await each.read_until("message"))["content"] == "hellö"
        assert len([text for text in framed if "hellö".encode() in text]) == 1


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
async def test_every_length_is_framed_right(size, framed):
    limits = Limits(**QUICK, max_message_bytes=100_000)
    async with running(limits=limits) as server, guest(server.url("/echo")) as person:
        for message in ("x" * size, b"x" * size):
            await person.connection.send(message)
            assert await person.connection.recv() == message
        assert framed == [b"x" * size] * 2


async def test_a_compressed_frame_is_made_for_one_client_alone(framed):
    async with running(ws_per_message_deflate=True) as server, server.enter() as person:
        assert person.connection.protocol.extensions
        await person.say("hello " * 100)
        assert (await person.read_until("message"))["content"] == "hello " * 100
    assert framed == []


async def test_all_arrives_in_order_also_from_a_reader_that_stops_now_and_then():
    limits = Limits(**QUICK, buffer_bytes=64 * 2**20, buffer_messages=100_000)
    async with running(limits=limits) as server:
        async with server.enter() as talker, server.enter() as reader:
            for number in range(200):
                await talker.say(f"{number} {'x' * 20_000}")
            offsets = [message["offset"] for message in await reader.messages(200)]
            assert offsets == list(range(1, 201))


async def test_nothing_is_written_while_the_client_does_not_read_or_leaves():
    async with running() as server, server.enter() as person:
        (connection,) = server.state.connections
        written = [connection.write(SharedMessage('{"type":"message","content":"1"}'))]
        connection.pause_writing()
        written.append(connection.write(SharedMessage("2")))
        connection.resume_writing()
        written.append(connection.write(SharedMessage('{"type":"message","content":"3"}')))
        connection.eof_received()
        written.append(connection.write(SharedMessage("4")))
        assert written == [True, False, True, False]
        assert [message["content"] for message in await person.messages(2)] == ["1", "3"]


async def test_nothing_is_written_behind_the_close_frame():
    async with running() as server, server.enter() as person:
        (connection,) = server.state.connections
        connection.shutdown()
        assert not connection.write(SharedMessage("too late"))
        assert (await person.close_of())[0] == 1012


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
