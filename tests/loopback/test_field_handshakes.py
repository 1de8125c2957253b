"""Opening handshakes as servers in the field answer them, over real sockets."""

from __future__ import annotations

import asyncio
import ssl
import zlib

import pytest

from loopback.server_kit import running
from loopback.servers import (
    PATIENCE,
    PING,
    Handler,
    NativeTransport,
    Peer,
    Recorder,
    Trust,
    frame,
    opened,
    serve,
    text,
)
from sockstore import ConnectionEnded, Deflate, HandshakeFailed, WebSocketStore
from sockstore.server import create_app
from sockstore.testing import assert_no_leaks
from sockstore.transports.base import BODY_SECONDS, Target, TransportOptions

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]


async def failure_with(handler: Handler, **options: object) -> HandshakeFailed:
    """Return how a connection without retries fails."""
    async with serve(handler) as server, assert_no_leaks():
        connection = WebSocketStore(server.url, reconnect=False, **options)
        async with connection:
            await connection.phase.wait_for(lambda phase: phase == "failed", PATIENCE)
            failed = connection.error.value
        assert isinstance(failed, HandshakeFailed)
        await server.until_all_are_gone()
    return failed


async def refused_with(
    data: bytes, *, then_leave: bool = True, **options: object
) -> HandshakeFailed:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(data)
        if not then_leave:
            await peer.until_gone()

    return await failure_with(handler, **options)


