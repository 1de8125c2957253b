"""Frames: where they end, and that it does not matter how their bytes were cut."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import struct
from collections.abc import Iterator
from operator import length_hint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockstore import Close, SocketInfo
from sockstore.transports.base import SLICE_SECONDS, Deliver, Target, TransportOptions
from sockstore.transports.native import handshake, incoming, slices, wire

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


# Extents


@pytest.mark.parametrize(
    ("header", "payload", "size"),
    [
        (b"\x81\x00", 2, 0),
        (b"\x81\x7d", 2, 125),
        (b"\x81\x7e\x00\x7e", 4, 126),
        (b"\x81\x7e\xff\xff", 4, 65535),
        (b"\x81\x7f" + (65536).to_bytes(8, "big"), 10, 65536),
        (b"\x81\x7f" + b"\xff" * 8, 10, 2**64 - 1),
    ],
)
def test_an_extent_is_known_as_soon_as_the_length_is(
    header: bytes, payload: int, size: int
) -> None:
    assert incoming.extent(header, 0) == incoming.Extent(payload, payload + size, masked=False)
    assert incoming.extent(b"before" + header, 6) == incoming.Extent(
        6 + payload, 6 + payload + size, masked=False
    )
    masked = bytes((header[0], header[1] | 0x80)) + header[2:]
    assert incoming.extent(masked, 0) == incoming.Extent(payload, payload + size, masked=True)


@pytest.mark.parametrize(
    ("beginning", "need"),
    [(b"", 2), (b"\x81", 2), (b"\x81\x7e", 4), (b"\x81\x7e\0", 4), (b"\x81\x7f" + b"\0" * 7, 10)],
)
def test_an_unfinished_header_says_how_many_bytes_it_needs(beginning: bytes, need: int) -> None:
    assert incoming.extent(beginning, 0) == need
    assert incoming.extent(b"before" + beginning, 6) == need


@given(st.binary(max_size=300), st.integers(0, 2), st.binary(max_size=20))
def test_an_extent_finds_the_payload_wherever_the_frame_lies(
    payload: bytes, opcode: int, around: bytes
) -> None:
    buffer = around + frame(opcode, payload) + around
    found = incoming.extent(buffer, len(around))
    assert isinstance(found, incoming.Extent)
    assert buffer[found.payload : found.end] == payload
    assert buffer[found.end :] == around


# However the bytes are cut


class FakeTransport(asyncio.Transport):
    """Takes notes; it reads what the test gives to the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_reading_paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False


