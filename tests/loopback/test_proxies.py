"""Foreign HTTP and SOCKS proxies between the connection and a server."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import Server as WebSocketsServer
from websockets.asyncio.server import serve as serve_websockets

from loopback.foreign.programs import running
from loopback.foreign.proxy_programs import KINDS, QUOTED, make_proxy
from loopback.processes import free_port
from loopback.servers import (
    PATIENCE,
    Inventory,
    NativeTransport,
    Peer,
    Recorder,
    Trust,
    opened,
    serve,
    settled,
    text,
)
from sockstore import HandshakeFailed, InvalidOption, Reconnect, WebSocketStore
from sockstore.testing import assert_no_leaks
from sockstore.transports.base import Target, TransportOptions
from waiting import turns

try:
    import uvloop
except ImportError:
    uvloop = None

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

QUICK = Reconnect.exponential(base=0.05, max=0.2)
SECONDS = 60
SCHEMES = ("ws", "wss")
LARGE = 900 * 2**10
LOCKED = ("http", "https", "socks5")
"""Of each program one kind; SOCKS4 has no passwords."""


@pytest.fixture(autouse=True)
def _no_proxies_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.fixture(scope="module")
def trust() -> Trust:
    return Trust()


async def echo(websocket) -> None:
    try:
        async for message in websocket:
            await websocket.send(message)
    except Exception:
        logging.getLogger(__name__).debug("a client left")


@asynccontextmanager
async def echoing(scheme: str, trust: Trust) -> AsyncIterator[str]:
    """Run an echo server; return its url."""
    tls = trust.server() if scheme == "wss" else None
    server: WebSocketsServer
    async with serve_websockets(echo, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def failure_of(url: str, **options: object) -> HandshakeFailed:
    """Return how an attempt fails."""
    heard = Recorder()
    transport = NativeTransport(heard, TransportOptions(**options))  # type: ignore[arg-type]
    with pytest.raises(HandshakeFailed) as caught:
        async with asyncio.timeout(PATIENCE):
            await transport.open(Target(url=url))
    assert heard.events == []
    return caught.value


# Real proxies


@pytest.mark.contract("CN13", "OB2", "CN10")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_goes_through_a_proxy_and_survives_its_death(
    kind: str, scheme: str, tmp_path: Path, trust: Trust
) -> None:
    async with (
        echoing(scheme, trust) as url,
        running(make_proxy(kind, tmp_path, trust)) as proxy,
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
    ):
        connection = WebSocketStore(
            url, proxy=proxy.url, ssl=trust.client(), reconnect=QUICK, codec=None
        )
        async with connection:
            stream = connection.stream()
            for message in ("hello", "x" * LARGE, b"\0" * LARGE):
                connection.send(message)
                assert (await anext(stream)).data == message
            await proxy.kill()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            waiting = [connection.send(f"{number}") for number in range(10)]
            assert {receipt.state for receipt in waiting} == {"queued"}
            await proxy.start()
            assert [(await anext(stream)).data for _ in waiting] == [*range(10)]
            assert connection.status.value == "connected"


@pytest.mark.contract("CN13", "RC6", "CN14")
@pytest.mark.parametrize("kind", LOCKED)
async def test_a_proxy_that_wants_a_password_gets_it_or_refuses(
    kind: str, tmp_path: Path, trust: Trust, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    tls = trust.client()
    async with (
        echoing("wss", trust) as url,
        running(make_proxy(kind, tmp_path, trust, locked=True)) as proxy,
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
    ):
        async with WebSocketStore(url, proxy=proxy.with_password, ssl=tls) as connection:
            await connection.ready()
            shown += [repr(connection), repr(connection.state.value), repr(asyncio.all_tasks())]
        wrong = proxy.with_password.replace(QUOTED, "me:SECRET.wrong")
        for refused in (proxy.url, wrong):
            async with WebSocketStore(url, proxy=refused, ssl=tls) as connection:
                await connection.phase.wait_for(lambda phase: phase == "failed")
                failed = connection.error.value
                assert isinstance(failed, HandshakeFailed)
                assert failed.status in {401, 407}
                assert f"its proxy {proxy.url} " in str(failed)
                assert connection.state.value.failure.reason == "unauthorised"
                shown += [repr(connection.state.value), *traceback.format_exception(failed)]
    shown += [record.getMessage() for record in caplog.records]
    shown += [repr(TransportOptions(proxy=proxy.with_password))]
    for what in shown:
        assert "SECRET" not in what


@pytest.mark.contract("CN13", "CN14")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", LOCKED)
async def test_the_server_never_sees_what_is_for_the_proxy(
    kind: str, scheme: str, tmp_path: Path, trust: Trust
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=text("hello"))
        await peer.until_gone()

    async with (
        serve(handler, tls=trust.server() if scheme == "wss" else None) as server,
        running(make_proxy(kind, tmp_path, trust, locked=True)) as proxy,
    ):
        headers = (("Authorization", "Bearer for-the-server"),)
        options = {"proxy": proxy.with_password, "ssl": trust.client()}
        async with opened(server, headers=headers, **options) as (_, heard):
            await heard.until_messages(1)
        head = server.peers[-1].head.lower()
    assert head.startswith("get / http/1.1")
    assert "proxy" not in head
    assert "bearer for-the-server" in head
    assert "basic" not in head


@pytest.mark.contract("CN13", "RC6")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_refuses_behind_a_proxy_is_tried_again(
    kind: str, tmp_path: Path, trust: Trust
) -> None:
    async with (
        running(make_proxy(kind, tmp_path, trust)) as proxy,
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
    ):
        connection = WebSocketStore(
            f"ws://127.0.0.1:{free_port()}/",
            proxy=proxy.url,
            ssl=trust.client(),
            reconnect=Reconnect.exponential(base=0.01, max=0.02, attempts=3),
        )
        async with connection:
            await connection.phase.wait_for(lambda phase: phase == "failed")
            assert connection.state.value.failure.reason == "attempts exhausted"


@pytest.mark.contract("CN12", "CN13")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_hangs_is_cut_by_the_deadline_and_by_close(
    kind: str, tmp_path: Path, trust: Trust
) -> None:
    async with (
        echoing("ws", trust) as url,
        running(make_proxy(kind, tmp_path, trust)) as proxy,
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
    ):
        proxy.freeze()
        options = {"proxy": proxy.url, "ssl": trust.client()}
        async with WebSocketStore(
            url, connect_timeout=0.2, reconnect=False, **options
        ) as connection:
            await connection.phase.wait_for(lambda phase: phase == "failed")
            assert connection.error.value.kind == "timeout"
        async with WebSocketStore(url, **options) as connection:
            await turns(20)
            assert connection.phase.value == "connecting"
            await connection.aclose()
            assert connection.phase.value == "closed"
        proxy.thaw()
        async with WebSocketStore(url, **options) as connection:
            await connection.ready()


@pytest.mark.contract("CN12", "CN13")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_an_attempt_cancelled_at_any_moment_leaves_nothing(
    kind: str, scheme: str, tmp_path: Path, trust: Trust
) -> None:
    tls = trust.client()
    async with (
        echoing(scheme, trust) as url,
        running(make_proxy(kind, tmp_path, trust)) as proxy,
        asyncio.timeout(SECONDS),
    ):
        await turns(3)
        before = Inventory.take()
        has_opened = False
        for moment in range(400):
            heard = Recorder()
            transport = NativeTransport(heard, TransportOptions(proxy=proxy.url, ssl=tls))
            attempt = asyncio.create_task(transport.open(Target(url=url)))
            for _ in range(moment):
                await asyncio.sleep(0 if moment % 2 else 0.0005)
                if attempt.done():
                    break
            has_opened = attempt.done()
            attempt.cancel()
            await asyncio.wait([attempt])
            transport.abort()
            if "opened" in heard.events:
                await heard.until_event("released")
            del attempt, transport
            if has_opened and moment % 2 == 0:
                break
        assert has_opened
        while await settled(before) != before:  # until the test's deadline
            await asyncio.sleep(0)


# The environment


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("variable", "kind", "scheme"),
    [
        ("HTTPS_PROXY", "http", "wss"),
        ("https_proxy", "http", "ws"),
        ("HTTP_PROXY", "http", "ws"),
        ("ALL_PROXY", "socks5h", "wss"),
        ("SOCKS_PROXY", "socks5", "ws"),
    ],
)
async def test_the_environment_names_the_proxy_and_what_needs_none(
    variable: str,
    kind: str,
    scheme: str,
    tmp_path: Path,
    trust: Trust,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = make_proxy(kind, tmp_path, trust)
    tls = trust.client()
    monkeypatch.setenv(variable, proxy.url)
    async with echoing(scheme, trust) as url, asyncio.timeout(SECONDS):
        assert proxy.url in str(await failure_of(url, ssl=tls))
        for never in (None, False):
            async with WebSocketStore(url, ssl=tls, proxy=never) as connection:
                await connection.ready()
        async with running(proxy), WebSocketStore(url, ssl=tls) as connection:
            await connection.ready()
            await proxy.kill()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
            connection.reconnect()
            await connection.ready()


@pytest.mark.contract("CN13", "CN14")
async def test_a_proxy_of_the_environment_that_cannot_be_used_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://me:SECRET@proxy.example")
    failed = await failure_of("ws://127.0.0.1:9/")
    assert failed.kind == "option"
    assert "gopher://***@proxy.example" in str(failed)


@pytest.mark.contract("CN13", "CN14")
async def test_a_proxy_that_cannot_be_used_is_refused_at_construction() -> None:
    for proxy in ("gopher://me:SECRET@proxy.example", "http://", "http://a:99999", 7, ""):
        with pytest.raises(InvalidOption, match="proxy=") as caught:
            WebSocketStore("ws://127.0.0.1:9/", proxy=proxy)  # type: ignore[arg-type]
        assert "SECRET" not in str(caught.value)


@pytest.mark.contract("CN13")
async def test_without_the_package_for_socks_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    failed = await failure_of("ws://127.0.0.1:9/", proxy="socks5://127.0.0.1:9")
    assert "pip install 'sockstore[proxy]'" in str(failed)


# What proxies answer, by hand


async def answered(data: bytes, *, then_leave: bool = True) -> HandshakeFailed:
    """Return how an attempt fails at a proxy that answers this."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        for at in range(0, len(data), 1000):
            await peer.write(data[at : at + 1000])
        if not then_leave:
            await peer.until_gone()

    before = Inventory.take()
    async with serve(handler) as server:
        failed = await failure_of("ws://host.example:80/", proxy=f"http://127.0.0.1:{server.port}")
        await server.until_all_are_gone()
    assert server.peers[0].head.startswith("CONNECT host.example:80 HTTP/1.1\r\nHost: host.ex")
    assert await settled(before) == before
    return failed