# What opens

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CHANGES = {
    "interim answers": lambda answer: INTERIM + answer,
    "no reason phrase": lambda answer: answer.replace(b" Switching Protocols", b""),
    "a folded header": lambda answer: answer.replace(b"\r\n\r\n", b"\r\nX: a\r\n b\r\n\r\n"),
    "a long header": lambda answer: answer.replace(
        b"\r\n\r\n", b"\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"
    ),
    "many headers": lambda answer: answer.replace(b"\r\n\r\n", b"\r\nX: a" * 500 + b"\r\n\r\n"),
    "lines that end with LF": lambda answer: answer.replace(b"\r\n", b"\n"),
    "other cases": lambda answer: answer.replace(b"Upgrade: websocket", b"UPGRADE: WebSocket"),
    "several Connection options": lambda answer: answer.replace(
        b"Connection: Upgrade", b"connection: keep-alive\r\nConnection: x, upgrade"
    ),
    "white space": lambda answer: answer.replace(b"\r\n", b" \t\r\n").replace(
        b" \t\r\n \t", b"\r\n"
    ),
    "a length": lambda answer: answer.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_an_answer_of_the_field_opens(change, in_pieces: bool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        answer = change(peer.switching()) + text("hello")
        step = max(1, len(answer) // 50) if in_pieces else len(answer)
        for at in range(0, len(answer), step):
            await peer.write(answer[at : at + step])
            await asyncio.sleep(0)
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_messages(1)
    assert heard.messages == ["hello"]


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("host", ["feed.example.", "feed.example"])
async def test_a_dot_at_the_end_of_a_name_is_not_part_of_its_certificate(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    resolve, asked, named = loop.getaddrinfo, [], []

    async def getaddrinfo(name: str, port: int, **options: object) -> object:
        asked.append(name)
        return await resolve("127.0.0.1", port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    trust = Trust()
    tls = trust.server("feed.example")
    tls.sni_callback = lambda _socket, name, _context: named.append(name)

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(peer.switching() + text(peer.headers["host"]))
        await peer.until_gone()

    async with serve(handler, tls=tls) as server:
        server.host = host
        async with opened(server, ssl=trust.client()) as (_, heard):
            await heard.until_messages(1)
    assert heard.messages == [f"{host}:{server.port}"]
    assert (asked, named) == ([host], ["feed.example"])


@pytest.mark.contract("CN18")
async def test_user_info_goes_on_to_the_same_origin() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        if peer.path == "/":
            location = f"http://127.0.0.1:{server.port}/new"
            await peer.write(f"HTTP/1.1 307 x\r\nLocation: {location}\r\n\r\n".encode())
        else:
            await peer.write(peer.switching() + text(peer.headers["authorization"]))
            await peer.until_gone()

    async with serve(handler) as server:
        server.host = "me:secret@127.0.0.1"
        async with opened(server) as (_, heard):
            await heard.until_messages(1)
    assert heard.messages == ["Basic bWU6c2VjcmV0"]


# What is refused


@pytest.mark.contract("CN18", "RC8")
@pytest.mark.parametrize("status", [401, 403, 404, 503])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_refusal_has_its_status_and_retry_after_in_each_version(
    version: bytes, status: int
) -> None:
    head = b"HTTP/%s %d\r\nRetry-After: 60\r\n\r\n" % (version, status)
    failed = await refused_with(head)
    assert (failed.kind, failed.status, failed.retry_after) == ("http", status, 60.0)


@pytest.mark.contract("CN18")
async def test_http_1_0_cannot_switch_protocols() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(peer.switching().replace(b"HTTP/1.1", b"HTTP/1.0"))
        await peer.until_gone()

    failed = await failure_with(handler)
    assert failed.kind == "protocol"
    assert "switched protocols in HTTP/1.0" in str(failed)


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x15\x03\x01\0\x02\x02\x50", "use wss://"),
        (b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18, "speaks HTTP/2"),
        (b"HTTP/1.1 101 x\r\nUpgrade\r\n\r\n", "not a header"),
    ],
)
async def test_another_protocol_is_named(data: bytes, words: str) -> None:
    failed = await refused_with(data, then_leave=False)
    assert failed.kind == "protocol"
    assert words in str(failed)


@pytest.mark.contract("CN18")
async def test_a_server_without_tls_on_the_port_is_said_so() -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.until_gone()

    async with serve(handler) as server:
        transport = NativeTransport(Recorder(), TransportOptions())
        url = server.url.replace("ws:", "wss:")
        with pytest.raises(HandshakeFailed, match="does not seem to speak TLS") as caught:
            await transport.open(Target(url=url))
    assert isinstance(caught.value.__cause__, ssl.SSLError)


# Their words

BODIES = {
    "complete": b"Content-Length: 5\r\n\r\nwhy\nx",
    "that ends with the connection": b"\r\nwhy",
    "that never ends": b"Content-Length: 100000\r\n\r\nwhy\nand",
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n1\r\ny\r\n0\r\n\r\n",
    "in chunks that never end": b"Transfer-Encoding: chunked\r\n\r\n4\r\nwhy\n\r\n",
    "as JSON": b'Content-Type: application/json\r\n\r\n{"error": {"message": "why"}}',
}


@pytest.mark.contract("CN17")
@pytest.mark.parametrize("then_leave", [True, False], ids=["then it leaves", "then it stays"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_the_words_of_a_refusal_reach_the_user(body: bytes, then_leave: bool) -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nX-Reason: 7\r\n"
    failed = await refused_with(head + body, then_leave=then_leave)
    assert str(failed).endswith("the server answered HTTP 403 Forbidden: why")
    assert ("X-Reason", "7") in failed.headers
    assert b"why" in failed.body


@pytest.mark.contract("CN17", "CN12")
async def test_a_body_that_never_comes_is_waited_for_only_a_moment() -> None:
    data = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n"
    loop = asyncio.get_running_loop()
    begun = loop.time()
    failed = await refused_with(data, then_leave=False, connect_timeout=PATIENCE)
    assert failed.status == 403
    assert loop.time() - begun < PATIENCE > 3 * BODY_SECONDS


@pytest.mark.contract("CN17")
async def test_a_body_of_any_size_is_read_to_4_kib() -> None:
    data = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 90_000
    failed = await refused_with(data, then_leave=False)
    assert failed.body == b"x" * 4096
    assert len(str(failed)) < 300


@pytest.mark.contract("CN17", "CN12")
async def test_closing_while_a_body_is_awaited_leaves_nothing() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n")
        answered.set()
        await peer.until_gone()

    answered = asyncio.Event()
    async with serve(handler) as server, assert_no_leaks():
        async with WebSocketStore(server.url):
            await answered.wait()
            await asyncio.sleep(0)
        await server.until_all_are_gone()


@pytest.mark.contract("CN17", "CN14")
async def test_a_proxys_words_reach_the_user_and_the_password_does_not() -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(b"HTTP/1.0 100 x\r\n\r\nHTTP/1.0 407 Who are you\r\n\r\n")
        await peer.write(b"me:SECRET is not allowed to go there\n")
        await peer.until_gone()

    async with serve(handler) as server:
        proxy = f"http://me:SECRET@127.0.0.1:{server.port}"
        transport = NativeTransport(Recorder(), TransportOptions(proxy=proxy))
        with pytest.raises(HandshakeFailed) as caught:
            await transport.open(Target(url="ws://host.example/"))
    failed = caught.value
    assert failed.status == 407
    assert "answered HTTP 407 Who are you: ***:*** is not allowed to go there" in str(failed)
    assert b"SECRET" in failed.body


OWN_REFUSALS = [
    ("/chat/lobby", {}, "HTTP 401"),
    ("/chat/lobby?token=wrong", {}, "HTTP 401"),
    ("/chat/lobby?token=right", {"Origin": "https://evil.example"}, "may not connect"),
    ("/chat/a%20b%00?token=right", {}, "There is no such room"),
    ("/nothing?token=right", {}, "There is nothing at this address"),
    (f"/chat/lobby?token=right&name={'x' * 100}", {}, "64"),
]


@pytest.mark.contract("CN17")
@pytest.mark.parametrize(("path", "headers", "words"), OWN_REFUSALS)
async def test_the_words_of_our_own_server_reach_our_own_users(
    path: str, headers: dict[str, str], words: str
) -> None:
    async with running(create_app(token="right")) as server:
        connection = WebSocketStore(server.url(path), headers=headers, reconnect=False)
        async with connection:
            with pytest.raises(ConnectionEnded):
                await connection.ready(PATIENCE)
            failed = connection.error.value
    assert isinstance(failed, HandshakeFailed)
    said = failed.body.decode().strip()
    assert said
    assert words in str(failed)
    assert str(failed).endswith(f": {said}")


# Frames that need not be waited for


@pytest.mark.contract("CN15")
@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"\x89\x7f" + (2**20 - 1).to_bytes(8, "big"), "control frame too long"),
        (b"\x88\x7f" + (2**40).to_bytes(8, "big"), "control frame too long"),
        (b"\x8a\x7e" + (126).to_bytes(2, "big"), "control frame too long"),
        (b"\x09\x05", "fragmented control frame"),
        (b"\x83\x05", "invalid opcode"),
        (b"\xc1\x05", "reserved bits"),
    ],
)
async def test_a_header_that_breaks_the_protocol_ends_at_once(header: bytes, words: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=text("before") + header)
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_event("closed")
    assert heard.messages == ["before"]
    assert heard.close is not None
    assert heard.close.code == 1002
    assert words in heard.why


async def test_a_control_frame_in_two_reads_is_waited_for() -> None:
    async def handler(peer: Peer) -> None:
        ping = frame(PING, b"x" * 125)
        await peer.accept(first=ping[:60])
        await asyncio.sleep(0)
        await peer.write(ping[60:] + text("after"))
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_messages(1)
    assert heard.messages == ["after"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"\x88\x03\x03\xe8\xff", "a close frame whose reason is not valid UTF-8"),
        (b"\x81\x01\xff", "a text message that is not valid UTF-8"),
    ],
)
async def test_bad_utf_8_is_said_of_the_frame_that_has_it(bad: bytes, words: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=bad)
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_event("closed")
    assert words in heard.why


