"""A fake server that speaks the plain JSON of PROTOCOL.md, for one room with pages."""

from __future__ import annotations

import json
from typing import Any

from greeting_server import GreetingServer


class HistoryServer(GreetingServer):
    """Gives the history on entry and pages; tests look at what was asked, and make it misbehave."""

    def __init__(self, *script: Any, said: int = 0, shown: int = 100, keep: int = 10_000) -> None:
        super().__init__(*script)
        self.top = 0
        self.shown = shown
        self.keep = keep
        self.log = "m"
        self.asked: list[int] = []
        self.is_mute = False
        self.is_broken = False
        self.can_page = True
        self.say(said)

    def greet(self, peer: Any) -> None:
        peer.on_message = lambda frame: self.hear(peer, frame)
        peer.send(json.dumps(self.frame(max(1, self.top + 1 - self.shown), self.top + 1)))

    def say(self, count: int = 1) -> None:
        """Let somebody say something, and tell it to who is there."""
        for _ in range(count):
            self.top += 1
            for peer in self.open_connections:
                peer.send(json.dumps(self.message(self.top)))

    def message(self, offset: int) -> dict[str, Any]:
        return {
            "type": "message",
            "sender": "Ann",
            "content": f"message {offset}",
            "timestamp": "2026-03-01T12:00:00.000Z",
            "id": f"{self.log}{offset}",
            "offset": offset,
        }

    def frame(self, start: int, end: int, **fields: Any) -> dict[str, Any]:
        first = max(1, self.top + 1 - self.keep)
        start = max(start, first)
        more = {"more": start > first} if self.can_page else {}
        messages = [self.message(offset) for offset in range(start, end)]
        return {"type": "history", **fields, "messages": messages, **more}

    def hear(self, peer: Any, frame: str) -> None:
        said = json.loads(frame)
        if said.get("type") != "history":
            return
        before = said["before"]
        self.asked.append(before)
        if self.is_mute:
            return
        if self.is_broken:
            error = {"type": "error", "code": "history_unavailable", "message": "It is broken."}
            peer.send(json.dumps(error))
            return
        end = min(before, self.top + 1)
        peer.send(json.dumps(self.frame(end - said.get("limit", 100), end, before=before)))

    def drop_all(self) -> None:
        """Break the connections, and tell nobody."""
        for peer in list(self.open_connections):
            peer.drop()
