"""Servers for tests that block, and programs of their own that tests interrupt or let exit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from loopback.servers import Peer
from loopback.servers import serve as raw_server

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds any step may take before a test fails and says where everyone stands."""

PRELUDE = """
import faulthandler, logging, os, signal, sys, threading, time
# In its debug mode asyncio tells how long a turn took; no test is about that.
logging.getLogger('asyncio').setLevel('ERROR')
faulthandler.dump_traceback_later({patience}, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
from sockstore import Reconnect
from sockstore.blocking import WebSocket
OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)
URL = sys.argv[1]

def interrupt_when_waiting(*functions):
    '''Press Ctrl-C as soon as the main thread sleeps inside one of these.'''
    main = threading.main_thread().ident
    def names():
        frame = sys._current_frames()[main]
        while frame is not None:
            yield frame.f_code.co_name
            frame = frame.f_back
    def look():
        while True:
            stack = list(names())
            if stack[0] == '_take' and set(functions) & set(stack):
                return os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=look, daemon=True).start()
"""


@dataclass
class Echo:
    """An echo server, and what it saw."""

    port: int = 0
    codes: list[int | None] = field(default_factory=list)
    connected: int = 0
    gone: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def handle(self, websocket: ServerConnection) -> None:
        self.connected += 1
        with suppress(ConnectionClosed):
            async for message in websocket:
                if message == "goodbye":
                    break
                await websocket.send(message)
        await websocket.close()
        with self.gone:
            self.codes.append(websocket.close_code)
            self.gone.notify_all()

    def until_gone(self, count: int) -> list[int | None]:
        """Wait until that many connections have ended, and return their close codes."""
        with self.gone:
            assert self.gone.wait_for(lambda: len(self.codes) >= count, PATIENCE)
            return list(self.codes)


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    async with serve(echo.handle, "127.0.0.1", 0) as listening:
        echo.port = listening.sockets[0].getsockname()[1]
        yield echo


async def never_answer(peer: Peer) -> None:
    """Take the TCP connection, and leave the handshake unanswered."""
    await peer.until_gone()


async def never_close(peer: Peer) -> None:
    """Open the WebSocket, and answer nothing any more."""
    await peer.accept()
    await peer.until_gone()


def silent() -> AbstractAsyncContextManager:
    return raw_server(never_answer)


def deaf() -> AbstractAsyncContextManager:
    return raw_server(never_close)


@contextmanager
def in_a_thread(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter an asynchronous context manager on an event loop in another thread."""
    entered: list[T] = []
    ready, leave = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        async with manager as server:
            entered.append(server)
            ready.set()
            await leave.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield entered[0]
    finally:
        loops[0].call_soon_threadsafe(leave.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def run_program(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with every warning an error; if it hangs, it says where."""
    whole = PRELUDE.format(patience=PATIENCE) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", whole, *arguments],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def output_of(code: str, *arguments: str) -> str:
    """Return what a program prints; nothing may be said on the side, and it must end well."""
    done = run_program(code, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
