"""A TCP proxy on 127.0.0.1 that does to connections what networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Literal

from tests.loopback.processes import free_port

Direction = Literal["up", "down"]
BOTH: tuple[Direction, ...] = ("up", "down")
CHUNK = 64 * 1024
LITTLE, MUCH = 60, 2000


class Pair:
    """One connection through the proxy: the client's half, and the server's."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers: dict[Direction, asyncio.StreamWriter] = {"up": server, "down": client}
        self.flows: dict[Direction, asyncio.Event] = {
            "up": asyncio.Event(),
            "down": asyncio.Event(),
        }
        self.left: dict[Direction, int | None] = {"up": None, "down": None}
        self.rate: float | None = None
        for flow in self.flows.values():
            flow.set()

    def reset(self) -> None:
        """End it with RST on both sides."""
        for writer in self.writers.values():
            with suppress(OSError, AttributeError):
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            writer.transport.abort()
        self.thaw()

    def fin(self) -> None:
        """End it with FIN on both sides."""
        for writer in self.writers.values():
            writer.close()
        self.thaw()

    def freeze(self, *directions: Direction) -> None:
        """Let nothing through; what is written to it fills its buffers."""
        for direction in directions or BOTH:
            self.flows[direction].clear()

    def thaw(self) -> None:
        """Let everything through again."""
        for flow in self.flows.values():
            flow.set()

    def cut_after(self, count: int, direction: Direction) -> None:
        """Let so many bytes more through, then reset: in the middle of a frame."""
        self.left[direction] = count

    async def pump(self, reader: asyncio.StreamReader, direction: Direction) -> None:
        """Carry bytes in one direction; what is read is bounded by one chunk."""
        writer = self.writers[direction]
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self.flows[direction].wait()
                if writer.is_closing():
                    return
                left = self.left[direction]
                if left is not None and len(data) >= left:
                    writer.write(data[:left])
                    await asyncio.wait_for(writer.drain(), 1)
                    self.reset()
                    return
                if left is not None:
                    self.left[direction] = left - len(data)
                if self.rate is not None:
                    await asyncio.sleep(len(data) / self.rate)
                writer.write(data)
                await writer.drain()
        self.fin()


class ChaosProxy:
    """Carries connections to another port, and disturbs them when it is told to.

    Args:
        upstream: The port of the server on 127.0.0.1.

    Attributes:
        port: Where it listens.
        accepted: How many connections came so far.
        pairs: The connections that are carried now.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        # Reserved: when it refuses for a while, its clients must not meet another test's server.
        self.port = free_port()
        self.accepted = 0
        self.pairs: list[Pair] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._instead: Callable[..., object] | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, reuse_address=True
        )

    async def aclose(self) -> None:
        """Refuse everything, and reset what is carried."""
        await self.refuse()
        for pair in self.pairs:
            pair.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def refuse(self) -> None:
        """Refuse new connections until `open`."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def hang(self) -> None:
        """Accept new connections, and say nothing."""
        self._instead = lambda reader, writer: asyncio.Event().wait()

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        """Answer the request of new connections with an HTTP status."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            fields = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
            lines += [f"{name}: {value}" for name, value in fields.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
            await writer.drain()

        self._instead = answer

    def serve(self) -> None:
        """Carry new connections again, after `hang` or `answer`."""
        self._instead = None

    def misbehave(self, rng: random.Random) -> str:
        """Do something to one of the connections; return its name, or nothing."""
        if not self.pairs:
            return ""
        pair = rng.choice(self.pairs)
        match rng.choice(["reset", "fin", "cut in a frame", "freeze"]):
            case "reset":
                pair.reset()
                return "reset"
            case "fin":
                pair.fin()
                return "fin"
            case "cut in a frame":
                direction = rng.choice(BOTH)
                # A client that only listens sends little, and the cut should come while it waits.
                pair.cut_after(rng.randrange(1, LITTLE if direction == "up" else MUCH), direction)
                return "cut in a frame"
            case _:
                pair.freeze(*rng.choice([BOTH, BOTH[:1], BOTH[1:]]))
                return "freeze"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self._instead is not None:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await self._instead(reader, writer)
            else:
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy is closed
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair(writer, to_server)
        self.pairs.append(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pair.pump(reader, "up"))
                group.create_task(pair.pump(from_server, "down"))
        finally:
            self.pairs.remove(pair)
            to_server.close()


@asynccontextmanager
async def chaos(upstream: int) -> AsyncIterator[ChaosProxy]:
    """Run a proxy in front of a port until the block ends."""
    proxy = ChaosProxy(upstream)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.aclose()
