"""A fake server that converses in JSON, and keeps what it was asked."""

from __future__ import annotations

import json
from typing import Any

from sockstore.testing import FakeClient, FakeServer

__all__ = ["JobServer"]


class JobServer(FakeServer):
    """A server whose `converse` serves every client.

    Attributes:
        asked: The JSON objects that arrived on all connections, oldest first.
    """

    def __init__(self) -> None:
        super().__init__(self._serve)
        self.asked: list[Any] = []

    async def converse(self, client: FakeClient) -> None:
        """Serve one client."""
        raise NotImplementedError

    async def _serve(self, client: FakeClient) -> None:
        await self.converse(client)

    async def receive(self, client: FakeClient) -> Any:
        """Return the next object of a client."""
        data = json.loads(await client.receive())
        self.asked.append(data)
        return data
