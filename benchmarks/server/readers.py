"""Readers that cost next to nothing: sockets in an epoll, whose bytes are counted, not parsed."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

__all__ = ["MARK", "Crowd", "frame_of"]

MARK = b"|~"
"""Stands once in each message, and nowhere else in the bytes of a server, not even in the lengths
of frames; so the number of marks is the number of messages, in any protocol."""

SECONDS_OF_SILENCE = 20
CONNECTING_TOGETHER = 50
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
END_OF_HEAD = b"\r\n\r\n"


def frame_of(text: str) -> bytes:
    """Return a client's frame; its mask is all zeros, so that masking it costs nothing."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


def _message(number: int) -> bytes:
    said = f"{MARK.decode()} message {number:08d} " + "of somebody who has something to say " * 2
    return frame_of(json.dumps({"content": said, "timestamp": "2026-05-01T10:00:00.000Z"}))


@dataclass
class Crowd:
    """Connections to one room; some of them also send messages.

    Args:
        address: The server's host and port.
        path: The room.
        readers: The number of connections.
        senders: The number of connections that send, in turn.
        window: Messages that are under way at once.
    """

    address: str
    path: str
    readers: int
    senders: int
    window: int
    sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._epoll = select.epoll()
        self._by_number: dict[int, socket.socket] = {}
        self._told: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._deliveries = 0
        self._said = 0
        self._buffer = bytearray(256 * 1024)
        while len(self.sockets) < self.readers:
            self._connect(min(CONNECTING_TOGETHER, self.readers - len(self.sockets)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._epoll.close()
        for each in self.sockets:
            each.close()

    def talk(self, messages: int) -> int:
        """Send so many messages, and return when every reader has received all of them.

        Returns:
            How many messages were delivered.

        Raises:
            RuntimeError: If a reader received less or more, or no reader receives anything more.
        """
        before, last = self._deliveries, self._said + messages
        self._say(last)
        while self._deliveries < last * self.readers:
            self._hear()
            self._say(last)
        if wrong := {count for count in self._told.values() if count != last}:
            raise RuntimeError(f"of {last} messages somebody was told {sorted(wrong)}")
        return self._deliveries - before

    def _say(self, last: int) -> None:
        while self._said < last and self._said < self._deliveries // self.readers + self.window:
            self.sockets[self._said % self.senders].sendall(_message(self._said))
            self._said += 1

    def _hear(self) -> None:
        ready = self._epoll.poll(SECONDS_OF_SILENCE)
        if not ready:
            raise RuntimeError(f"silence: {self._deliveries} of {self._said} x {self.readers}")
        buffer, received, last = self._buffer, self._told, self._last
        behind_the_first = memoryview(buffer)[1:]
        for number, _ in ready:
            size = self._by_number[number].recv_into(behind_the_first)
            if not size:
                raise RuntimeError("the server closed the connection of a reader")
            buffer[0] = last[number]  # a mark may arrive in two parts
            last[number] = buffer[size]
            marks = buffer.count(MARK, 0, size + 1)
            received[number] += marks
            self._deliveries += marks

    def _connect(self, count: int) -> None:
        host, _, port = self.address.rpartition(":")
        fresh = [socket.create_connection((host, int(port))) for _ in range(count)]
        request = REQUEST.format(path=self.path, host=self.address).encode()
        for each in fresh:
            each.settimeout(SECONDS_OF_SILENCE)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.sendall(request)
        for each in fresh:
            first = _first_frames(each)
            number = each.fileno()
            self._by_number[number] = each
            self._told[number] = first.count(MARK)
            self._last[number] = first[-1] if first else 0
            self._deliveries += self._told[number]
            self._epoll.register(number, select.EPOLLIN)
        self.sockets += fresh


def _first_frames(connection: socket.socket) -> bytes:
    """Read the answer to the handshake, and return the bytes after it."""
    head = b""
    for part in _parts(connection):
        head += part
        if END_OF_HEAD in head:
            break
    answer, _, rest = head.partition(END_OF_HEAD)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"the server refused a reader: {head!r}")
    return rest


def _parts(connection: socket.socket) -> Iterator[bytes]:
    while part := connection.recv(4096):
        yield part
