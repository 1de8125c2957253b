"""A fake server that does something with each connection that it accepts."""

from __future__ import annotations

from typing import Any

from sockstore.testing import FakeServer
from sockstore.transports.memory import MemoryPeer


class GreetingServer(FakeServer):
    """Calls `greet` with each connection, right after its handshake was answered."""

    def _accept(self, step: Any) -> None:
        super()._accept(step)
        self.greet(self.connection)

    def greet(self, peer: MemoryPeer) -> None:
        """Send what this server says first, and listen."""
        raise NotImplementedError
