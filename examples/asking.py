"""Send requests over one WebSocket; if an answer is lost, the error says that it is unknown."""

import asyncio
import sys

from sockstore import OutcomeUnknown, WebSocketStore
from sockstore.protocols import IdField, Plain


async def main(url: str) -> None:
    protocol = Plain(requests=IdField("reqId"))
    async with WebSocketStore(url, protocol=protocol) as connection:
        prices = [connection.request({"op": "price", "symbol": name}) for name in ("BTC", "ETH")]
        for answer in await asyncio.gather(*prices):  # each request gets its own answer
            print(answer)
        try:
            await connection.request({"op": "buy", "symbol": "BTC"}, timeout=5)
        except OutcomeUnknown:
            print("the connection was lost: it is unknown whether it was bought")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
