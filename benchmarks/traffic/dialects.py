"""Speak the protocols of peers that have a protocol of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Protocol

from benchmarks.traffic.payloads import payload

__all__ = ["DIALECTS", "Centrifuge", "Dialect", "publication_of"]

DIFFERENT = 64
"""Number of different messages in a flood, which repeat."""


class Dialect(Protocol):
    """The texts that a server sends to a client, besides the payloads."""

    def greeting(self) -> Iterable[str]:
        """Return the first texts of the server."""

    def answer(self, text: str) -> Iterable[str]:
        """Return the answers of the server to a text of the client."""

    def frames(self, size: int, count: int) -> Iterator[str]:
        """Return the texts of a flood."""


class Plain:
    """JSON texts, and nothing else."""

    def greeting(self) -> Iterable[str]:
        """Return no texts."""
        return ()

    def answer(self, text: str) -> Iterable[str]:
        """Return no texts."""
        del text
        return ()

    def frames(self, size: int, count: int) -> Iterator[str]:
        """Return the payloads; the last one has the number `count`."""
        different = [payload(size, number) for number in range(1, DIFFERENT + 1)]
        for number in range(1, count):
            yield different[number % DIFFERENT]
        yield payload(size, count)


class SocketIO(Plain):
    """Socket.IO 5 over Engine.IO 4, as far as a client needs it to receive events."""

    def greeting(self) -> Iterable[str]:
        """Open the Engine.IO session."""
        limits = {"pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1_000_000}
        yield "0" + json.dumps({"sid": "benchmark", "upgrades": [], **limits})

    def answer(self, text: str) -> Iterable[str]:
        """Let the client into the namespace."""
        if text.startswith("40"):
            yield '40{"sid":"client"}'

    def frames(self, size: int, count: int) -> Iterator[str]:
        """Return each payload as an event."""
        for text in super().frames(size, count):
            yield f'42["message",{text}]'


class Centrifuge(Plain):
    """The client protocol of Centrifugo in JSON, one room; offsets count up."""

    at_once = 1
    """Publications in a frame."""

    def answer(self, text: str) -> Iterable[str]:
        """Let the client in, and into the room."""
        for line in text.splitlines():
            command = json.loads(line)
            if "connect" in command:
                hello = {"client": "benchmark", "version": "0", "ping": 25, "pong": True}
                yield json.dumps({"id": command["id"], "connect": hello})
            elif "subscribe" in command:
                joined = {"recoverable": True, "positioned": True, "epoch": "one"}
                yield json.dumps({"id": command["id"], "subscribe": joined})

    def frames(self, size: int, count: int) -> Iterator[str]:
        """Return each payload as a publication."""
        lines: list[str] = []
        for offset, text in enumerate(super().frames(size, count), 1):
            lines.append(publication_of(text, offset))
            if len(lines) == self.at_once or offset == count:
                yield "\n".join(lines)
                lines.clear()


class Crowded(Centrifuge):
    """The same, with many publications in a frame, as a server in a hurry sends them."""

    at_once = 16


def publication_of(text: str, offset: int) -> str:
    """Return the push of a payload.

    Example:
        >>> publication_of("7", 1)
        '{"push":{"channel":"feed","pub":{"data":7,"offset":1}}}'
    """
    return f'{{"push":{{"channel":"feed","pub":{{"data":{text},"offset":{offset}}}}}}}'


DIALECTS = {"plain": Plain, "socketio": SocketIO, "centrifuge": Centrifuge, "crowded": Crowded}
