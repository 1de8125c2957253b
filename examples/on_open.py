"""Subscribe again after every opening handshake: `on_open` sends before messages that waited."""

import asyncio
import sys

from sockstore import WebSocketStore


async def subscribe(connection: WebSocketStore) -> None:
    connection.send({"type": "subscribe", "symbols": ["BTC", "ETH"]})


async def main(url: str) -> None:
    async with WebSocketStore(url, on_open=subscribe) as feed:
        feed.send({"type": "order", "symbol": "BTC"})  # waits for the connection
        async for message in feed.stream():
            print(message.data["type"])
            if message.data["type"] == "order":
                break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
