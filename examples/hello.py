"""Say hello, and print every message of the server, also after it restarts."""

import asyncio
import sys

from sockstore import WebSocketStore


async def hello(url: str) -> None:
    async with WebSocketStore(url) as connection:
        connection.send("Hello world!")
        async for message in connection.stream():
            print(message.data)


if __name__ == "__main__":
    asyncio.run(hello(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
