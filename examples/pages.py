"""Navigate between pages: each has a scope, which ends with the page and ends all that it owns."""

import asyncio
import sys

from sockstore import Navigator, Scope, WebSocketProvider, WebSocketStore

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"
navigator = Navigator()
news = WebSocketStore(URL, close_on_navigate=navigator)  # or: the next navigation closes it


async def chat(scope: Scope) -> None:
    connection = await scope.enter(WebSocketProvider(URL))
    await connection.ready()
    scope.subscribe(connection.status, lambda status: print("chat is", status))
    scope.on_destroy(lambda: print("chat is left"))
    news.connect()


async def home(scope: Scope) -> None:
    scope.mount(lambda: print("home is mounted, news is", news.status.value))


async def main() -> None:
    async with navigator:
        await navigator.goto(chat)
        await news.ready()
        await navigator.goto(home)


if __name__ == "__main__":
    asyncio.run(main())
