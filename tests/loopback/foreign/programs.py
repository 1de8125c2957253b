"""Programs that listen on a port, started by the tests: killed, frozen, and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO

import pytest

from loopback.processes import NOTHING

SECONDS_TO_START = 60


def need(tool: str, package: str) -> str:
    """Return the path of a program; skips the test where it is not installed."""
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"there is no {tool}; install Debian's package {package}")
    return path


class Program:
    """One program and the port that it listens on."""

    def __init__(self, port: int, *command: str, environment: Mapping[str, str] = NOTHING) -> None:
        self.port = port
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        with tempfile.TemporaryFile() as said:
            self._process = self._begin(said)
            async with asyncio.timeout(SECONDS_TO_START):
                while not await self._accepts():
                    if self._process.poll() is not None:
                        said.seek(0)
                        raise AssertionError(f"{self._command[0]} has ended: {said.read()!r}")
                    await asyncio.sleep(0.02)

    def _begin(self, said: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start it without asyncio, whose processes come with threads that look like leaks."""
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=self._environment,
            start_new_session=True,
        )

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """Kill it, and what it started, with SIGKILL: without a close frame."""
        if self._process is not None and self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._process.wait(SECONDS_TO_START)

    def freeze(self) -> None:
        """Let it do nothing, and say nothing, until `thaw`; its kernel still accepts."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.killpg(self._process.pid, number)


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    """Run a program until the block ends."""
    try:
        await program.start()
        yield program
    finally:
        await program.kill()
