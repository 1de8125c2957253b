"""JSON-RPC 2.0 both ways: call the other side, and serve its calls.

`JsonRpc` finds the results of calls, and answers what the server calls on the connection that it
called on, and on no other: a late answer never reaches a server that did not ask.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sockstore import WebSocketStore
from sockstore.protocols import JsonRpc

Methods = Mapping[str, Callable[..., object]]


# core
class Peer:
    """Calls the other side, and serves its calls."""

    def __init__(self, url: str, methods: Methods, **options: Any) -> None:
        self.link = WebSocketStore(url, protocol=JsonRpc(), **options)
        for name, method in methods.items():
            self.link.handle(name, method)

    async def call(self, method: str, *params: object) -> Any:
        return await self.link.request({"method": method, "params": list(params)})

    def notify(self, method: str, *params: object) -> None:
        self.link.send({"jsonrpc": "2.0", "method": method, "params": list(params)})  #!


# end


async def confirm(what: list[str]) -> str:
    return f"yes to {what[0]}"


async def main(url: str) -> None:
    peer = Peer(url, {"confirm": confirm})
    async with peer.link:
        print(await peer.call("add", 1, 2))
        print(await peer.call("ask_me", "delete"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
