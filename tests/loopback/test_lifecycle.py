"""Scopes and providers over real sockets: what is left of them on either side is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from loopback.servers import Peer, open_files
from loopback.servers import serve as raw_server
from sockstore import Navigator, Scope, WebSocketProvider, WebSocketStore, use_websocket
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

SECONDS = 30


class Server:
    """An echo server in this process that knows who is connected."""

    def __init__(self) -> None:
        self.port = 0
        self.total = 0
        self.connected: set[ServerConnection] = set()
        self.codes: list[int | None] = []
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def handle(self, websocket: ServerConnection) -> None:
        self.connected.add(websocket)
        self.total += 1
        self._changed.set()
        try:
            async for message in websocket:
                await websocket.send(message)
        finally:
            self.connected.discard(websocket)
            self.codes.append(websocket.close_code)
            self._changed.set()

    async def until(self, count: int) -> None:
        """Wait until that many are connected."""
        async with asyncio.timeout(SECONDS):
            while len(self.connected) != count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    async with serve(server.handle, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Accept one TCP connection, never answer its handshake, and say when it came and went."""
    came, went = asyncio.Event(), asyncio.Event()

    async def hold(peer: Peer) -> None:
        await peer.read_request()
        came.set()
        await peer.until_gone()
        went.set()

    async with raw_server(hold) as server:
        yield server.url, came, went


@pytest.mark.contract("LC2", "LC5")
async def test_a_thousand_mounts_and_unmounts_leave_nothing_behind():
    async with serving() as server, WebSocketStore(server.url) as outer:
        await outer.ready(SECONDS)
        files = open_files()
        loop = asyncio.get_running_loop()

        async def mount_all(times: int) -> None:
            for number in range(times):
                async with Scope() as scope:
                    await scope.enter(WebSocketProvider(server.url))
                    scope.subscribe(outer.connected, lambda _: None)
                    scope.mount(lambda: use_websocket().messages.on_append(lambda _: None))
                    scope.task(asyncio.sleep(SECONDS))
                    if number % 10 == 0:
                        await use_websocket().ready(SECONDS)

        async with asyncio.timeout(60), assert_no_leaks(outer.state, outer.messages):
            await mount_all(1000)
            await server.until(1)
        assert open_files() == files
        assert len(getattr(loop, "_ready", ())) < 20
        assert server.total > 100


@pytest.mark.contract("PV5", "LC3")
@pytest.mark.parametrize("how", ["end", "exception", "cancellation", "another task"])
async def test_however_a_provider_is_left_the_server_sees_its_connection_closed(how):
    async with serving() as server, assert_no_leaks():
        provider = WebSocketProvider(server.url)

        async def main() -> None:
            async with provider as connection:
                await connection.ready(SECONDS)
                await server.until(1)
                match how:
                    case "exception":
                        raise ZeroDivisionError
                    case "cancellation":
                        asyncio.current_task().cancel()
                        await asyncio.Event().wait()
                    case "another task":
                        await asyncio.create_task(provider.aclose())

        task = asyncio.create_task(main())
        await asyncio.wait([task], timeout=SECONDS)
        match how:
            case "exception":
                assert isinstance(task.exception(), ZeroDivisionError)
            case "cancellation":
                assert task.cancelled()
            case _:
                assert task.exception() is None
        await server.until(0)
        assert (server.total, server.codes) == (1, [1000])


@pytest.mark.contract("LC3", "PV5")
@pytest.mark.parametrize("how", ["end", "cancellation", "another task"])
async def test_a_socket_that_is_connecting_is_destroyed(how):
    async with assert_no_leaks(), silent() as (url, came, went), asyncio.timeout(SECONDS):
        provider = WebSocketProvider(url)

        async def main() -> WebSocketStore:
            async with provider as connection:
                await came.wait()
                assert connection.phase.value == "connecting"
                match how:
                    case "cancellation":
                        asyncio.current_task().cancel()
                        await asyncio.Event().wait()
                    case "another task":
                        await asyncio.create_task(provider.aclose())
            return connection

        task = asyncio.create_task(main())
        await asyncio.wait([task])
        if how == "cancellation":
            assert task.cancelled()
        else:
            assert task.result().phase.value == "closed"
        await went.wait()


@pytest.mark.contract("LC3")
async def test_a_socket_is_destroyed_before_it_has_begun_to_connect():
    async with serving() as server, assert_no_leaks():
        async with WebSocketProvider(server.url) as connection:
            pass
        assert connection.phase.value == "closed"
        await server.until(0)


@pytest.mark.contract("PV7")
async def test_providers_that_share_make_one_connection():
    async with serving() as server, assert_no_leaks():
        async with Scope() as scope:
            shares = [
                await scope.enter(WebSocketProvider(server.url, share=True)) for _ in range(20)
            ]
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    group.create_task(share.ready(SECONDS))
            assert server.total == 1
            for share in shares[1:]:
                share.disconnect()
            stream = shares[0].stream()
            shares[0].send({"still": "there"})
            async with asyncio.timeout(SECONDS):
                assert (await anext(stream)).data == {"still": "there"}
        await server.until(0)
        assert (server.total, server.codes) == (1, [1000])


@pytest.mark.contract("PV6")
async def test_another_url_closes_the_old_socket_on_its_server():
    async with serving() as old, serving() as new, assert_no_leaks():
        provider = WebSocketProvider(old.url)
        async with provider as connection:
            await connection.ready(SECONDS)
            await old.until(1)
            provider.url = new.url
            await connection.ready(SECONDS)
            await new.until(1)
            await old.until(0)
        await new.until(0)


@pytest.mark.contract("LC4")
async def test_navigating_to_and_fro_leaves_one_connection_at_most():
    async with serving() as server:
        most = 0

        async def page(scope: Scope) -> None:
            nonlocal most
            connection = await scope.enter(WebSocketProvider(server.url))
            await connection.ready(SECONDS)
            most = max(most, len(server.connected))

        async def empty(scope: Scope) -> None:
            pass

        navigator = Navigator()
        async with assert_no_leaks(navigator.navigating), navigator:
            loose = WebSocketStore(server.url, close_on_navigate=navigator)
            loose.connect()
            await loose.ready(SECONDS)
            for _ in range(50):
                assert await navigator.goto(page)
                assert await navigator.goto(empty)
            await server.until(0)
            assert loose.phase.value == "closed"
        assert server.total == 51
        assert most <= 2
