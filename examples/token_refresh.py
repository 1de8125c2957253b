"""Get a token before each attempt, and a new one if the server refuses the old one."""

import asyncio
import sys

from sockstore import Attempt, StopReconnecting, WebSocketStore


async def fetch_token(*, refresh: bool) -> str | None:
    await asyncio.sleep(0)  # a real program asks its identity provider here
    return "new" if refresh else "cached"


async def headers(attempt: Attempt) -> dict[str, str]:
    token = await fetch_token(refresh=attempt.refresh)
    if token is None:
        raise StopReconnecting("please sign in again")
    return {"Authorization": f"Bearer {token}"}


async def main(url: str) -> None:
    async with WebSocketStore(url, headers=headers) as connection:
        await connection.ready(timeout=10)
        print(connection.status.value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"))
