"""The SDKs of Centrifugo against our server: no message is missing."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from centrifuge import (
    CentrifugeError,
    Client,
    PublicationContext,
    StreamPosition,
    SubscribedContext,
    SubscriptionEventHandler,
)

from loopback import processes
from loopback.node_packages import running_node
from loopback.processes import EchoServer

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("SE1", "SE2", "SV2")]

TOTAL = 300
FAULTS = 18
KILLED = 3
"""Each third fault kills the server with -9; the others reset the connections."""

LIMIT = 90
RESET = struct.pack("ii", 1, 0)


class Rough:
    """A server in a process of its own, behind a way that can be cut."""

    def __init__(self, history: Path) -> None:
        self._history = history
        self._port = 0
        self._server: AsyncExitStack | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.Server | None = None
        self.faults = 0

    @property
    def url(self) -> str:
        port = self._listening.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/connection/websocket?name=Ann"

    async def start(self) -> None:
        self._listening = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        await self._start_server()

    async def harm(self) -> None:
        """Do the next fault."""
        self.faults += 1
        if self.faults % KILLED == 0:
            await self._kill_server()
            await self._start_server()
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def stop(self) -> None:
        self._listening.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._kill_server()

    async def _start_server(self) -> None:
        self._server = AsyncExitStack()
        server: EchoServer = await self._server.enter_async_context(
            processes.serving(
                self._port, "--rate", "1000000", "--history", f"sqlite:///{self._history}"
            )
        )
        self._port = server.port

    async def _kill_server(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.aclose()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, inner_writer}
        self._writers |= both
        tasks = [
            asyncio.create_task(pump(reader, inner_writer)),
            asyncio.create_task(pump(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()
            for task in tasks:
                task.cancel()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return


@asynccontextmanager
async def rough(tmp_path: Path) -> AsyncIterator[Rough]:
    server = Rough(tmp_path / "history.db")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def assert_all_there(seen: list[tuple[int, Any]]) -> None:
    assert [offset for offset, _ in seen] == list(range(1, TOTAL + 1))
    assert [data for _, data in seen] == [{"number": n} for n in range(1, TOTAL + 1)]


class Reading(SubscriptionEventHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[int, Any]] = []
        self.recovered: list[bool] = []
        self.arrived = asyncio.Condition()

    def has(self, count: int) -> bool:
        return len(self.seen) >= count

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.recovered.append(ctx.recovered)

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.seen.append((ctx.pub.offset, ctx.pub.data))
        async with self.arrived:
            self.arrived.notify_all()


@pytest.mark.timeout(LIMIT + 30)
async def test_centrifuge_python_gets_all_messages_through_eighteen_faults(tmp_path):
    async with asyncio.timeout(LIMIT), rough(tmp_path) as server:
        client = Client(
            server.url, timeout=2, min_reconnect_delay=0.01, max_reconnect_delay=0.1, proxy=None
        )
        reading = Reading()
        subscription = client.new_subscription(
            "lobby",
            events=reading,
            min_resubscribe_delay=0.01,
            max_resubscribe_delay=0.1,
            recoverable=True,
            join_leave=True,
            get_state=from_the_beginning,
        )
        await client.connect()
        await subscription.subscribe()
        harming = asyncio.create_task(harm_along(server, reading))
        try:
            await write_with(client)
            await again(lambda: ask_with(subscription))
            async with reading.arrived:
                await reading.arrived.wait_for(partial(reading.has, TOTAL))
        finally:
            harming.cancel()
            await asyncio.wait([harming])
            await client.disconnect()
        assert server.faults == FAULTS
        assert_all_there(reading.seen)
        assert all(reading.recovered)


async def from_the_beginning(channel: str) -> StreamPosition:
    return StreamPosition(offset=0, epoch="")


async def harm_along(server: Rough, reading: Reading) -> None:
    """Do a fault each time that so many messages more have arrived."""
    for fault in range(1, FAULTS + 1):
        async with reading.arrived:
            await reading.arrived.wait_for(partial(reading.has, due(fault)))
        await server.harm()


def due(fault: int) -> int:
    return fault * TOTAL // (FAULTS + 1)


async def write_with(client: Client) -> None:
    for number in range(1, TOTAL + 1):
        message = {"channel": "lobby", "id": f"id-{number}", "data": {"number": number}}
        stored = await again(lambda message=message: client.rpc("send", message))
        assert stored.data["offset"] == number


async def ask_with(subscription: Any) -> None:
    history = await subscription.history(limit=10, reverse=True)
    assert [each.offset for each in history.publications] == list(range(TOTAL, TOTAL - 10, -1))
    since = StreamPosition(offset=5, epoch=history.epoch)
    later = await subscription.history(limit=3, since=since)
    assert [each.offset for each in later.publications] == [6, 7, 8]
    presence = await subscription.presence()
    assert [each.user for each in presence.clients.values()] == ["Ann"]
    stats = await subscription.presence_stats()
    assert (stats.num_clients, stats.num_users) == (1, 1)


async def again(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the connection holds so long."""
    while True:
        try:
            return await ask()
        except CentrifugeError:
            await asyncio.sleep(0)


@pytest.mark.timeout(LIMIT + 30)
async def test_centrifuge_js_gets_all_messages_through_eighteen_faults(tmp_path):
    async with asyncio.timeout(LIMIT), rough(tmp_path) as server:
        async with running_node(
            "centrifuge_reader.mjs", server.url, "lobby", str(TOTAL)
        ) as process:
            seen: list[tuple[int, Any]] = []
            told: list[dict[str, Any]] = []
            while line := await process.stdout.readline():
                frame = json.loads(line)
                told.append(frame)
                if frame["kind"] == "publication":
                    seen.append((frame["offset"], frame["data"]))
                    if server.faults < FAULTS and len(seen) == due(server.faults + 1):
                        await server.harm()
            errors = (await process.stderr.read()).decode()
            assert await process.wait() == 0, errors
        assert server.faults == FAULTS
        assert_all_there(seen[:TOTAL])
        first = next(frame for frame in told if frame["kind"] == "publication")
        assert (first["user"], first["id"]) == ("Ann", "id-1")
        (asked,) = [frame for frame in told if frame["kind"] == "asked"]
        assert asked["history"] == list(range(TOTAL, TOTAL - 10, -1))
        assert (asked["top"], asked["users"], asked["clients"]) == (TOTAL, ["Ann"], 1)
        assert {frame["was"] for frame in told if frame["kind"] == "subscribed"} == {True}
        assert all(frame["recovered"] for frame in told if frame["kind"] == "subscribed")
        assert not [frame for frame in told if frame["kind"] in {"unsubscribed", "disconnected"}]
