"""A real redis-server, started by the tests on a port of its own."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.loopback.processes import free_port

from sockstore.server.redis.history import RedisHistory
from sockstore.server.redis.presence import RedisPresence
from sockstore.server.rooms.presence import Member

__all__ = ["Member", "RedisHistory", "RedisPresence", "RedisServer", "redis_server"]

SECONDS = 20


class RedisServer:
    """One redis-server and its folder; it can be killed and started again."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            "redis-server",
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *(
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--daemonize",
                "no",
            ),
            *self._arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(SECONDS):
            while (await self.ask("PING")) != "+PONG":
                assert self._process.returncode is None, "redis-server has ended"
                await asyncio.sleep(0.02)

    async def ask(self, *words: str) -> str:
        """Send a command over a connection of its own; return the first line of the answer."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return ""
        writer.write((" ".join(words) + "\r\n").encode())
        try:
            return (await reader.readline()).decode().strip()
        except OSError:
            return ""
        finally:
            writer.close()

    async def fields(self, key: str) -> list[str]:
        """Return the fields of a hash."""
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return await client.hkeys(key)

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def freeze(self) -> None:
        """Let it do nothing, and say nothing, until `thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def redis_server(folder: Path, *arguments: str) -> AsyncIterator[RedisServer]:
    """Run a redis-server until the block ends; skip where there is none."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    server = RedisServer(folder, *arguments)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
