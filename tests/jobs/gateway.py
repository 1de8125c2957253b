"""A gateway of Discord's kind."""

from __future__ import annotations

import asyncio
from typing import Any

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["DiscordGateway"]


class DiscordGateway(JobServer):
    """A gateway: its url is asked for, it says the pace of heartbeats, and sessions are resumed.

    A client whose heartbeats stay away for longer than the pace allows is closed with 4009.

    Args:
        beat: Seconds between two heartbeats.

    Attributes:
        sessions: The sessions that may be resumed.
        asked_for_url: How often `find_url` was called.
        beats: How many heartbeats came.
        acknowledges: Whether heartbeats are answered.
        sent: Every dispatch so far, for those who resume.
    """

    URL = "ws://gateway.example"

    def __init__(self, beat: float = 0.1) -> None:
        super().__init__()
        self.sessions: set[str] = set()
        self.asked_for_url = self.beats = 0
        self.acknowledges = True
        self.sent: list[dict[str, Any]] = []
        self._beat = beat
        self._identified: set[FakeClient] = set()

    async def find_url(self) -> dict[str, str]:
        """Answer the HTTP request for the url."""
        self.asked_for_url += 1
        return {"url": self.URL}

    def store(self, data: Any) -> None:
        """Let something happen that nobody is told about."""
        self._dispatch("MESSAGE_CREATE", data)

    def tell(self, data: Any) -> None:
        """Let something happen, and tell all who are identified."""
        frame = self._dispatch("MESSAGE_CREATE", data)
        for client in self.open_connections:
            if client in self._identified:
                client.send(frame)

    def ask_to_reconnect(self) -> None:
        """Ask all clients to come back with a new connection (op 7)."""
        for client in self.open_connections:
            client.send({"op": 7, "d": None})

    async def converse(self, client: FakeClient) -> None:
        client.send({"op": 10, "d": {"heartbeat_interval": self._beat * 1000}})
        while True:
            try:
                async with asyncio.timeout(3 * self._beat):
                    words = await self.receive(client)
            except TimeoutError:
                client.close(4009, "Session timed out")
                return
            match words["op"]:
                case 1:
                    self.beats += 1
                    if self.acknowledges:
                        client.send({"op": 11})
                case 2 if words["d"]["token"] != "secret":
                    client.close(4004, "Authentication failed")
                    return
                case 2 if client in self._identified:
                    client.close(4005, "Already authenticated")
                    return
                case 2:
                    self._begin_session(client)
                case 6:
                    self._resume_session(client, words["d"])
                case _ if client not in self._identified:
                    client.close(4003, "Not authenticated")
                    return
                case _:
                    client.close(4001, "Unknown opcode")
                    return

    def _begin_session(self, client: FakeClient) -> None:
        session = f"session {len(self.handshakes)}"
        self.sessions.add(session)
        self._identified.add(client)
        data = {"session_id": session, "resume_gateway_url": self.URL}
        client.send(self._dispatch("READY", data))

    def _resume_session(self, client: FakeClient, asked: dict[str, Any]) -> None:
        if asked["session_id"] not in self.sessions:
            client.send({"op": 9, "d": False})
            return
        missed = [frame for frame in self.sent if frame["s"] > asked["seq"]]
        self._identified.add(client)
        client.send(*missed, self._dispatch("RESUMED", {}))

    def _dispatch(self, kind: str, data: Any) -> dict[str, Any]:
        self.sent.append({"op": 0, "s": len(self.sent) + 1, "t": kind, "d": data})
        return self.sent[-1]
