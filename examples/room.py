"""A room: the server stores each message once, and a later client reads all from the beginning."""

import asyncio
import sys

from sockstore import Position, Session, WebSocketStore


async def main(url: str) -> None:
    async with WebSocketStore(f"{url}?name=Ann", session=Session("lobby")) as ann:
        for content in ("hello", "still here"):
            receipt = await ann.send({"content": content})  # returns once it is stored
            print("stored at", receipt.offset)
    session = Session("lobby", since=Position(0))
    async with WebSocketStore(f"{url}?name=Bob", session=session) as bob:
        async for message in bob.stream():
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
