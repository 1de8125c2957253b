"""The command `sockstore` as a process of its own, for tests that kill it."""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

SECONDS = 60
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Finished:
    status: int
    out: str
    err: str


async def run(
    *arguments: str, stdin: str | None = None, environment: Mapping[str, str] = NOTHING
) -> Finished:
    """Run `sockstore ARGUMENTS` to its end."""
    process = await start(*arguments, stdin=stdin is not None, environment=environment)
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(None if stdin is None else stdin.encode())
    return Finished(process.returncode or 0, out.decode(), err.decode())


async def start(
    *arguments: str,
    stdin: bool = False,
    environment: Mapping[str, str] = NOTHING,
    open_files: int | None = None,
) -> asyncio.subprocess.Process:
    """Start `sockstore ARGUMENTS`; what it keeps for its user goes to a folder of its own.

    With `open_files` no more files may be open at once.
    """
    pipe = asyncio.subprocess.PIPE
    data = tempfile.mkdtemp(prefix="sockstore-tests-")
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sockstore", *arguments),
        stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env={
            **os.environ,
            "PYTHONWARNINGS": "default",
            "PYTHONUNBUFFERED": "1",
            "XDG_DATA_HOME": data,
            **environment,
        },
        preexec_fn=_preparation(open_files),
    )


def _preparation(open_files: int | None) -> Callable[[], None] | None:
    ignores_ctrl_c = signal.getsignal(signal.SIGINT) == signal.SIG_IGN

    def prepare() -> None:
        # A shell without job control lets what it starts in the background ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    return prepare if ignores_ctrl_c or open_files is not None else None


@asynccontextmanager
async def serving(
    port: int = 0,
    *arguments: str,
    environment: Mapping[str, str] = NOTHING,
    open_files: int | None = None,
) -> AsyncIterator[EchoServer]:
    """Run `sockstore serve ARGUMENTS` until the block ends.

    Its port is reserved: a server that is killed and comes back finds it free, and its clients do
    not meet the server of another test there.
    """
    server = EchoServer(
        await start(
            "serve",
            *("--port", str(port or free_port()), *arguments),
            environment=environment,
            open_files=open_files,
        )
    )
    try:
        await server.read_port()
        yield server
    finally:
        await server.kill()


class EchoServer:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/echo"

    async def read_port(self) -> None:
        async with asyncio.timeout(SECONDS):
            line = (await self.process.stdout.readline()).decode()
        found = re.search(r":(\d+)/echo", line)
        if found is None:
            raise AssertionError(f"{line!r} {(await self.process.stderr.read()).decode()}")
        self.port = int(found[1])

    async def kill(self) -> None:
        """End it with SIGKILL, without a close frame."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def stop(self, number: int = signal.SIGTERM) -> Finished:
        self.process.send_signal(number)
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate()
        return Finished(self.process.returncode or 0, out.decode(), err.decode())


PORTS = range(20_000, 30_000)
"""Below those that the system gives to a program that asks for any port, or connects."""

AT_ONCE = 50
"""Ports that a process has for itself: while it lives it holds a lock, which others respect."""


def _ports_of_this_process() -> tuple[TextIO, Iterator[int]]:
    folder = Path(tempfile.gettempdir()) / "sockstore-test-ports"
    folder.mkdir(exist_ok=True)
    blocks = PORTS[::AT_ONCE]
    for first in random.sample(blocks, len(blocks)):
        lock = (folder / str(first)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            return lock, cycle(range(first, first + AT_ONCE))
    raise OSError("every port is taken")


# At once: a test that proves that it leaves no file open may be the first that asks for a port.
_lock, _ports = _ports_of_this_process()
atexit.register(_lock.close)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens, and that no other process is given."""
    for port in islice(_ports, AT_ONCE):
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return port
    raise OSError("every port of this process is taken")
