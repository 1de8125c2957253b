"""The native transport over real sockets: frames, however they arrive."""

from __future__ import annotations

import asyncio
import socket

import pytest

from loopback.servers import (
    BINARY,
    CLOSE,
    CONT,
    PATIENCE,
    PAUSES_ABOVE,
    PING,
    PONG,
    TEXT,
    NativeTransport,
    Peer,
    Recorder,
    close_frame,
    frame,
    opened,
    received,
    serve,
    text,
)
from sockstore import Close
from sockstore.transports.base import Target, TransportOptions
from waiting import turns

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

MIB = 2**20


def code_of(heard: Recorder) -> int:
    assert heard.close is not None
    return heard.close.code


# Messages


@pytest.mark.contract("CN15")
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, MIB])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_payloads_of_every_length_class_arrive(opcode: int, size: int) -> None:
    payload = b"x" * size
    heard = await received(frame(opcode, payload), close_frame(1000))
    assert heard.messages == [payload.decode() if opcode == TEXT else payload]
    assert heard.close is not None
    assert heard.close.clean


@pytest.mark.contract("CN15")
@pytest.mark.parametrize(
    "too_big",
    [
        frame(BINARY, b"x" * (MIB + 1)),
        frame(BINARY, b"x" * (MIB + 1))[:10],  # its header is enough
        frame(TEXT, b"x" * MIB, fin=False) + frame(CONT, b"x"),
        b"\x82\x7f" + b"\xff" * 8,
    ],
    ids=["whole", "only the header", "in fragments", "2**64 - 1 bytes"],
)
async def test_a_message_above_the_limit_closes_with_1009(too_big: bytes) -> None:
    heard = await received(text("before"), too_big, text("after"))
    assert heard.messages == ["before"]
    assert code_of(heard) == 1009
    assert "max_message_bytes=1048576" in heard.why


@pytest.mark.contract("CN15")
async def test_the_limit_is_the_users() -> None:
    heard = await received(text("x" * 10), text("x" * 11), max_message_bytes=10)
    assert heard.messages == ["x" * 10]
    assert code_of(heard) == 1009


@pytest.mark.contract("MS1")
async def test_a_stream_cut_at_any_byte_brings_the_same_messages() -> None:
    stream = (
        text("one")
        + frame(PING, b"are you there")
        + frame(TEXT, "grüß".encode()[:3], fin=False)
        + frame(PONG, b"unsolicited")
        + frame(CONT, "grüß".encode()[3:])
        + frame(BINARY, b"y" * 126)
        + frame(TEXT)
    )
    expected = ["one", "grüß", b"y" * 126, ""]
    steps: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await peer.write(await steps.get())
        await peer.write(await steps.get())
        await peer.until_gone()

    async with serve(handler) as server:
        for cut in range(1, len(stream)):
            async with opened(server) as (transport, heard):
                steps.put_nowait(stream[:cut])
                async with asyncio.timeout(PATIENCE):
                    while transport.heard < 2:  # the first read was the handshake
                        await turns(1)
                steps.put_nowait(stream[cut:] + close_frame(1000))
                await heard.until_event("closed")
            assert heard.messages == expected, f"cut before byte {cut}"
            assert heard.pongs == [b"unsolicited"]


async def test_messages_in_the_packet_of_the_101_are_delivered_after_opened() -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=text("one") + frame(BINARY, b"two") + text("three")[:2])
        await peer.write(text("three")[2:])
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (_, heard):
        assert heard.events[0] == "opened"
        await heard.until_messages(3)
    assert heard.messages == ["one", b"two", "three"]


async def test_messages_before_a_close_frame_in_the_same_packet_come_first() -> None:
    heard = await received(text("one") + text("two") + close_frame(1000, "bye") + text("late"))
    assert heard.messages == ["one", "two"]
    assert heard.before_closed == 2
    assert str(heard.close) == "1000 (normal closure): bye"


@pytest.mark.contract("MS1")
async def test_a_burst_before_a_disconnect_is_delivered_before_closed() -> None:
    burst = b"".join(text(str(number)) for number in range(50_000))
    heard = await received(burst)
    assert heard.messages == [str(number) for number in range(50_000)]
    assert heard.before_closed == 50_000
    assert heard.slices > 1
    assert heard.events == ["opened", "closed", "released"]
    assert code_of(heard) == 1006


