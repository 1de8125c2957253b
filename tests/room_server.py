"""A fake server that speaks section 6 of PROTOCOL.md for any rooms, and what its tests share."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from greeting_server import GreetingServer
from sockstore import Reconnect, WebSocketStore
from sockstore.protocols import Centrifuge

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)


@dataclass
class Room:
    """What the server keeps of a room; tests change it to make the server misbehave."""

    epoch: str = "e1"
    log: list[dict[str, Any]] = field(default_factory=list)
    first: int = 1

    def granted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to ``subscribe``."""
        log = self.log
        answer = {"epoch": self.epoch, "offset": len(log), "recoverable": True}
        last = {"last": log[-1]["tags"]["id"]} if log else {}
        if not asked.get("recover"):
            return answer | {"data": last}
        answer["was_recovering"] = True
        offset = asked["offset"]
        is_same = asked["epoch"] in {"", self.epoch}
        seen = asked.get("data", {}).get("last")
        is_known = (
            not offset
            or seen is None
            or (offset <= len(log) and log[offset - 1]["tags"]["id"] == seen)
        )
        if is_same and is_known and offset + 1 >= self.first:
            # What is asked from comes back as the offset; the publications carry the rest.
            missed = log[offset:]
            answer |= {"recovered": True, "offset": offset, "publications": missed}
            return answer if missed else answer | {"data": last}
        if is_same and not is_known:
            return answer | {"data": {**last, "reason": "forked"}}
        return answer | {
            "data": {"reason": "trimmed" if is_same else "epoch"},
            "publications": log[self.first - 1 :],
        }


