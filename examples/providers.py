"""Two connections for two parts of a program; any function inside finds them by name."""

import asyncio
import sys

from sockstore import WebSocketProvider, use_websocket


async def report() -> None:
    connection = use_websocket("prices")  # without an argument that is passed down
    connection.send({"price": 42})
    async for message in connection.stream():
        print("price", message.data["price"])
        break


async def chat() -> None:
    await use_websocket("chat").ready()
    print("chat is", use_websocket("chat").status.value)


async def main(url: str) -> None:
    async with (
        WebSocketProvider(url, name="prices"),
        WebSocketProvider(url, name="chat", reconnect_interval=1.0) as connection,
    ):
        await asyncio.gather(report(), chat())
    print("afterwards it is", connection.phase.value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