async def test_fragments_of_a_text_may_be_cut_inside_a_character() -> None:
    euro = "€".encode()
    heard = await received(
        frame(TEXT, euro[:1], fin=False),
        frame(CONT, b"", fin=False),
        frame(CONT, euro[1:2], fin=False) + frame(CONT, euro[2:]),
        frame(BINARY, euro[:1], fin=False) + frame(CONT, euro[1:]),
    )
    assert heard.messages == ["€", euro]


async def test_a_close_in_the_middle_of_a_fragmented_message_drops_the_beginning() -> None:
    """A server that restarts may do that; it is its close, and no violation (RFC 6455, 5.4)."""
    heard = await received(text("whole"), frame(TEXT, b"half", fin=False), close_frame(1012, "x"))
    assert heard.messages == ["whole"]
    assert heard.close == Close(1012, "x", clean=True)


# Control frames


async def test_a_ping_is_answered_with_its_payload() -> None:
    answers: list[tuple[int, bytes]] = []

    async def handler(peer: Peer) -> None:
        await peer.accept()
        for payload in (b"", b"p", b"p" * 125):
            await peer.write(frame(PING, payload))
            answers.append(await peer.read_frame())

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_event("closed")
    assert answers == [(PONG, b""), (PONG, b"p"), (PONG, b"p" * 125)]
    assert heard.messages == []


async def test_pongs_are_told_and_change_nothing() -> None:
    heard = await received(frame(PONG, b"nobody asked"), text("on"), close_frame(1000))
    assert heard.pongs == [b"nobody asked"]
    assert heard.messages == ["on"]
    assert code_of(heard) == 1000


async def test_our_pings_carry_their_payload() -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept()
        opcode, payload = await peer.read_frame()
        assert opcode == PING
        await peer.write(frame(PONG, payload))
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (transport, heard):
        transport.ping(b"\0\0\0\1")
        await heard.until_event("pong")
    assert heard.pongs == [b"\0\0\0\1"]


# Violations (RFC 6455 sections 5 and 8.1)

VIOLATIONS = {
    "a continuation without a start": frame(CONT, b"x"),
    "a new message inside a fragmented one": frame(TEXT, b"x", fin=False) + text("y"),
    "a new fragmented message inside one": frame(TEXT, b"x", fin=False) * 2,
    "a masked frame": frame(TEXT, b"x", masked=True),
    "the first reserved bit": frame(TEXT, b"x", rsv=4),
    "the second reserved bit": frame(TEXT, b"x", rsv=2),
    "the third reserved bit": frame(BINARY, b"x", rsv=1),
    "a reserved data opcode": frame(0x3, b"x"),
    "a reserved control opcode": frame(0xB, b"x"),
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a close frame of 126 bytes": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "a fragmented ping": frame(PING, b"x", fin=False),
    "a close frame of one byte": frame(CLOSE, b"x"),
    "the close code 1005 on the wire": close_frame(1005),
    "the close code 1006 on the wire": close_frame(1006),
    "the close code 999": close_frame(999),
    "the close code 0": close_frame(0),
    "the close code 5000": close_frame(5000),
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS)
async def test_a_violation_closes_with_1002_after_what_came_before(violation: bytes) -> None:
    heard = await received(text("before") + violation + text("after"))
    assert heard.messages == ["before"]
    assert code_of(heard) == 1002
    assert heard.close is not None
    assert not heard.close.clean
    assert heard.events == ["opened", "closed", "released"]
    assert "the WebSocket protocol" in heard.why


@pytest.mark.contract("MS1")
@pytest.mark.parametrize(
    "bad",
    [
        frame(TEXT, b"\xff"),
        frame(TEXT, "€".encode()[:2]),
        frame(TEXT, b"\xed\xa0\x80"),  # a surrogate
        frame(TEXT, b"\xc0\xaf"),  # an overlong slash
        frame(TEXT, b"a" * 70_000 + b"\xff"),
        frame(TEXT, "€".encode()[:2], fin=False) + frame(CONT, b"x"),
        frame(TEXT, b"ok", fin=False) + frame(CONT, "€".encode()[:2]),
        frame(CLOSE, b"\x03\xe8\xff"),
    ],
    ids=["byte", "cut", "surrogate", "overlong", "long", "fragment", "at the end", "close reason"],
)
async def test_bad_utf_8_closes_with_1007_after_what_came_before(bad: bytes) -> None:
    heard = await received(text("before") + bad + text("after"))
    assert heard.messages == ["before"]
    assert code_of(heard) == 1007
    assert isinstance(heard.cause, UnicodeDecodeError)


