"""Sign in after every opening handshake: what `on_open` sends leaves before everything else."""

import asyncio
import sys

from sockstore import Opening, WebSocketStore


async def sign_in(opening: Opening) -> None:
    opening.send({"type": "sign in", "fresh_token": opening.attempt.refresh})
    answer = await opening.receive()
    if answer.data["type"] != "sign in":  # the echo server says it back
        raise opening.unauthorised("the server refused the token")
    print("signed in")


async def main(url: str) -> None:
    async with WebSocketStore(url, on_open=sign_in) as feed:
        feed.send({"type": "order", "symbol": "BTC"})  # waits for the connection
        async for message in feed.stream():
            print(message.data["type"])
            if message.data["type"] == "order":
                break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
