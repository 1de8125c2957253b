"""A stock Centrifugo without sockets: its recorded frames, and an engine that answers as it did.

`centrifugo_frames.jsonl` was recorded from Centrifugo's own engine: one line a text message, in
order, with the story it belongs to. `test_centrifugo.py` holds the engine below to it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greeting_server import GreetingServer
from room_server import connect, data_of
from sockstore import Position

FRAMES = [
    json.loads(line)
    for line in (Path(__file__).parent / "centrifugo_frames.jsonl").read_text().splitlines()
]
STORIES = {
    story: list(steps)
    for story, steps in itertools.groupby(FRAMES, key=lambda frame: frame["story"])
}

NOT_AVAILABLE = {"code": 108, "message": "not available"}
ALREADY_SUBSCRIBED = {"code": 105, "message": "already subscribed"}
BAD_REQUEST = (3501, "bad request")
NO_PONG = (3012, "no pong")
PONG_SECONDS = 8


@dataclass
class Room:
    """What the engine keeps of a channel; the epoch may be there before the first message."""

    epoch: str = ""
    top: int = 0
    kept: deque[dict[str, Any]] = field(default_factory=deque)


@dataclass(eq=False)
class Visitor:
    """One connection as the engine sees it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    is_connected: bool = False
    channels: set[str] = field(default_factory=set)
    unanswered_pings: int = 0


class Engine:
    """Answer commands as the recorded server did.

    Args:
        keeps: How many messages each room keeps; 0 for rooms without history and offsets.
        epochs: The epochs of rooms; others get one of their own.
    """

    def __init__(self, keeps: int = 100, epochs: dict[str, str] | None = None) -> None:
        self.keeps = keeps
        self.rooms: dict[str, Room] = {name: Room(epoch) for name, epoch in (epochs or {}).items()}
        self.refuses: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []

    def room(self, name: str) -> Room:
        return self.rooms.setdefault(name, Room(uuid.uuid4().hex[:8]))

    def hear(self, visitor: Visitor, text: str) -> tuple[list[str], tuple[int, str] | None]:
        """Return the lines that answer a message, and the close that follows it, if one does."""
        lines: list[str] = []
        for command in map(json.loads, text.split("\n")):
            if not command:
                visitor.unanswered_pings = 0
                continue
            self.asked.append(command)
            number = command.pop("id")
            ((name, fields),) = command.items()
            known = getattr(self, f"_{name}", None)
            if known is None or (name != "connect" and not visitor.is_connected):
                return lines, BAD_REQUEST
            answer = {"error": self.refuses[name]} if name in self.refuses else None
            answer = answer or known(visitor, fields, lines)
            lines.append(json.dumps({"id": number, **answer}))
        return lines, None

    def publish(self, channel: str, data: Any, visitor: Visitor | None = None) -> dict[str, Any]:
        """Store a message, and return its publication."""
        room = self.room(channel)
        publication: dict[str, Any] = {"data": data}
        if visitor is not None:
            publication["info"] = {"user": "anon", "client": visitor.id}
        if self.keeps:
            room.top += 1
            room.epoch = room.epoch or uuid.uuid4().hex[:8]
            publication["offset"] = room.top
            room.kept.append(publication)
            while len(room.kept) > self.keeps:
                room.kept.popleft()
        return publication

    def push(self, channel: str, publication: dict[str, Any]) -> str:
        """Return the push of a publication; only a room's very first one tells the epoch."""
        if publication.get("offset") == 1:
            publication = {**publication, "epoch": self.room(channel).epoch}
        return json.dumps({"push": {"channel": channel, "pub": publication}})

    def tell(self, channel: str, publication: dict[str, Any], but: Visitor | None) -> None:
        """Tell the others; here they are nobody."""

    def _connect(self, visitor: Visitor, fields: Any, lines: list[str]) -> dict[str, Any]:
        visitor.is_connected = True
        return {"connect": {"client": visitor.id, "ping": 25, "pong": True}}

    def _subscribe(self, visitor: Visitor, fields: Any, lines: list[str]) -> dict[str, Any]:
        channel = fields["channel"]
        if channel in visitor.channels:
            return {"error": ALREADY_SUBSCRIBED}
        visitor.channels.add(channel)
        return {"subscribe": self._subscribed(self.room(channel), fields) if self.keeps else {}}

    def _subscribed(self, room: Room, fields: Any) -> dict[str, Any]:
        asked, offset = fields.get("offset", 0), room.top
        result: dict[str, Any] = {"recoverable": True, "positioned": True}
        if room.epoch:
            result["epoch"] = room.epoch
        if fields.get("recover"):
            result["was_recovering"] = True
            missed = [each for each in room.kept if each["offset"] > asked]
            follows = missed[0]["offset"] == asked + 1 if missed else room.top == asked
            if follows and fields.get("epoch", "") in {"", room.epoch}:
                result |= {"recovered": True, "publications": missed}
                offset = asked
        return {name: value for name, value in (*result.items(), ("offset", offset)) if value}

    def _unsubscribe(self, visitor: Visitor, fields: Any, lines: list[str]) -> dict[str, Any]:
        visitor.channels.discard(fields["channel"])
        return {"unsubscribe": {}}

    def _publish(self, visitor: Visitor, fields: Any, lines: list[str]) -> dict[str, Any]:
        channel = fields["channel"]
        publication = self.publish(channel, fields["data"], visitor)
        if channel in visitor.channels:  # what the sender itself is told is in the same message
            lines.append(self.push(channel, publication))
        self.tell(channel, publication, but=visitor)
        return {"publish": {}}

    def _not_available(self, visitor: Visitor, fields: Any, lines: list[str]) -> dict[str, Any]:
        return {"error": NOT_AVAILABLE}

    _history = _presence = _rpc = _not_available


