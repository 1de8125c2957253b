"""Serve on one core: flood, echo or count messages, as the url asks.

``/flood?size=256&count=1000`` waits for a data message with ``go`` in it and then sends so many
messages of that size; ``/echo`` sends messages back; ``/sink?count=1000`` answers once, when so
many messages have come. Clients with a protocol of their own are greeted in it
(``dialect=socketio``, ``centrifuge``, or ``crowded`` with 16 publications in a frame), and flooded
with the same payloads in its frames. ``/room`` is a room of Centrifugo's protocol: what is
published is acknowledged, and told in the same text; with ``quiet=1`` it is acknowledged only.

The engine is picows: its echo costs less than any client's, and a flood is made of frames that
were built before it began.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import parse_qs, urlsplit

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benchmarks.traffic import dialects
from benchmarks.traffic.limits import allow_many_files

CHUNK_BYTES = 256 * 1024
BACKLOG = 4096
"""The length of the queue for accept: thousands of connections may come at once."""


class Flood(WSListener):
    """Greet the client in its dialect, wait for ``go``, then send as fast as it reads."""

    def __init__(self, dialect: dialects.Dialect, size: int, count: int) -> None:
        self._dialect = dialect
        self._chunks = iter(list(_chunks(_framed(dialect.frames(size, count)))))
        self._may_write = True
        self._goes = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._say(self._dialect.greeting())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            _answer(transport, frame)
            return
        text = frame.get_payload_as_bytes().decode()
        if "go" in text and not self._goes:
            self._goes = True
            self._write()
        else:
            self._say(self._dialect.answer(text))

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._write()

    def _say(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._transport.send(WSMsgType.TEXT, text.encode())

    def _write(self) -> None:
        for chunk in self._chunks:
            self._transport.underlying_transport.write(chunk)
            if not self._may_write:
                return


class Echo(WSListener):
    """Send every message back."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_bytes())
        else:
            _answer(transport, frame)


class Room(WSListener):
    """Acknowledge what is published, and tell it, as Centrifugo does.

    Args:
        is_quiet: Whether nothing is told.
    """

    def __init__(self, *, is_quiet: bool) -> None:
        self._dialect = dialects.Centrifuge()
        self._is_quiet = is_quiet
        self._offset = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            _answer(transport, frame)
            return
        lines: list[str] = []
        for text in frame.get_payload_as_bytes().decode().splitlines():
            lines += self._published(text) or self._dialect.answer(text)
        if lines:
            transport.send(WSMsgType.TEXT, "\n".join(lines).encode())

    def _published(self, text: str) -> list[str]:
        """Return the answer to a command that publishes, and what is told; nothing for others."""
        command = json.loads(text)
        if "publish" not in command:
            return []
        self._offset += 1
        reply = f'{{"id":{command["id"]},"publish":{{}}}}'
        if self._is_quiet:
            return [reply]
        data = json.dumps(command["publish"]["data"], separators=(",", ":"))
        return [reply, dialects.publication_of(data, self._offset)]


class Sink(WSListener):
    """Count the messages, and answer at the end."""

    def __init__(self, count: int) -> None:
        self._left = count

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            _answer(transport, frame)
            return
        self._left -= 1
        if self._left == 0:
            transport.send(WSMsgType.TEXT, b'{"id":0}')


def _answer(transport: WSTransport, frame: WSFrame) -> None:
    if frame.msg_type is WSMsgType.PING:
        transport.send_pong(frame.get_payload_as_bytes())
    elif frame.msg_type is WSMsgType.CLOSE:
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()


def _framed(texts: Iterable[str]) -> Iterator[bytes]:
    """Build unmasked text frames (RFC 6455 section 5.2)."""
    for text in texts:
        data = text.encode()
        if len(data) < 126:
            yield bytes((0x81, len(data))) + data
        elif len(data) < 2**16:
            yield struct.pack("!BBH", 0x81, 126, len(data)) + data
        else:
            yield struct.pack("!BBQ", 0x81, 127, len(data)) + data


def _chunks(frames: Iterator[bytes]) -> Iterator[bytes]:
    """Join frames to about `CHUNK_BYTES`."""
    for first in frames:
        many = max(1, CHUNK_BYTES // len(first) - 1)
        yield first + b"".join(islice(frames, many))


def _listener_for(request: WSUpgradeRequest) -> WSListener:
    url = urlsplit(request.path.decode())
    asked = {name: values[-1] for name, values in parse_qs(url.query).items()}
    match url.path.strip("/").split("/")[0]:
        case "echo":
            return Echo()
        case "room":
            return Room(is_quiet="quiet" in asked)
        case "sink":
            return Sink(int(asked["count"]))
        case _:  # a client with a protocol of its own chooses its own path, too
            dialect = dialects.DIALECTS[asked.get("dialect", "plain")]()
            return Flood(dialect, int(asked["size"]), int(asked["count"]))


async def main() -> None:
    """Serve until the process is ended; the first line of output is the url."""
    allow_many_files()
    server = await ws_create_server(_listener_for, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"ws://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
