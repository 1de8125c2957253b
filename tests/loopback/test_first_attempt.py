"""The first attempt of a program, and name servers that hang: the loop goes on."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from loopback.servers import PATIENCE, Peer, Trust, serve, text
from sockstore import WebSocketStore
from sockstore.testing import FakeServer, VirtualClock, assert_no_leaks

pytestmark = [pytest.mark.loopback, pytest.mark.contract("CN19")]

SECONDS = 60


def said_by(program: str, *arguments: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADING = """
import asyncio, logging, ssl, sys, threading
logging.disable(logging.CRITICAL)
main, on_loop, elsewhere = threading.get_ident(), set(), set()
def hook(event, arguments):
    if event == "import":
        place = on_loop if threading.get_ident() == main else elsewhere
        place.add(arguments[0].partition(".")[0])
from sockstore import WebSocketStore
make = ssl.create_default_context
def create_default_context(*arguments, **options):
    (on_loop if threading.get_ident() == main else elsewhere).add("certificates")
    return make(*arguments, **options)
ssl.create_default_context = create_default_context
async def attempts():
    sys.addaudithook(hook)
    connections = [WebSocketStore(url, reconnect=False) for url in sys.argv[1:] for _ in range(3)]
    for connection in connections:
        connection.connect()
    for connection in connections:
        await connection.phase.wait_for(lambda phase: phase == "failed")
        await connection.aclose()
asyncio.run(attempts())
late = {"websockets", "certificates", "zipfile", "msgspec"}
print(*sorted(late & on_loop), "|", *sorted(late & elsewhere - {"zipfile"}))
"""


async def leaving(peer: Peer) -> None:
    peer.reset()


@pytest.mark.asyncio
async def test_what_takes_long_to_load_is_loaded_on_another_thread() -> None:
    async with serve(leaving) as server:
        secure = server.url.replace("ws:", "wss:")
        said = await asyncio.to_thread(said_by, LOADING, server.url, secure)
    assert said == "| certificates msgspec websockets"


OUTAGE = """
import asyncio, logging, socket, threading
logging.disable(logging.CRITICAL)
forever, asked = threading.Event(), []
def hanging(host, *arguments, **options):
    asked.append(host)
    forever.wait()
from sockstore import Reconnect, WebSocketStore
from sockstore.testing import assert_no_leaks
async def main():
    await asyncio.to_thread(int)
    # The engine is loaded then, and no attempt below ends before it has asked.
    async with WebSocketStore("ws://127.0.0.1:9/", reconnect=False) as connection:
        await connection.phase.wait_for(lambda phase: phase == "failed")
    socket.getaddrinfo = hanging
    async with assert_no_leaks():
        connections = [
            WebSocketStore(f"ws://feed{number % 50}.example/", connect_timeout=0.05,
                           reconnect=Reconnect.exponential(base=0.01, attempts=3))
            for number in range(200)
        ]
        for connection in connections:
            connection.connect()
        assert await asyncio.to_thread(str, 7) == "7"
        for connection in connections:
            await connection.phase.wait_for(lambda phase: phase == "failed")
        assert "no answer within" in str(connections[0].error.value.__cause__)
        await asyncio.gather(*(connection.aclose() for connection in connections))
    print(len(asked), threading.active_count() <= 40)
asyncio.run(main())
"""


def test_name_servers_that_hang_starve_nothing_and_hold_up_no_end() -> None:
    assert said_by(OUTAGE) == "32 True"


def test_a_transport_in_memory_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)

    async def story() -> float:
        async with WebSocketStore("wss://fake", transport=FakeServer()) as connection:
            await connection.ready()
            await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert VirtualClock().run(story()) == 3600.0
    assert started == []


class OwnLookup(asyncio.SelectorEventLoop):
    """A loop whose program looks names up in its own way."""

    async def getaddrinfo(self, host: object, port: object, **options: object) -> list[object]:  # type: ignore[override]  # whatever asyncio gives
        del host
        return await super().getaddrinfo("127.0.0.1", port, **options)  # type: ignore[arg-type,return-value]  # handed on


async def hello(url: str, **options: object) -> object:
    async with (
        asyncio.timeout(PATIENCE),
        WebSocketStore(url, close_timeout=0.1, **options) as connection,
    ):
        return (await anext(connection.stream())).data


async def greeting(peer: Peer) -> None:
    await peer.accept(first=text("hello"))
    await peer.until_gone()


@pytest.mark.asyncio
async def test_a_loop_with_a_lookup_of_its_own_is_asked() -> None:
    async with serve(greeting) as server:
        server.host = "name.example"

        def elsewhere() -> object:
            with asyncio.Runner(loop_factory=OwnLookup) as runner:
                return runner.run(hello(server.url))

        assert await asyncio.to_thread(elsewhere) == "hello"


@pytest.mark.asyncio
async def test_a_lookup_that_hangs_is_dropped_at_close(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, begun = threading.Event(), threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        begun.set()
        hanging.wait(SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        async with assert_no_leaks(), asyncio.timeout(PATIENCE):
            for _ in range(3):
                async with WebSocketStore("ws://name.example/"):
                    # Not in the executor: it may start another thread although one is idle.
                    while not begun.is_set():
                        await asyncio.sleep(0.001)
    finally:
        hanging.set()


@pytest.mark.asyncio
async def test_names_are_looked_up_for_tls_too() -> None:
    trust = Trust()
    async with serve(greeting, tls=trust.server()) as server:
        server.host = "localhost"
        assert await hello(server.url, ssl=trust.client()) == "hello"