@pytest.mark.parametrize(("bad", "code"), [(frame(0x3, b"x"), 1002), (frame(TEXT, b"\xff"), 1007)])
async def test_the_server_is_told_the_close_code_of_a_violation(bad: bytes, code: int) -> None:
    told: list[tuple[int, bytes]] = []

    async def handler(peer: Peer) -> None:
        await peer.accept(first=bad)
        told.append(await peer.read_frame())

    async with serve(handler) as server, opened(server) as (_, heard):
        await heard.until_event("released")
    assert told[0][0] == CLOSE
    assert int.from_bytes(told[0][1][:2], "big") == code


# Sending


@pytest.mark.parametrize("data", ["", "grüß", "x" * 70_000, b"", b"\0\xff" * 200])
async def test_what_is_sent_arrives_as_it_was(data: str | bytes) -> None:
    got: list[tuple[int, bytes]] = []

    async def handler(peer: Peer) -> None:
        await peer.accept()
        got.append(await peer.read_frame())

    async with serve(handler) as server, opened(server) as (transport, heard):
        transport.send(data)
        await heard.until_event("closed")
    expected = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
    assert got == [expected]


@pytest.mark.contract("CN5")
async def test_after_close_nothing_is_sent_and_nothing_complains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[tuple[int, bytes]] = []

    async def handler(peer: Peer) -> None:
        await peer.accept()
        try:
            while True:
                got.append(await peer.read_frame())
                if got[-1][0] == CLOSE:
                    await peer.write(frame(*got[-1]))
                    peer.writer.write_eof()
        except asyncio.IncompleteReadError:
            pass

    async with serve(handler) as server:
        async with opened(server) as (transport, heard):
            transport.send("before")
            transport.close(4321, "done")
            transport.send("after")
            transport.ping(b"after")
            transport.close(1000, "again")
            await heard.until_event("released")
            for _ in range(10):
                transport.send("late")
                transport.ping(b"late")
                transport.close(1000, "late")
                transport.abort()
        await server.until_all_are_gone()
    assert got == [(TEXT, b"before"), (CLOSE, (4321).to_bytes(2, "big") + b"done")]
    assert str(heard.close) == "4321: done"
    assert heard.close is not None
    assert heard.close.clean
    assert heard.events == ["opened", "closed", "released"]
    assert not caplog.records


async def test_an_unopened_transport_does_nothing_and_complains_about_nothing() -> None:
    transport = NativeTransport(Recorder(), TransportOptions())
    transport.send("x")
    transport.ping(b"x")
    transport.close(1000, "")
    transport.abort()
    assert (transport.heard, transport.buffered_amount, transport.reading_paused) == (0, 0, False)


async def test_a_transport_that_connects_can_be_asked_and_aborted() -> None:
    async def handler(peer: Peer) -> None:
        await peer.until_gone()

    async with serve(handler) as server:
        transport = NativeTransport(Recorder(), TransportOptions())
        opening = asyncio.create_task(transport.open(Target(url=server.url)))
        for _ in range(6):
            await turns(1)
            assert transport.buffered_amount >= 0
            transport.send("x")
            transport.abort()
        opening.cancel()
        with pytest.raises((asyncio.CancelledError, Exception)):
            await opening
        await server.until_all_are_gone()


@pytest.mark.contract("OB4")
async def test_a_peer_that_does_not_read_pauses_writing_until_it_reads() -> None:
    may_read = asyncio.Event()
    total = 0

    async def handler(peer: Peer) -> None:
        nonlocal total
        await peer.accept()
        peer.stop_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        while total < sent:
            _, payload = await peer.read_frame()
            total += len(payload)

    sent = 0
    async with (
        serve(handler, receive_buffer=16384) as server,
        opened(server) as (transport, heard),
    ):
        while "writing_paused" not in heard.events:
            transport.send(b"x" * 65536)
            sent += 65536
            await turns(1)
            assert sent < 64 * MIB
        assert transport.buffered_amount > 0
        may_read.set()
        await heard.until_event("writing_resumed")
        await heard.until_event("closed")
    assert total == sent
    assert heard.events == ["opened", "writing_paused", "writing_resumed", "closed", "released"]


