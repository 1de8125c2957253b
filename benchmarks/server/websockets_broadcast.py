"""Broadcast with the library `websockets`: its own server and its own function for it."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from websockets.asyncio.server import ServerConnection, broadcast, serve

connections: set[ServerConnection] = set()


async def chat(connection: ServerConnection) -> None:
    """Send each client's messages to all clients."""
    connections.add(connection)
    try:
        async for message in connection:
            broadcast(connections, message)
    finally:
        connections.remove(connection)


async def main() -> None:
    """Serve until it is terminated."""
    loop = asyncio.get_running_loop()
    terminated = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, terminated.set_result, None)
    async with serve(chat, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}/chat/ROOM", flush=True)
        await terminated


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
