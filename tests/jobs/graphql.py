"""A server of GraphQL over a WebSocket, after the protocol of graphql-ws."""

from __future__ import annotations

import asyncio
import itertools

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["GraphQLServer"]


class GraphQLServer(JobServer):
    """A server of the subprotocol graphql-transport-ws, with its close codes.

    A query with "three" has three results, one with "bad" an error, any other has results without
    end, one in each `every` seconds.

    Args:
        tokens: The tokens that are let in.
        every: Seconds between two results.

    Attributes:
        running: The ids of the operations that run now, on all connections.
        pongs: How many answers to its pings came.
    """

    def __init__(self, tokens: tuple[str, ...] = ("secret",), *, every: float = 0.02) -> None:
        super().__init__()
        self.tokens = set(tokens)
        self.running: list[str] = []
        self.pongs = 0
        self._every = every

    async def converse(self, client: FakeClient) -> None:
        if "graphql-transport-ws" not in client.subprotocols:
            client.accept()
            client.close(4406, "Subprotocol not acceptable")
            return
        client.accept("graphql-transport-ws")
        if not await self._let_in(client):
            return
        operations: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                message = await self.receive(client)
                match message["type"]:
                    case "connection_init":
                        client.close(4429, "Too many initialisation requests")
                        return
                    case "ping":
                        await client.send({"type": "pong"})
                    case "pong":
                        self.pongs += 1
                    case "subscribe":
                        key = message["id"]
                        if key in operations:
                            client.close(4409, f"Subscriber for {key} already exists")
                            return
                        run = self._run(client, key, message["payload"]["query"], operations)
                        operations[key] = tasks.create_task(run)
                    case "complete":
                        if (task := operations.pop(message["id"], None)) is not None:
                            task.cancel()
                    case other:
                        client.close(4400, f"Unexpected message of type {other!r} received")
                        return

    async def _let_in(self, client: FakeClient) -> bool:
        try:
            async with asyncio.timeout(3):
                message = await self.receive(client)
        except TimeoutError:
            client.close(4408, "Connection initialisation timeout")
            return False
        if message["type"] != "connection_init":
            client.close(4401, "Unauthorized")
            return False
        if (message.get("payload") or {}).get("token") not in self.tokens:
            client.close(4403, "Forbidden")
            return False
        # The first ping is in the same read as the acknowledgement.
        client.send({"type": "connection_ack"}, {"type": "ping"})
        return True

    async def _run(
        self, client: FakeClient, key: str, query: str, operations: dict[str, asyncio.Task[None]]
    ) -> None:
        self.running.append(key)
        try:
            if "bad" in query:
                error = {"message": "Syntax Error: Unexpected Name"}
                client.send({"id": key, "type": "error", "payload": [error]})
                return
            for number in range(3) if "three" in query else itertools.count():
                payload = {"data": {"n": number, "q": query}}
                await client.send({"id": key, "type": "next", "payload": payload})
                await asyncio.sleep(self._every)
            client.send({"id": key, "type": "complete"})
        finally:
            self.running.remove(key)
            operations.pop(key, None)
