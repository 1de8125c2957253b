"""Rooms of a Centrifugo-like server: one connection has several, each with a log of its own."""

from __future__ import annotations

import json
from typing import Any

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["RoomsServer"]


class RoomsServer(JobServer):
    """Rooms with positions; it is strict about numbers, and about what comes before `connect`.

    Args:
        most: Rooms of one connection; one above is refused.
        keeps: Messages that each room keeps.

    Attributes:
        logs: The messages of each room, those that are not kept any more included.
        epochs: The log that a room's offsets belong to.
        members: The rooms of each connection.
        refusals: Errors to answer the commands of a room with, by the command's name and the room.
    """

    def __init__(self, most: int = 100, keeps: int = 100) -> None:
        super().__init__()
        self.most = most
        self.keeps = keeps
        self.logs: dict[str, list[Any]] = {}
        self.epochs: dict[str, str] = {}
        self.members: dict[FakeClient, set[str]] = {}
        self.refusals: dict[tuple[str, str], dict[str, Any]] = {}

    async def converse(self, client: FakeClient) -> None:
        rooms: set[str] = set()
        number = 0
        while True:
            for line in str(await client.receive()).split("\n"):
                command = json.loads(line)
                if not command:
                    continue  # a pong
                self.asked.append(command)
                if command["id"] <= number or (client in self.members) == ("connect" in command):
                    client.close(3501, "bad request")
                    return
                number = command.pop("id")
                ((name, fields),) = command.items()
                if name == "connect":
                    self.members[client] = rooms
                client.send({"id": number, **self._reply(name, fields, rooms)})

    def _reply(self, name: str, fields: dict[str, Any], rooms: set[str]) -> dict[str, Any]:
        room = fields.get("channel", "")
        if (refusal := self.refusals.get((name, room))) is not None:
            return {"error": refusal}
        match name:
            case "connect":
                return {name: {"client": "c", "ping": 25, "pong": True}}
            case "subscribe" if len(rooms) >= self.most:
                return {"error": {"code": 106, "message": "limit exceeded"}}
            case "subscribe":
                rooms.add(room)
                return {name: self._granted(room, fields)}
            case "unsubscribe":
                rooms.discard(room)
                return {name: {}}
            case "publish":
                self.say(room, fields["data"])
                return {name: {}}
            case _:
                return {"error": {"code": 104, "message": "method not found"}}

    def _granted(self, room: str, asked: dict[str, Any]) -> dict[str, Any]:
        log, epoch = self.logs.setdefault(room, []), self.epochs.get(room, "e")
        result = {"recoverable": True, "positioned": True, "epoch": epoch, "offset": len(log)}
        if not asked.get("recover"):
            return result
        result["was_recovering"] = True
        offset = asked["offset"]
        if asked["epoch"] not in {"", epoch} or offset < len(log) - self.keeps:
            return result
        missed = [{"offset": n, "data": log[n - 1]} for n in range(offset + 1, len(log) + 1)]
        return {**result, "recovered": True, "offset": offset, "publications": missed}

    def store(self, room: str, data: Any) -> dict[str, Any]:
        """Store a message, and tell nobody; return its publication."""
        log = self.logs.setdefault(room, [])
        log.append(data)
        return {"offset": len(log), "data": data}

    def say(self, room: str, data: Any) -> None:
        """Store a message, and tell it to those who are in the room."""
        publication = self.store(room, data)
        self.push(room, {"pub": publication})

    def push(self, room: str, what: dict[str, Any]) -> None:
        """Tell something to those who are in a room."""
        for client in self.connections:
            if client.is_open and room in self.members.get(client, ()):
                client.send({"push": {"channel": room, **what}})

    def end(self, room: str, code: int, reason: str) -> None:
        """End the subscriptions of a room."""
        self.push(room, {"unsubscribe": {"code": code, "reason": reason}})
        for rooms in self.members.values():
            rooms.discard(room)