class Centrifugo(GreetingServer, Engine):
    """A stock Centrifugo, as a transport; it is restarted with what its engine keeps."""

    def __init__(self, keeps: int = 100, epochs: dict[str, str] | None = None) -> None:
        GreetingServer.__init__(self)
        Engine.__init__(self, keeps, epochs)
        self.visitors: dict[Any, Visitor] = {}

    def greet(self, peer) -> None:
        visitor = Visitor()
        self.visitors[peer] = visitor

        def hear(text: str) -> None:
            lines, close = self.hear(visitor, text)
            if lines:
                peer.send("\n".join(lines))
            if close is not None:
                peer.close(*close)

        peer.on_message = hear

    def say(self, channel: str, *data: Any) -> None:
        """Store messages and tell them, all in one text."""
        publications = [self.publish(channel, each) for each in data]
        self.tell(channel, *publications)

    def tell(self, channel: str, *publications: dict[str, Any], but: Visitor | None = None) -> None:
        text = "\n".join(self.push(channel, each) for each in publications)
        for peer in self.open_connections:
            visitor = self.visitors[peer]
            if visitor is not but and channel in visitor.channels:
                peer.send(text)

    def ping(self) -> None:
        """Ping everybody; who does not answer in time is closed."""
        for peer in self.open_connections:
            self.visitors[peer].unanswered_pings += 1
            peer.send("{}")
            asyncio.get_running_loop().call_later(PONG_SECONDS, self._judge, peer)

    def _judge(self, peer) -> None:
        if peer.is_open and self.visitors[peer].unanswered_pings:
            peer.close(*NO_PONG)


class Recorded(GreetingServer):
    """Play one recorded story: say what the server said, as soon as what it answers was asked.

    Commands of the recorded client that sockstore never sends (history, presence...) end the story.
    """

    def __init__(self, story: str) -> None:
        super().__init__()
        self._steps = deque(_steps(story))
        self._numbers: dict[int, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether all of the story that sockstore takes part in was played."""
        return not self._steps

    def greet(self, peer) -> None:
        peer.on_message = self._hear

    def _hear(self, text: str) -> None:
        for command in map(json.loads, text.split("\n")):
            if not command:
                continue
            who, recorded = self._steps.popleft()
            assert who == "client", f"the recorded client said nothing here, and not {command}"
            assert what_matters(command) == what_matters(recorded)
            self._numbers[recorded["id"]] = command["id"]
            while self._steps and self._steps[0][0] == "server":
                self.connection.send(self._renumbered(self._steps.popleft()[1]))

    def _renumbered(self, text: str) -> str:
        frames = [json.loads(line) for line in text.split("\n")]
        for frame in frames:
            if "id" in frame:
                frame["id"] = self._numbers[frame["id"]]
        return "\n".join(map(json.dumps, frames))


def what_matters(command: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what a command asks for, without its number and what names a client."""
    ((name, fields),) = ((key, value) for key, value in command.items() if key != "id")
    return name, {} if name == "connect" else fields


def _steps(story: str) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    channels: set[str] = set()
    for frame in STORIES[story]:
        if "server" in frame:
            steps.append(("server", frame["server"]))
            continue
        for command in map(json.loads, frame.get("client", "{}").split("\n")):
            name, fields = what_matters(command)
            is_again = name == "subscribe" and fields["channel"] in channels
            if is_again or name not in {"connect", "subscribe", "publish"}:
                return steps
            channels.add(fields.get("channel"))
            steps.append(("client", command))
    return steps


@asynccontextmanager
async def joined(
    server: Any, channel: str = "r", since: Position | None = None, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """Connect to a fake server, and subscribe to a room, until the block ends."""
    async with (
        connect(server, **options) as connection,
        connection.subscribe(channel, since=since) as room,
    ):
        yield connection, room


async def items_of(stream: Any, count: int) -> list[Any]:
    """Return the numbers of the next messages of a stream, and the gaps between them."""
    items = await data_of(stream, count)
    return [each["n"] if isinstance(each, dict) else each for each in items]