async def test_abort_in_the_middle_of_a_slice_ends_it_with_that_message() -> None:
    ready = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await ready.wait()
        await peer.write(b"".join(text(str(number)) for number in range(1000)))
        await peer.until_gone()

    async with serve(handler) as server, opened(server) as (transport, heard):

        def on_message(message: str | bytes) -> bool:
            if message == "20":
                transport.abort()
            return False

        heard.on_message = on_message
        ready.set()
        await heard.until_event("released")
    assert heard.messages == [str(number) for number in range(21)]
    assert heard.events == ["opened", "closed", "released"]
    assert code_of(heard) == 1006


async def test_a_listener_may_end_a_slice_after_any_message() -> None:
    async def handler(peer: Peer) -> None:
        await peer.accept(first=b"".join(text(str(number)) for number in range(300)))
        await peer.until_gone()

    async with serve(handler) as server:
        heard = Recorder()
        heard.on_message = lambda message: True
        transport = NativeTransport(heard, TransportOptions())
        await transport.open(Target(url=server.url))
        await heard.until_messages(300)
        transport.abort()
        await heard.until_event("released")
    assert heard.messages == [str(number) for number in range(300)]
    assert heard.slices >= 300


@pytest.mark.contract("MS2")
async def test_reading_goes_on_for_a_message_larger_than_what_may_wait() -> None:
    """Its beginning cannot be delivered, so waiting for less would have no end."""
    big = b"x" * (3 * PAUSES_ABOVE)
    small = b"".join(text("s") for _ in range(2000))
    paused = False
    ready = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await ready.wait()
        await peer.write(small + frame(BINARY, big))
        await peer.until_gone()

    async with (
        serve(handler) as server,
        opened(server, max_message_bytes=len(big)) as (transport, heard),
    ):

        def on_message(message: str | bytes) -> bool:
            nonlocal paused
            paused = paused or transport.reading_paused
            return True

        heard.on_message = on_message
        ready.set()
        await heard.until_messages(2001)
    assert heard.messages[-1] == big
    assert paused


# Where to


async def connect_to(url: str) -> None:
    heard = Recorder()
    transport = NativeTransport(heard, TransportOptions())
    async with asyncio.timeout(PATIENCE):
        await transport.open(Target(url=url))
    transport.abort()
    await heard.until_event("released")


async def accepting(peer: Peer) -> None:
    await peer.accept()
    await peer.until_gone()


async def test_ipv6_and_host_names_lead_to_a_server() -> None:
    async with serve(accepting, host="::1") as server:
        await connect_to(server.url)
    async with serve(accepting) as server:
        await connect_to(f"ws://localhost:{server.port}/")
        assert server.peers[0].headers["host"] == f"localhost:{server.port}"


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every host name have these addresses."""

    async def getaddrinfo(host: object, port: object, **_: object) -> list[object]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, number),
            )
            for address, number in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def closed_port() -> int:
    """Return a port on which no program listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_an_address_that_refuses_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(accepting) as server:
        refusing = ("::1", closed_port())
        resolving_to(monkeypatch, refusing, refusing, ("127.0.0.1", server.port))
        await connect_to("ws://service.test/")


async def test_an_address_that_does_not_answer_is_overtaken_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):  # its queue is full then: what comes later is dropped
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with serve(accepting) as server:
            resolving_to(monkeypatch, deaf.getsockname(), ("127.0.0.1", server.port))
            await connect_to("ws://service.test/")
            assert len(server.peers) == 1


async def test_the_second_address_is_of_the_other_family(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(accepting) as server:
        resolving_to(
            monkeypatch,
            ("::1", closed_port()),
            ("::1", closed_port()),
            ("127.0.0.1", server.port),
        )
        tried: list[str] = []
        loop = asyncio.get_running_loop()
        sock_connect = loop.sock_connect

        async def noting(sock: socket.socket, address: tuple[str, int]) -> None:
            tried.append(address[0])
            await sock_connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", noting)
        await connect_to("ws://service.test/")
    assert tried == ["::1", "127.0.0.1"]