@pytest.mark.contract("CN13", "RC8")
async def test_a_proxy_says_when_to_come_back() -> None:
    failed = await answered(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\n")
    assert (failed.kind, failed.status, failed.retry_after) == ("http", 503, 7.0)


@pytest.mark.contract("CN13")
async def test_a_redirection_by_a_proxy_is_not_followed() -> None:
    failed = await answered(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/\r\n\r\n")
    assert (failed.kind, failed.status) == ("http", 302)


NONSENSE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1 maybe\r\n\r\n",
    "a head of 300 KB": b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"b" * 3000 + b"\r\n") * 100,
    "a server that speaks first": b"HTTP/1.1 200 OK\r\n\r\nwelcome",
}


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_no_answer_of_a_proxy(data: bytes) -> None:
    failed = await answered(data, then_leave=False)
    assert failed.kind == "protocol"
    assert "not an answer to an HTTP CONNECT" in str(failed)


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2"])
async def test_a_proxy_that_leaves_is_a_failure_of_the_network(data: bytes) -> None:
    failed = await answered(data)
    assert failed.kind == "network"
    assert "the proxy ended the connection" in str(failed)


# TLS


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("kind", ["http", "https", "socks5h"])
async def test_the_server_behind_a_proxy_must_show_its_own_certificate(
    kind: str, tmp_path: Path, trust: Trust
) -> None:
    async with (
        serve(Peer.accept, tls=trust.server("example.org")) as server,
        running(make_proxy(kind, tmp_path, trust)) as proxy,
    ):
        failed = await failure_of(server.url, proxy=proxy.url, ssl=trust.client())
    assert failed.kind == "certificate"
    assert "127.0.0.1" in str(failed)


