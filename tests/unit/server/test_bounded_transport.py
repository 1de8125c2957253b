"""Input in slices: what one turn of the event loop parses, and what is thrown away."""

from __future__ import annotations

import asyncio
import errno

import pytest

from sockstore.server import bounded_transport
from sockstore.server.bounded_transport import BoundedTransport

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV11")]


class Socket(asyncio.Transport):
    """The real transport's place: notes whether it reads, and what is written.

    As with asyncio's TLS transport, nothing can be asked of it after a second `close`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.said: list[bytes] = []
        self.ended = ""
        self.closes = 0

    def pause_reading(self) -> None:
        assert self.closes < 2
        self.reads = False

    def resume_reading(self) -> None:
        assert self.closes < 2
        self.reads = True

    def is_closing(self) -> bool:
        return self.ended != ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.said.append(b"")

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closes += 1
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Parser:
    """Takes slices, each of which costs as much as it has bytes divided by 16."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.slices: list[bytes] = []
        self.transport = BoundedTransport(self.socket, asyncio.get_running_loop(), self.parse)

    def parse(self, data: bytes) -> int:
        self.slices.append(data)
        return len(data) // 16

    @property
    def parsed(self) -> bytes:
        return b"".join(self.slices)


async def test_what_comes_in_small_pieces_is_parsed_at_once():
    parser = Parser()
    for piece in (b"a", b"b", b"c" * 100):
        parser.transport.feed(piece)
    assert parser.slices == [b"a", b"b", b"c" * 100]
    assert parser.socket.reads


async def test_one_turn_of_the_loop_parses_a_bounded_number_of_frames_and_reads_no_more():
    parser = Parser()
    data = bytes(range(256)) * 400
    parser.transport.feed(data)
    a_turn = len(parser.parsed)
    assert a_turn == bounded_transport.SLICE_BYTES  # which costs what a turn may cost
    assert not parser.socket.reads
    turns = 0
    while not parser.socket.reads:
        before = len(parser.parsed)
        await asyncio.sleep(0)
        assert len(parser.parsed) - before <= a_turn
        turns += 1
    assert parser.parsed == data
    assert turns >= len(data) // a_turn - 1


async def test_nothing_is_parsed_while_the_protocol_has_paused_reading():
    parser = Parser()
    parser.transport.pause_reading()
    parser.transport.feed(b"one")
    parser.transport.feed(b"two")
    await asyncio.sleep(0)
    assert (parser.slices, parser.transport.holds_back) == ([], True)
    parser.transport.resume_reading()
    await asyncio.sleep(0)
    assert parser.parsed == b"onetwo"
    assert parser.socket.reads


async def test_on_hold_a_little_is_read_ahead_and_then_no_more():
    parser = Parser()
    parser.transport.hold()
    parser.transport.feed(b"x" * 100)
    assert parser.socket.reads  # an end of the connection is noticed
    parser.transport.feed(b"x" * bounded_transport.MOST_HELD_BYTES)
    assert not parser.socket.reads
    parser.transport.release()
    while not parser.socket.reads:
        await asyncio.sleep(0)
    assert len(parser.parsed) == 100 + bounded_transport.MOST_HELD_BYTES


async def test_behind_the_end_nothing_is_parsed_and_much_is_read_with_pauses():
    parser = Parser()
    parser.transport.end(b"goodbye")
    assert parser.socket.said == [b"goodbye", b""]
    parser.transport.feed(b"x" * 1000)
    assert parser.socket.reads
    parser.transport.feed(b"x" * bounded_transport.DISCARDED_AT_ONCE)
    assert not parser.socket.reads
    assert parser.slices == []
    parser.transport.lost()


async def test_the_end_of_a_connection_that_the_peer_has_left_is_no_error():
    parser = Parser()

    def write_eof() -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    parser.socket.write_eof = write_eof  # as asyncio's does
    parser.transport.end(b"goodbye")
    parser.transport.feed(b"more")
    assert parser.slices == []
    parser.transport.lost()


async def test_whoever_does_not_end_is_aborted(monkeypatch):
    monkeypatch.setattr(bounded_transport, "SECONDS_TO_CLOSE", 0.0)
    parser = Parser()
    parser.transport.end()
    while not parser.socket.ended:
        await asyncio.sleep(0)
    assert parser.socket.ended == "aborted"


async def test_a_transport_that_is_closed_twice_may_still_be_told_to_read():
    parser = Parser()
    parser.transport.pause_reading()
    parser.transport.close()
    parser.transport.close()
    parser.transport.resume_reading()
    assert parser.socket.ended == "closed"


async def test_a_connection_that_was_lost_leaves_no_timer(monkeypatch):
    monkeypatch.setattr(bounded_transport, "SECONDS_TO_CLOSE", 0.0)
    parser = Parser()
    parser.transport.end()
    parser.transport.feed(b"x" * bounded_transport.DISCARDED_AT_ONCE)
    assert not parser.socket.reads
    parser.transport.lost()
    await asyncio.sleep(2 * bounded_transport.SECONDS_BETWEEN_DISCARDS)
    assert (parser.socket.ended, parser.socket.reads) == ("", False)
