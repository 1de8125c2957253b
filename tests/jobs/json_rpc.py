"""A peer of JSON-RPC 2.0, both ways."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["RpcServer"]


class RpcServer(JobServer):
    """A peer of JSON-RPC 2.0 that is called, and calls.

    `ask_me` calls the client's `confirm` before it answers, `unknown_at_client` a method that the
    client should not have; both answer with what came back. Anything else adds its parameters.
    """

    async def converse(self, client: FakeClient) -> None:
        calls = _Calls(client)
        async with asyncio.TaskGroup() as tasks:
            while True:
                message = await self.receive(client)
                for each in message if isinstance(message, list) else [message]:
                    if "method" not in each:
                        calls.answered(each)
                    elif "id" in each:
                        tasks.create_task(self._answer_to(client, each, calls))

    async def _answer_to(self, client: FakeClient, asked: dict[str, Any], calls: _Calls) -> None:
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        match asked["method"]:
            case "ask_me":
                given = await calls.call("confirm", {"what": asked["params"]})
                client.send(answer | {"result": given.get("result", given.get("error"))})
            case "unknown_at_client":
                given = await calls.call("nothing", {})
                client.send(answer | {"result": given["error"]["code"]})
            case _:
                client.send(answer | {"result": sum(asked["params"])})


class _Calls:
    """The calls of the server to one client that are not answered yet."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    async def call(self, method: str, params: Any) -> dict[str, Any]:
        """Call a method of the client; return the answer."""
        key = next(self._numbers)
        self._waiting[key] = asyncio.get_running_loop().create_future()
        self._client.send({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
        async with asyncio.timeout(5):
            return await self._waiting[key]

    def answered(self, answer: dict[str, Any]) -> None:
        """The client answered; what nobody asked for is an error of the client."""
        self._waiting.pop(answer["id"]).set_result(answer)
