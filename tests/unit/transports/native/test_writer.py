"""What is sent in one turn of the loop leaves together, in order, and never too late."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode, apply_mask

from sockstore.transports.native.writer import MOST_GATHERED_BYTES, Writer, masked_frame

TEXT, BINARY = 0x81, 0x82


class FakeTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_gone = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_gone

    def get_write_buffer_size(self) -> int:
        return 1000


def unmasked(data: bytes) -> list[bytes]:
    """The payloads of short and medium frames."""
    payloads = []
    while data:
        length, header = data[1] & 0x7F, 2
        if length == 126:
            length, header = int.from_bytes(data[2:4], "big"), 4
        mask, start = data[header : header + 4], header + 4
        payloads.append(bytes(apply_mask(data[start : start + length], mask)))
        data = data[start + length :]
    return payloads


def make() -> tuple[Writer, FakeTransport]:
    transport = FakeTransport()
    return Writer(asyncio.get_running_loop(), transport), transport


@pytest.mark.asyncio
async def test_the_first_message_of_a_turn_leaves_at_once_and_the_others_together_at_its_end():
    writer, transport = make()
    for text in (b"a", b"b", b"c"):
        writer.send(TEXT, text)
    assert [unmasked(data) for data in transport.writes] == [[b"a"]]
    assert writer.buffered_amount == 1000 + 2 * len(masked_frame(TEXT, b"b", b"mask"))
    await asyncio.sleep(0)
    assert [unmasked(data) for data in transport.writes] == [[b"a"], [b"b", b"c"]]
    writer.send(TEXT, b"d")
    assert unmasked(transport.writes[-1]) == [b"d"], "another turn, another first one"


@pytest.mark.asyncio
async def test_answers_to_what_is_delivered_leave_together_when_that_is_done():
    writer, transport = make()
    writer.holds = True
    writer.send(TEXT, b"a")
    writer.send(BINARY, b"b")
    assert transport.writes == []
    writer.holds = False
    writer.flush()
    assert [unmasked(data) for data in transport.writes] == [[b"a", b"b"]]


@pytest.mark.asyncio
async def test_control_frames_leave_at_once_behind_everything_that_was_sent_before():
    writer, transport = make()
    writer.holds = True
    writer.send(TEXT, b"a")
    writer.write(b"a close frame")
    assert unmasked(transport.writes[0]) == [b"a"]
    assert transport.writes[1] == b"a close frame"


@pytest.mark.asyncio
async def test_no_more_is_gathered_than_tells_in_time_that_the_peer_does_not_read():
    writer, transport = make()
    writer.holds = True
    for _ in range(10):
        writer.send(BINARY, b"x" * (MOST_GATHERED_BYTES // 4))
    assert len(transport.writes) == 2
    assert writer.buffered_amount <= 1000 + MOST_GATHERED_BYTES


@pytest.mark.asyncio
async def test_nothing_is_written_to_a_transport_that_is_closing_and_nothing_stays():
    writer, transport = make()
    writer.holds = True
    writer.send(TEXT, b"a")
    transport.is_gone = True
    writer.flush()
    writer.write(b"a pong")
    assert transport.writes == []
    assert writer.buffered_amount == 1000


@pytest.mark.asyncio
async def test_every_frame_has_another_mask_and_is_what_the_engine_would_write():
    writer, transport = make()
    masks = set()
    for number in range(200):
        writer.write(b"")
        transport.writes.clear()
        writer.holds = True
        writer.send(TEXT, b"hello")
        writer.flush()
        [frame] = transport.writes
        masks.add(frame[2:6])
        assert unmasked(frame) == [b"hello"], number
    assert len(masks) > 190
    for size in (0, 125, 126, 65_535, 65_536):
        payload = b"x" * size
        ours = masked_frame(TEXT, payload, b"\0\0\0\0")
        theirs = Frame(Opcode.TEXT, payload).serialize(mask=False)
        header = len(theirs) - size
        assert ours[0] == theirs[0]
        assert ours[1] == theirs[1] | 0x80
        assert ours[2:header] == theirs[2:header]
        assert ours[header:] == b"\0\0\0\0" + payload