# Compression with parameters


async def echo_compressed(peer: Peer, answer: str, window: int) -> None:
    """Say compressed what came, and whether it came compressed."""
    await peer.accept(f"Sec-WebSocket-Extensions: permessage-deflate{answer}")
    first, payload = await peer.read_frame()
    del first
    encoder = zlib.compressobj(wbits=-window)
    data = encoder.compress(payload) + encoder.flush(zlib.Z_SYNC_FLUSH)
    await peer.write(frame(0x1, data[:-4], rsv=4))
    await peer.until_gone()


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("deflate", "answer"),
    [
        (True, "; client_max_window_bits=8"),
        (Deflate(client_max_window_bits=8), ""),
        (Deflate(client_max_window_bits=8), "; client_max_window_bits=8"),
    ],
)
async def test_a_window_of_256_bytes_leaves_messages_as_they_are(
    deflate: Deflate | bool, answer: str
) -> None:
    async with (
        serve(lambda peer: echo_compressed(peer, answer, 9)) as server,
        opened(server, compression=deflate) as (transport, heard),
    ):
        transport.send("hello " * 100)
        await heard.until_messages(1)
    assert heard.messages == ["hello " * 100]


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("deflate", "answer"),
    [
        (Deflate(client_max_window_bits=8), "; client_max_window_bits=9"),
        (Deflate(client_max_window_bits=9), "; client_max_window_bits=10"),
        (Deflate(client_max_window_bits=None), "; client_max_window_bits=10"),
        (Deflate(server_max_window_bits=9), ""),
        (Deflate(server_no_context_takeover=True), ""),
        (True, "; client_max_window_bits=7"),
        (True, "; client_max_window_bits"),
        (True, "; nonsense"),
    ],
)
async def test_what_was_not_offered_is_not_agreed_to(deflate: Deflate | bool, answer: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(f"Sec-WebSocket-Extensions: permessage-deflate{answer}")
        await peer.until_gone()

    failed = await failure_with(handler, compression=deflate)
    assert failed.kind == "protocol"
    assert "permessage-deflate" in str(failed)