class Notes:
    """A listener that keeps everything in the order it came."""

    def __init__(self, *, slice_after: int = 0) -> None:
        self.told: list[object] = []
        self.slices = 0
        self._slice_after = slice_after

    def opened(self, socket: SocketInfo) -> None:
        self.told.append("opened")

    def begin_slice(self) -> Deliver | None:
        self.slices += 1
        self.delivered = 0
        return self

    def texts(self, messages: Iterator[str], /) -> bool:
        return any(map(self._deliver, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        return any(map(self._deliver, messages))

    def _deliver(self, message: str | bytes) -> bool:
        self.told.append(message)
        self.delivered += 1
        return self.delivered == self._slice_after

    def end_slice(self) -> None:
        pass

    def pong_received(self, payload: bytes) -> None:
        self.told.append(("pong", payload))

    def writing_paused(self) -> None:
        self.told.append("writing_paused")

    def writing_resumed(self) -> None:
        self.told.append("writing_resumed")

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        self.told.append((close, why, type(cause)))

    def released(self) -> None:
        self.told.append("released")


async def told_of(
    chunks: list[bytes], *, slice_after: int = 0, notes: Notes | None = None
) -> tuple[list[object], bytes]:
    """Return what a listener is told of these reads, and what the server is sent, unmasked."""
    notes = notes or Notes(slice_after=slice_after)
    options = TransportOptions(max_message_bytes=1000)
    protocol, request = handshake.make_request(Target(url="ws://a.test/"), options)
    connection = wire.Wire(notes, protocol, "ws://a.test/", 1000)
    transport = FakeTransport()
    connection.connection_made(transport)
    key = request.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    token = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    connection.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {token}\r\n\r\n".encode(),
    )
    transport.written = b""
    for chunk in chunks:
        connection.data_received(chunk)
    connection.connection_lost(None)
    for _ in range(10_000):  # more turns than it has messages
        if notes.told[-1] == "released":
            break
        await asyncio.sleep(0)
    assert notes.told[-1] == "released"
    assert not transport.is_reading_paused
    return notes.told, unmasked(transport.written)


def unmasked(written: bytes) -> bytes:
    """Return small client frames as they would be without their masks."""
    plain = b""
    while written:
        size = written[1] & 0x7F
        mask, payload, rest = written[2:6], written[6 : 6 + size], written[6 + size :]
        plain += bytes((written[0], size))
        plain += bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        written = rest
    return plain


payloads = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([125, 126, 127, 128, 300]).map(lambda size: b"x" * size),
)
controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=5))
texts = st.text(max_size=40).map(lambda text: text.encode())


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, list[object]]:
    """One message, whole or in fragments with control frames between them: (bytes, expected)."""
    is_text = draw(st.booleans())
    payload = draw(texts if is_text else payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data = b""
    expected: list[object] = []
    for number, part in enumerate(parts):
        opcode = CONT if number else (TEXT if is_text else BINARY)
        for control in draw(st.lists(controls, max_size=2)):
            data += control
            if control[0] & 0x0F == PONG:
                expected.append(("pong", control[2:]))
        data += frame(opcode, part, fin=number == len(parts) - 1)
    expected.append(payload.decode() if is_text else payload)
    return data, expected


ends = st.one_of(
    st.just(b""),
    st.just(frame(CLOSE, b"\x03\xe8bye")),
    st.just(frame(CLOSE, b"")),
    st.just(frame(CONT, b"x")),
    st.just(frame(0x3, b"x")),
    st.just(frame(TEXT, b"\xff")),
    st.just(frame(TEXT, b"x", fin=False) + frame(CONT, b"\xff")),
    st.just(frame(BINARY, b"x" * 1001)),
    st.just(bytes((0x81, 0x81, 0, 0, 0, 0, 0x78))),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a != b]


@pytest.mark.asyncio
@pytest.mark.contract("MS1", "MS2")
@settings(max_examples=300, deadline=None)
@given(
    st.lists(messages(), max_size=6),
    ends,
    st.lists(st.integers(0, 5000), max_size=30),
    st.integers(0, 3),
)
async def test_what_is_delivered_does_not_depend_on_how_the_bytes_are_cut(
    sent: list[tuple[bytes, list[object]]], end: bytes, places: list[int], slice_after: int
) -> None:
    stream = b"".join(data for data, _ in sent) + end
    expected = [item for _, items in sent for item in items]
    at_once, answers = await told_of([stream])
    assert [what for what in at_once if what not in {"opened", "released"}][:-1] == expected
    assert await told_of(cut(stream, places), slice_after=slice_after) == (at_once, answers)
    assert await told_of([bytes((byte,)) for byte in stream]) == (at_once, answers)


@pytest.mark.asyncio
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 5000), max_size=10))
async def test_arbitrary_bytes_end_in_one_way_however_they_are_cut(
    stream: bytes, places: list[int]
) -> None:
    at_once = await told_of([stream])
    assert await told_of(cut(stream, places)) == at_once
    closed = at_once[0][-2]
    assert isinstance(closed, tuple)
    assert isinstance(closed[0], Close)
    assert at_once[0][-1] == "released"


@pytest.mark.asyncio
@pytest.mark.contract("MS2")
async def test_a_long_slice_ends_by_the_clock_and_the_rest_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter(range(10**9))
    monkeypatch.setattr(slices, "monotonic", lambda: next(ticks) * SLICE_SECONDS)
    told, _ = await told_of([frame(TEXT, b"x") * 1000])
    assert told.count("x") == 1000


class TakesOne(Notes):
    """Takes one message of what it is offered, and leaves the others."""

    offered = 0

    def texts(self, messages: Iterator[str], /) -> bool:
        self.offered += length_hint(messages)
        return self._deliver(next(messages))


@pytest.mark.asyncio
async def test_who_takes_one_message_at_a_time_is_not_offered_all_others_each_time() -> None:
    notes, count = TakesOne(), 300
    told, _ = await told_of([b"".join(frame(1, b"%d" % n) for n in range(count))], notes=notes)
    assert [text for text in told if isinstance(text, str)][1 : count + 1] == [
        str(n) for n in range(count)
    ]
    assert notes.offered <= 2 * count


# The size of reads


class Sized:
    max_size = 0


def test_reads_grow_while_they_come_full_and_shrink_again():
    transport, least, most = Sized(), incoming.LEAST_READ, incoming.MOST_READ
    read_size = incoming.ReadSize(transport)
    assert transport.max_size == least
    sizes = []
    for brought in (
        100,
        least,
        4 * least,
        most,
        most,
        300,
        300,
        300,
    ):
        read_size.adapt(brought)
        sizes.append(transport.max_size)
    assert sizes[:5] == [
        least,
        4 * least,
        most,
        most,
        most,
    ]
    assert sizes[5:] == [4 * least, least, least]


def test_a_transport_that_has_a_buffer_of_its_own_is_left_alone():
    incoming.ReadSize(object()).adapt(incoming.MOST_READ)


@pytest.mark.asyncio
async def test_asyncios_transports_can_be_told_how_much_to_read():
    server = await asyncio.start_server(lambda _r, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert isinstance(writer.transport.max_size, int), "or reading costs more than it must"
        writer.close()
        await writer.wait_closed()
