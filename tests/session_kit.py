"""Clients without a socket: a test says what they say, and reads what they were told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fake_history import FakeHistory
from sockstore.server import Limits
from sockstore.server.asgi import Peer
from sockstore.server.client import Client
from sockstore.server.plain import visitor as plain
from sockstore.server.rooms.presence import LocalPresence
from sockstore.server.rooms.room import Rooms
from sockstore.server.session.visitor import SessionVisitor

UNCOUNTED = {"rate": 1e6, "burst": 1_000_000}


class Listener(Client):
    """A client without a connection; it reads at once what it is told, unless it is stopped.

    Time stands still for its rate limit: it may send `limits.burst` messages.
    """

    def __init__(self, limits: Limits, name: str | None = None) -> None:
        super().__init__(Peer({}, None, None), limits, name)
        self.tokens = limits.burst
        self.is_reading = True
        self.texts: list[str] = []
        self.frames: list[dict[str, Any]] = []

    @property
    def ended(self) -> tuple[int, str] | None:
        return self._close

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def buffered_bytes(self) -> int:
        return self._buffered_bytes

    def take_token(self) -> bool:
        self.tokens -= 1
        return self.tokens >= 0

    def offer(self, message: Any) -> None:
        super().offer(message)
        if self.is_reading:
            self.take()

    def take(self, count: int | None = None) -> None:
        """Read what is buffered."""
        taken = 0
        while self._buffer and (count is None or taken < count):
            outgoing = self._buffer.popleft()
            self._buffered_bytes -= outgoing.size
            taken += 1
            self.texts.append(outgoing.message)
            self.frames.extend(json.loads(line) for line in outgoing.message.split("\n"))
        if not self._is_half_full():
            self._drained.set()


class Person:
    """One client of the session."""

    def __init__(
        self, rooms: Rooms, name: str | None = None, *, only: str | None = None, refusal=None
    ) -> None:
        self.client = Listener(rooms.limits, name)
        self.shown: list[str | None] = []
        self.refusal: tuple[int, str] | None = refusal

        async def check_token(token: str | None) -> tuple[int, str] | None:
            self.shown.append(token)
            return self.refusal

        self.visitor = SessionVisitor(rooms, only, check_token, self.client)
        self._number = 0

    @property
    def frames(self) -> list[dict[str, Any]]:
        return self.client.frames

    @property
    def pushes(self) -> list[dict[str, Any]]:
        return [frame["push"] for frame in self.frames if "push" in frame]

    def offsets(self, channel: str = "lobby") -> list[int]:
        """All publications that it was given, in replies to subscribe and in pushes."""
        found = []
        for frame in self.frames:
            for publication in frame.get("subscribe", {}).get("publications", ()):
                found.append(publication["offset"])
            push = frame.get("push", {})
            if push.get("channel") == channel and "pub" in push:
                found.append(push["pub"]["offset"])
        return found

    async def say(self, *texts: str | bytes) -> list[dict[str, Any]]:
        """Send messages of the WebSocket; return what it was told until they were done."""
        before = len(self.frames)
        for text in texts:
            if self.client.ended is None:
                await self.visitor.hear(text)
        return self.frames[before:]

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send one command, and return its reply."""
        self._number += 1
        told = await self.say(json.dumps({"id": self._number, command: fields}))
        (reply,) = [frame for frame in told if frame.get("id") == self._number]
        return reply

    async def connect(self) -> Person:
        await self.ask("connect")
        return self

    async def subscribe(self, channel: str = "lobby", **fields: Any) -> dict[str, Any]:
        reply = await self.ask("subscribe", channel=channel, **fields)
        return reply.get("subscribe", reply)

    def leave(self) -> None:
        self.visitor.leave()


class Guest:
    """A client of plain JSON in the lobby, without a connection."""

    def __init__(self, rooms: Rooms, name: str | None = None) -> None:
        self.client = Listener(rooms.limits, name)
        self.rooms = rooms
        self.visitor = plain.PlainVisitor(rooms, "lobby", self.client)

    async def enter(self) -> Guest:
        await self.visitor.enter()
        return self

    def leave(self) -> None:
        self.visitor.leave()

    @property
    def frames(self) -> list[dict[str, object]]:
        return self.client.frames

    @property
    def types(self) -> list[object]:
        return [frame["type"] for frame in self.frames]

    @property
    def offsets(self) -> list[object]:
        """All messages it knows: history, then live."""
        (history, *rest) = self.frames
        return [
            *(each["offset"] for each in history["messages"]),
            *(frame["offset"] for frame in rest if frame["type"] == "message"),
        ]


def rooms_of(
    history: FakeHistory | None = None, presence: LocalPresence | None = None, **limits: Any
) -> Rooms:
    return Rooms(
        history or FakeHistory(),
        presence or LocalPresence(),
        Limits(**{**UNCOUNTED, **limits}),
    )


async def idle(steps: int = 200) -> None:
    """Let everything go on that can."""
    for _ in range(steps):
        await asyncio.sleep(0)


def send(number: int, channel: str = "lobby", *, id: str, data: Any = "x") -> str:  # noqa: A002
    content = {"channel": channel, "id": id, "data": data}
    return json.dumps({"id": number, "rpc": {"method": "send", "data": content}})
