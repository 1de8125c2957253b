"""Send messages while the server is down: they wait, and are sent in order when it is back."""

import asyncio
import sys

from sockstore import Outbox, WebSocketStore


async def main(url: str) -> None:
    connection = WebSocketStore(url, outbox=Outbox(limit=100, ttl=60))
    receipts = [connection.send({"content": f"message {number}"}) for number in range(1, 4)]
    print(*(receipt.state for receipt in receipts))
    async with connection:
        for receipt in receipts:
            await receipt
        print(*(receipt.state for receipt in receipts))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
