"""A fake server of any number of rooms, which speaks section 6 of PROTOCOL.md."""

from __future__ import annotations

import json
from typing import Any

from greeting_server import GreetingServer

MOST = 100
"""Messages of one page of the history."""


class RoomsServer(GreetingServer):
    """Rooms with history, members and receipts; tests look at what was asked, and make it refuse.

    Args:
        said: How many messages of Bob's each room has at first.
        keep: How many messages each room keeps.
        burst: How many messages one client may send at once.

    Attributes:
        is_waiting: Whether messages are not answered until `take_all`.
    """

    def __init__(
        self,
        *script: Any,
        said: int = 0,
        keep: int = 10_000,
        burst: int = 1000,
    ) -> None:
        super().__init__(*script)
        self.keep = keep
        self.burst = burst
        self.is_waiting = False
        self._held: list[tuple[Any, dict[str, Any]]] = []
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.refuses: dict[str, dict[str, Any]] = {}
        self.epoch = "e1"
        self.user = "Ann"
        self._said = said
        self._members: dict[str, dict[str, str]] = {}
        self._rooms: dict[int, set[str]] = {}

    def greet(self, peer: Any) -> None:
        peer.on_message = lambda frame: self._hear(peer, frame)

    # What a test does

    def log(self, room: str) -> list[dict[str, Any]]:
        """Everything that was ever said in a room."""
        if room not in self.logs:
            self.logs[room] = []
            for number in range(1, self._said + 1):
                self.store(room, f"message {number}", "Bob")
        return self.logs[room]

    def store(
        self, room: str, content: Any, sender: str, message_id: str | None = None
    ) -> dict[str, Any]:
        """Store a message without telling anybody."""
        log = self.log(room)
        data = content if isinstance(content, dict) else {"content": content, "timestamp": None}
        publication = {
            "offset": len(log) + 1,
            "data": data,
            "info": {"user": sender, "client": ""},
            "tags": {"id": message_id or f"{room}-{self.epoch}-{len(log) + 1}"},
        }
        log.append(publication)
        return publication

    def say(
        self, room: str, content: Any, sender: str = "Bob", message_id: str | None = None
    ) -> None:
        """Store a message, and tell everybody in the room."""
        self._tell(room, {"pub": self.store(room, content, sender, message_id)})

    def take_all(self) -> None:
        """Answer what was held back, and hold nothing back any more."""
        self.is_waiting = False
        held, self._held = self._held, []
        for peer, command in held:
            self._take(peer, command)

    def repeat_the_last(self, room: str, sender: str) -> None:
        """Somebody sends what was said last, with another id."""
        self.say(room, self.log(room)[-1]["data"], sender)

    def keep_only(self, count: int) -> None:
        """Keep only so many messages of each room from now on."""
        self.keep = count

    def come(self, room: str, client: str, user: str) -> None:
        """Somebody enters a room."""
        self._members.setdefault(room, {})[client] = user
        self._tell(room, {"join": {"info": {"client": client, "user": user}}})

    def go(self, room: str, client: str) -> None:
        """Somebody leaves it."""
        user = self._members[room].pop(client)
        self._tell(room, {"leave": {"info": {"client": client, "user": user}}})

    def commands(self, name: str) -> list[dict[str, Any]]:
        """The fields of all commands of a name so far."""
        return [each[name] for each in self.asked if name in each]

    # The protocol

    def _tell(self, room: str, what: dict[str, Any]) -> None:
        for peer in self.open_connections:
            if room in self._rooms.get(id(peer), ()):
                peer.send(json.dumps({"push": {"channel": room, **what}}))

    def _hear(self, peer: Any, frame: str) -> None:
        for command in map(json.loads, filter(None, frame.split("\n"))):
            self.asked.append(command)
            if self.is_waiting and "rpc" in command:
                self._held.append((peer, command))
            elif len(command) > 1:  # the rest are pongs
                self._take(peer, command)

    def _take(self, peer: Any, command: dict[str, Any]) -> None:
        (name,) = set(command) - {"id"}
        refusal = self.refuses.get(name) or self.refuses.get(command[name].get("channel", ""))
        answer = refusal or {name: getattr(self, f"_{name}")(peer, command[name])}
        peer.send(json.dumps({"id": command["id"], **answer}))

    def _connect(self, peer: Any, _: Any) -> dict[str, Any]:
        self._rooms[id(peer)] = set()
        limits = {"rate": 1000, "burst": self.burst, "max_message_bytes": 65536, "remembers": 3600}
        return {"client": "me", "data": {"sockstore": limits}}

    def _subscribe(self, peer: Any, asked: dict[str, Any]) -> dict[str, Any]:
        room = asked["channel"]
        log = self.log(room)
        self._rooms[id(peer)].add(room)
        self._members.setdefault(room, {})["me"] = self.user
        answer = {"epoch": self.epoch, "offset": len(log), "recoverable": True, "positioned": True}
        if asked.get("recover"):
            answer["was_recovering"] = True
            if asked["epoch"] == self.epoch and asked["offset"] >= len(log) - self.keep:
                missed = log[asked["offset"] :]
                answer |= {"recovered": True, "offset": asked["offset"], "publications": missed}
        return answer

    def _unsubscribe(self, peer: Any, asked: dict[str, Any]) -> dict[str, Any]:
        self._rooms[id(peer)].discard(asked["channel"])
        return {}

    def _rpc(self, _: Any, asked: dict[str, Any]) -> dict[str, Any]:
        said = asked["data"]
        self.say(said["channel"], said["data"], self.user, said["id"])
        place = {"offset": len(self.log(said["channel"])), "epoch": self.epoch}
        return {"data": {**place, "duplicate": False}}

    def _history(self, _: Any, asked: dict[str, Any]) -> dict[str, Any]:
        log = self.log(asked["channel"])
        kept = log[-self.keep :]
        since = asked.get("since")
        if asked.get("reverse"):
            older = [each for each in kept if since is None or each["offset"] < since["offset"]]
            found = older[::-1]
        else:
            found = [each for each in kept if since is None or each["offset"] > since["offset"]]
        limit = min(asked.get("limit", 0) % (MOST + 1), MOST)
        return {"publications": found[:limit], "epoch": self.epoch, "offset": len(log)}

    def _presence(self, _: Any, asked: dict[str, Any]) -> dict[str, Any]:
        members = self._members.get(asked["channel"], {})
        named = {client: {"client": client, "user": user} for client, user in members.items()}
        return {"presence": named}
