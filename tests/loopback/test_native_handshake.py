"""The native transport's opening handshake over real sockets: every answer has a clear name."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from loopback.servers import (
    PATIENCE,
    Handler,
    NativeTransport,
    Peer,
    Recorder,
    Server,
    Trust,
    opened,
    serve,
    text,
)
from sockstore import HandshakeFailed, WebSocketStore
from sockstore.transports.base import Target, TransportOptions

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]


async def failure_of(
    server: Server,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    subprotocols: tuple[str, ...] = (),
    **options: object,
) -> HandshakeFailed:
    """Return how the handshake fails; check that it fails in silence."""
    heard = Recorder()
    transport = NativeTransport(heard, TransportOptions(**options))  # type: ignore[arg-type]
    target = Target(url=server.url, headers=headers, subprotocols=subprotocols)
    with pytest.raises(HandshakeFailed) as caught:
        async with asyncio.timeout(PATIENCE):
            await transport.open(target)
    assert heard.events == []
    await server.until_all_are_gone()
    return caught.value


async def failure_with(handler: Handler, **arguments: object) -> HandshakeFailed:
    async with serve(handler) as server:
        return await failure_of(server, **arguments)  # type: ignore[arg-type]


async def answered(data: bytes, *, then_leave: bool = True) -> HandshakeFailed:
    """Return how the handshake fails with this answer."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(data)
        if not then_leave:
            await peer.until_gone()

    return await failure_with(handler)


# Refusals


@pytest.mark.parametrize(
    ("status", "number"),
    [
        ("200 OK", 200),
        ("401 Unauthorized", 401),
        ("403 Forbidden", 403),
        ("404 Not Found", 404),
        ("429 Too Many Requests", 429),
        ("503 Service Unavailable", 503),
        ("204", 204),
    ],
)
async def test_a_refusal_is_named_by_its_status(status: str, number: int) -> None:
    failed = await answered(f"HTTP/1.1 {status} \r\nContent-Length: 2\r\n\r\nno".encode())
    assert (failed.kind, failed.status, failed.retry_after) == ("http", number, None)
    assert f"HTTP {number}" in str(failed)


BODIES = {
    "complete": b"Content-Length: 3\r\n\r\nwhy",
    "that ends with the connection": b"Connection: close\r\n\r\nbecause",
    "that never ends": b"Content-Length: 100000\r\n\r\nbecau",
    "that is cut": b"Content-Length: 100\r\n\r\nbecau",
    "of 5 MB": b"Content-Length: 5000000\r\n\r\n" + b"x" * 500_000,
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n3\r\nwhy\r\n0\r\n\r\n",
    "compressed": b"Transfer-Encoding: gzip\r\n\r\n\x1f\x8b",
}


