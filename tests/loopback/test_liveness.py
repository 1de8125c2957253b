"""What counts as life, over real sockets: of what a server sends, only what its program said.

The server goes on for as long as it is not left, so without the rule a test would never end; how
long it takes decides nothing.
"""

from __future__ import annotations

import asyncio

import pytest

from loopback.server_kit import QUICK, running
from loopback.servers import (
    CONT,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Peer,
    frame,
    serve,
)
from sockstore import WebSocketStore
from sockstore.protocols import Centrifuge, Heartbeat, Plain
from sockstore.server import Limits

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

WITHOUT_A_MESSAGE = {
    "pings": [frame(PING, b"server")],
    "pongs": [frame(PONG)],
    "the beginning of a message, and pings": [frame(TEXT, b"half", fin=False), frame(PING)],
    "empty fragments": [frame(TEXT, fin=False), frame(CONT, fin=False)],
    "single bytes of a message": [b"\x81", b"\x7e", b"\xff", b"\xff", b"x"],
}


def saying(*parts: bytes):
    """Say the parts, then the last one again and again; answer pings and a close."""

    async def answer(peer: Peer) -> None:
        try:
            while True:
                opcode, payload = await peer.read_frame()
                if opcode == PING:
                    await peer.write(frame(PONG, payload))
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has left

    async def handle(peer: Peer) -> None:
        await peer.accept()
        answering = asyncio.ensure_future(answer(peer))
        said = list(parts)
        while not answering.done():
            await peer.write(said.pop(0) if len(said) > 1 else said[0])
            await asyncio.wait([answering], timeout=0.02)

    return handle


async def how_it_ended(handler, **options) -> str:
    async with (
        serve(handler) as server,
        WebSocketStore(server.url, reconnect=False, **options) as connection,
        asyncio.timeout(PATIENCE),
    ):
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert connection.messages.total == 0
        return connection.state.value.error


@pytest.mark.contract("LV3", "LV1")
@pytest.mark.parametrize("parts", WITHOUT_A_MESSAGE.values(), ids=WITHOUT_A_MESSAGE)
async def test_a_feed_is_idle_whatever_comes_that_is_no_message(parts):
    error = await how_it_ended(saying(*parts), idle_timeout=0.4, ping_interval=0.1)
    assert error == "no message for 0.4 s"


@pytest.mark.contract("LV2", "LV1")
@pytest.mark.parametrize("parts", WITHOUT_A_MESSAGE.values(), ids=WITHOUT_A_MESSAGE)
async def test_a_heartbeat_is_unanswered_whatever_comes_that_no_program_said(parts):
    heartbeat = Heartbeat("are you there?", reply="yes", interval=0.2, timeout=0.2)
    error = await how_it_ended(
        saying(*parts), protocol=Plain(heartbeat=heartbeat), ping_interval=0.1
    )
    assert error == "no answer to heartbeat"


@pytest.mark.contract("LV3", "SE0")
async def test_the_pings_of_a_server_keep_no_room_alive():
    limits = Limits(**QUICK, ping_seconds=0.05, pong_seconds=1.5)
    options = {"protocol": Centrifuge(), "idle_timeout": 4.0, "reconnect": False}
    async with (
        running(limits=limits) as server,
        WebSocketStore(server.url("/connection/websocket"), **options) as connection,
        connection.subscribe("lobby") as lobby,
        asyncio.timeout(3 * PATIENCE),
    ):
        await lobby.ready()
        await connection.phase.wait_for(lambda phase: phase == "failed")
        assert connection.state.value.error == "no message for 4 s"