class RoomServer(GreetingServer):
    """Answers commands; tests look at what was asked, and make it misbehave.

    Attributes:
        rooms: The rooms, by name.
        asked: Every command so far, pongs included.
        inside: The rooms that each connection is subscribed to.
        is_mute: Whether no command is answered.
        mute_rooms: Rooms whose commands are not answered.
        is_stock: Whether it is a Centrifugo that knows no ``send``.
        connects: What else the reply to ``connect`` has.
        refuses: ``refuses(name, fields)`` is the reply to a command, or None for the usual one.
    """

    def __init__(self, *script, limits=None):
        super().__init__(*script)
        self.rooms: dict[str, Room] = {}
        self.asked: list[dict[str, Any]] = []
        self.inside: dict[Any, set[str]] = {}
        self.limits = {"rate": 1000, "burst": 1000, "max_message_bytes": 65536, "remembers": 3600}
        self.limits |= limits or {}
        self.connects: dict[str, Any] = {}
        self.is_stock = False
        self.is_mute = False
        self.mute_rooms: set[str] = set()
        self.refuses = lambda name, fields: None

    def room(self, name: str = "room") -> Room:
        return self.rooms.setdefault(name, Room())

    def commands(self, name: str, channel: str | None = None) -> list[dict[str, Any]]:
        """Return the fields of all commands of that name, of one room or of all."""
        fields = [each[name] for each in self.asked if name in each]
        return [each for each in fields if channel in {None, channel_of(each)}]

    @property
    def sent(self) -> list[Any]:
        """What was sent to rooms so far, each time that it was."""
        said = [each["data"] for each in self.commands("rpc")] + self.commands("publish")
        return [each["data"] for each in said]

    # What a client says

    def greet(self, peer):
        self.inside[peer] = set()
        peer.on_message = lambda frame: self.hear(peer, frame)

    def hear(self, peer, frame):
        commands = [json.loads(line) for line in frame.split("\n")]
        self.asked += commands
        replies = [reply for each in commands if each and (reply := self.answer(peer, each))]
        if replies:
            peer.send("\n".join(map(json.dumps, replies)))

    def answer(self, peer, command):
        number = command["id"]
        (name,) = set(command) - {"id"}
        fields = command[name]
        if self.is_mute or channel_of(fields) in self.mute_rooms:
            return None
        refusal = self.refuses(name, fields)
        if refusal is not None:
            return {"id": number, **refusal}
        return {"id": number, **getattr(self, f"answer_{name}")(peer, fields)}

    def answer_connect(self, peer, fields):
        data = {} if self.is_stock else {"data": {"sockstore": self.limits}}
        return {"connect": {"client": "c", **data, **self.connects}}

    def answer_subscribe(self, peer, fields):
        channel = fields["channel"]
        if channel in self.inside[peer]:
            return {"error": {"code": 105, "message": "already subscribed"}}
        self.inside[peer].add(channel)
        return {"subscribe": self.room(channel).granted(fields)}

    def answer_unsubscribe(self, peer, fields):
        self.inside[peer].discard(fields["channel"])
        return {"unsubscribe": {}}

    def answer_rpc(self, peer, fields):
        message = fields["data"]
        room, data = self.room(message["channel"]), message["data"]
        offsets = [each["offset"] for each in room.log if each["tags"]["id"] == message["id"]]
        is_known = bool(offsets)
        if not is_known:
            offsets = [self.store(message["channel"], data, message["id"])]
        stored = {"offset": offsets[0], "epoch": room.epoch, "duplicate": is_known}
        return {"rpc": {"data": stored}}

    def answer_publish(self, peer, fields):
        self.store(fields["channel"], fields["data"])
        return {"publish": {}}

    def answer_refresh(self, peer, fields):
        return {"refresh": {"client": "c"}}

    def answer_sub_refresh(self, peer, fields):
        return {"sub_refresh": {}}

    # What it says

    def store(self, channel: str, data: Any, message_id: str | None = None) -> int:
        """Store a message without telling anybody; return its offset."""
        log = self.room(channel).log
        offset = len(log) + 1
        tags = {"id": message_id or f"id-{offset}"}
        log.append({"offset": offset, "data": data, "info": {"user": "Ann"}, "tags": tags})
        return offset

    def say(self, channel: str, *data: Any) -> None:
        """Store messages, and tell each to those who are in the room."""
        for each in data:
            self.store(channel, each)
            self.tell(channel, self.room(channel).log[-1])

    def tell(self, channel: str, publication: dict[str, Any]) -> None:
        """Tell a publication to those who are in the room."""
        self.push(channel, pub=publication)

    def end(self, channel: str, code: int, reason: str = "") -> None:
        """End a subscription of everybody."""
        self.push(channel, unsubscribe={"code": code, "reason": reason})
        for inside in self.inside.values():
            inside.discard(channel)

    def push(self, channel: str, **what: Any) -> None:
        """Push something to those who are in the room."""
        for peer in self.open_connections:
            if channel in self.inside[peer]:
                peer.send(json.dumps({"push": {"channel": channel, **what}}))

    def say_frames(self, *frames: dict[str, Any]) -> None:
        """Say frames on the newest connection, in one text."""
        self.connection.send("\n".join(map(json.dumps, frames)))


def channel_of(fields: dict[str, Any]) -> str | None:
    """Return the room that a command is about; None for a command of the connection."""
    inner = fields.get("data")
    return fields.get("channel") or (inner.get("channel") if isinstance(inner, dict) else None)


def connect(server, *, token=None, **options) -> WebSocketStore:
    """Return a connection of rooms to a fake server."""
    options = {"reconnect": EVERY_SECOND, "protocol": Centrifuge(token=token), **options}
    return WebSocketStore("ws://fake", transport=server, **options)


async def data_of(stream, count: int) -> list[Any]:
    """Return the data of the next items of a stream, gaps among them."""
    async with asyncio.timeout(1000):
        return [(await anext(stream)).data for _ in range(count)]


async def lost(connection) -> None:
    """Wait until the connection is lost."""
    await connection.state.wait_for(lambda state: state.phase == "waiting")


async def back_again(connection, *rooms) -> None:
    """Wait until the connection is lost, and these rooms are subscribed to again."""
    await lost(connection)
    await connection.ready(1000)
    for room in rooms:
        await room.ready(1000)


async def heard(server, count: int = 1) -> None:
    """Wait until so many messages came on the newest connection."""
    async with asyncio.timeout(1000):
        while not server.connections or len(server.connection.received) < count:
            await asyncio.sleep(0)