@pytest.mark.parametrize("then_leave", [True, False], ids=["then it leaves", "then it stays"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_refusal_needs_no_body(body: bytes, then_leave: bool) -> None:
    head = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n"
    failed = await answered(head + body, then_leave=then_leave)
    assert (failed.kind, failed.status) == ("http", 401)


async def test_a_refusal_may_arrive_byte_by_byte_and_end_with_a_reset() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        for byte in b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno":
            await peer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await peer.until_gone()
        peer.reset()

    failed = await failure_with(handler)
    assert failed.status == 403


@pytest.mark.contract("RC8")
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (lambda: "12", 12, 12),
        (lambda: " 0 ", 0, 0),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (lambda: "Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
    ],
    ids=["seconds", "at once", "date", "past date"],
)
async def test_retry_after_is_read_as_seconds_or_date(
    status: str, value: Callable[[], str], least: float, most: float
) -> None:
    failed = await answered(
        f"HTTP/1.1 {status}\r\nRetry-After: {value()}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert failed.retry_after is not None
    assert least <= failed.retry_after <= most


@pytest.mark.contract("RC8")
@pytest.mark.parametrize(
    "lines",
    [
        "Retry-After: soon",
        "Retry-After: -1",
        "Retry-After: 1.5",
        "Retry-After:",
        "Retry-After: 1\r\nRetry-After: 2",
        "Retry-After: Foo, 99 Bar 99999 99:99:99 GMT",
    ],
)
async def test_nonsense_in_retry_after_is_ignored(lines: str) -> None:
    failed = await answered(f"HTTP/1.1 503 No\r\n{lines}\r\nContent-Length: 0\r\n\r\n".encode())
    assert (failed.status, failed.retry_after) == (503, None)


# What is not a handshake

GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x50",
    "zeros": b"\0" * 50,
    "HTTP/1.0": b"HTTP/1.0 101 Switching Protocols\r\n\r\n",
    "HTTP/9.9": b"HTTP/9.9 101 Switching Protocols\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "the status 99": b"HTTP/1.1 099 OK\r\n\r\n",
    "a header without a colon": b"HTTP/1.1 101 OK\r\nUpgrade websocket\r\n\r\n",
    "no headers": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "129 headers": b"HTTP/1.1 101 OK\r\n" + b"A: b\r\n" * 129 + b"\r\n",
    "a header of 9 KB": b"HTTP/1.1 101 OK\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
    "a head of 300 KB": b"HTTP/1.1 101 OK\r\n" + (b"A: " + b"b" * 3000 + b"\r\n") * 100,
    "a line of 300 KB": b"HTTP/1.1 101 " + b"b" * 300_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_no_handshake_even_if_the_server_stays(garbage: bytes) -> None:
    failed = await answered(garbage, then_leave=False)
    assert failed.kind == "protocol"
    assert "not a WebSocket handshake" in str(failed)


@pytest.mark.parametrize("garbage", [b"HTTP/nonsense\r\n", b"HTTP/1.1 abc OK\r\n"])
async def test_garbage_is_judged_when_the_server_leaves(garbage: bytes) -> None:
    assert (await answered(garbage)).kind == "protocol"


@pytest.mark.parametrize("beginning", [b"", b"HTTP", b"HTTP/1.1 101 OK\r\nUpgrade: webso"])
async def test_an_end_during_the_handshake_is_a_failure_of_the_network(beginning: bytes) -> None:
    failed = await answered(beginning)
    assert failed.kind == "network"
    assert "ended the connection during the handshake" in str(failed)


async def test_a_reset_during_the_handshake_is_a_failure_of_the_network() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.reset()

    failed = await failure_with(handler)
    assert failed.kind == "network"
    assert "reset during the handshake" in str(failed)


async def test_a_wrong_accept_key_is_no_handshake() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        right = peer.switching()
        await peer.write(right.replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: A"))
        await peer.until_gone()

    failed = await failure_with(handler)
    assert failed.kind == "protocol"
    assert "Sec-WebSocket-Accept" in str(failed)


@pytest.mark.contract("CN13")
async def test_an_extension_that_was_not_offered_fails_the_handshake() -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept("Sec-WebSocket-Extensions: permessage-deflate")
        await peer.until_gone()

    assert (await failure_with(handler)).kind == "protocol"


# Subprotocols


async def test_the_subprotocol_that_the_server_chose_is_told() -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept("Sec-WebSocket-Protocol: two", "X-Room: 5")
        await peer.until_gone()

    async with (
        serve(handler) as server,
        opened(server, subprotocols=("one", "two")) as (_, heard),
    ):
        assert server.peers[0].headers["sec-websocket-protocol"] == "one, two"
        assert heard.socket is not None
        assert heard.socket.subprotocol == "two"
        assert heard.socket.url == server.url
        assert ("X-Room", "5") in heard.socket.headers


@pytest.mark.parametrize(
    ("offered", "chosen", "words"),
    [
        (("one",), ("Sec-WebSocket-Protocol: two",), "not offered"),
        ((), ("Sec-WebSocket-Protocol: two",), "not offered"),
        (("one",), (), "none of the offered"),
    ],
    ids=["another", "unasked", "none"],
)
async def test_no_common_subprotocol_is_its_own_kind(
    offered: tuple[str, ...], chosen: tuple[str, ...], words: str
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(*chosen, first=text("too early"))
        await peer.until_gone()

    failed = await failure_with(handler, subprotocols=offered)
    assert failed.kind == "subprotocol"
    assert words in str(failed)


# The network


async def test_a_closed_port_is_a_refused_connection() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        transport = NativeTransport(Recorder(), TransportOptions())
        with pytest.raises(HandshakeFailed, match="is the server running") as caught:
            await transport.open(Target(url=f"ws://{host}:{port}/"))
        assert caught.value.kind == "network"


async def test_a_host_name_that_does_not_resolve_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    transport = NativeTransport(Recorder(), TransportOptions())
    with pytest.raises(HandshakeFailed, match="host name cannot be resolved") as caught:
        await transport.open(Target(url="ws://nosuchhost.invalid/"))
    assert caught.value.kind == "network"


# TLS


async def accepting(peer: Peer) -> None:
    await peer.accept(first=text("hello"))
    await peer.until_gone()


@pytest.mark.contract("CN13")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls_with_a_ca_of_ones_own(host: str) -> None:
    trust = Trust()
    async with serve(accepting, tls=trust.server()) as server:
        server.host = host
        async with opened(server, ssl=trust.client()) as (transport, heard):
            await heard.until_messages(1)
            transport.send("x" * 100_000)
        await server.until_all_are_gone()
    assert heard.messages == ["hello"]


@pytest.mark.contract("CN13")
async def test_an_unknown_ca_is_a_certificate_failure() -> None:
    async with serve(accepting, tls=Trust().server()) as server:
        for context in (None, Trust().client()):
            failed = await failure_of(server, ssl=context)
            assert failed.kind == "certificate"
            assert "certificate was not accepted" in str(failed)


@pytest.mark.contract("CN13")
async def test_a_certificate_for_another_host_is_a_certificate_failure() -> None:
    trust = Trust()
    async with serve(accepting, tls=trust.server("example.org")) as server:
        failed = await failure_of(server, ssl=trust.client())
        assert failed.kind == "certificate"
        assert "127.0.0.1" in str(failed)


@pytest.mark.contract("CN13")
async def test_a_client_certificate_is_sent_if_the_context_has_one() -> None:
    trust = Trust()
    wanting, client = trust.server(), trust.client()
    wanting.verify_mode = 2  # ssl.CERT_REQUIRED
    trust.ca.configure_trust(wanting)
    trust.ca.issue_cert("client@example.org").configure_cert(client)
    async with serve(accepting, tls=wanting) as server:
        async with opened(server, ssl=client) as (_, heard):
            await heard.until_messages(1)
        failed = await failure_of(server, ssl=trust.client())
        assert failed.kind == "network"


async def test_tls_to_a_server_that_speaks_none_is_a_failure_of_the_network() -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.until_gone()

    async with serve(handler) as server:
        server.scheme = "wss"
        failed = await failure_of(server)
    assert failed.kind == "network"
    assert "TLS failed" in str(failed)


# Secrets


@pytest.mark.contract("CN14")
async def test_no_repr_and_no_traceback_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def refusing(peer: Peer) -> None:
        await peer.answer(
            "401 Unauthorized", "Set-Cookie: sid=SECRET1", body=b"SECRET3, SECRET4 and SECRET6?"
        )
        await peer.until_gone()

    async def accepting(peer: Peer) -> None:
        await peer.accept("Set-Cookie: sid=SECRET1", first=text("SECRET2"))
        await peer.until_gone()

    headers = (("Authorization", "Bearer SECRET3"), ("Cookie", "sid=SECRET4"))
    shown = []
    async with serve(refusing) as server:
        server.host = "me:SECRET5@127.0.0.1"
        heard = Recorder()
        transport = NativeTransport(heard, TransportOptions())
        url = server.url + "?token=SECRET6"
        with pytest.raises(HandshakeFailed) as caught:
            await transport.open(Target(url=url, headers=headers))
        failed = caught.value
        shown += [repr(failed), str(failed), *traceback.format_exception(failed)]
        shown += [repr(transport), str(failed.__cause__)]
        assert "HTTP 401 Unauthorized: ***, *** and ***?" in str(failed)
    async with serve(accepting) as server:
        server.host = "me:SECRET5@127.0.0.1"
        async with opened(server, path="?token=SECRET6", headers=headers) as (transport, heard):
            await heard.until_messages(1)
            shown += [repr(transport), repr(heard.socket)]
        url = server.url + "?token=SECRET6"
        connection = WebSocketStore(url, headers=dict(headers), close_timeout=0.1)
        async with connection:
            await connection.ready(PATIENCE)
            shown += [repr(connection), repr(connection.state.value), repr(asyncio.all_tasks())]
    shown += [record.getMessage() for record in caplog.records]
    for what in shown:
        assert "SECRET" not in what


@pytest.mark.contract("CN14")
async def test_user_info_of_a_url_is_sent_as_authorization_and_a_users_header_wins() -> None:
    async with serve(accepting) as server:
        server.host = "me:secret@127.0.0.1"
        async with opened(server):
            pass
        async with opened(server, headers=(("authorization", "Bearer x"), ("Host", "a.test"))):
            pass
        first, second = (peer.headers for peer in server.peers)
    assert first["authorization"] == "Basic bWU6c2VjcmV0"
    assert first["host"] == f"127.0.0.1:{server.port}"
    assert second["authorization"] == "Bearer x"
    assert second["host"] == "a.test"
    assert server.peers[1].head.lower().count("authorization:") == 1
