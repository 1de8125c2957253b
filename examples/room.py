"""A room: the server stores each message once, and a later client reads all from the beginning."""

import asyncio
import sys

from sockstore import Position, WebSocketStore
from sockstore.protocols import Centrifuge


async def main(url: str) -> None:
    async with WebSocketStore(f"{url}?name=Ann", protocol=Centrifuge()) as connection:
        lobby = connection.subscribe("lobby")  # one of many rooms on this connection
        for content in ("hello", "still here"):
            receipt = await lobby.send({"content": content})  # returns once it is stored
            print("stored at", receipt.offset)
    async with WebSocketStore(f"{url}?name=Bob", protocol=Centrifuge()) as connection:
        async for message in connection.subscribe("lobby", since=Position(0)):
            if message.kind == "gap":
                print("missing:", message.data)
                continue
            said = message.publication
            print(said.offset, f"{said.sender}:", message.data["content"])
            if said.offset == receipt.offset:
                break


if __name__ == "__main__":
    default = "ws://localhost:8765/connection/websocket"
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else default))