@pytest.mark.contract("CN13")
async def test_a_proxy_over_tls_must_show_a_certificate(tmp_path: Path, trust: Trust) -> None:
    async with running(make_proxy("https", tmp_path, trust)) as proxy:
        failed = await failure_of("ws://127.0.0.1:9/", proxy=proxy.url, ssl=Trust().client())
    assert failed.kind == "certificate"
    assert f"its proxy {proxy.url} was not accepted" in str(failed)


# uvloop


@pytest.mark.contract("CN13")
@pytest.mark.skipif(uvloop is None, reason="uvloop is not installed; there is none for Windows")
async def test_proxies_work_on_uvloop(tmp_path: Path, trust: Trust) -> None:
    async def through(url: str, proxy: str, tls: ssl.SSLContext) -> list[str]:
        async with asyncio.timeout(SECONDS):
            async with WebSocketStore(url, proxy=proxy, ssl=tls) as connection:
                stream = connection.stream()
                connection.send("hello")
                first = (await anext(stream)).data
            transport = NativeTransport(Recorder(), TransportOptions(proxy=proxy, ssl=tls))
            attempt = asyncio.create_task(transport.open(Target(url=url)))
            await turns(3)
            attempt.cancel()
            await asyncio.wait([attempt])
            return [first]

    def elsewhere(url: str, proxy: str, tls: ssl.SSLContext) -> list[str]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(through(url, proxy, tls))

    for kind in ("http", "https", "socks5"):
        for scheme in SCHEMES:
            async with (
                echoing(scheme, trust) as url,
                running(make_proxy(kind, tmp_path, trust)) as proxy,
            ):
                heard = await asyncio.to_thread(elsewhere, url, proxy.url, trust.client())
                assert heard == ["hello"]
