"""What type checkers see of scopes, providers and navigators; checked by `mypy --strict`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import assert_type

from sockstore import (
    Connection,
    Navigation,
    Navigator,
    Readable,
    Scope,
    WebSocketProvider,
    WebSocketStore,
    use_websocket,
    writable,
)


@contextlib.asynccontextmanager
async def answer() -> AsyncIterator[int]:
    yield 42


async def page(scope: Scope) -> None:
    scope.on_destroy(lambda: print("left"))


def no_page() -> None: ...


async def main() -> None:
    async with WebSocketProvider("ws://localhost", name="chat", history=10) as connection:
        assert_type(connection, Connection)
        assert_type(use_websocket(), Connection)
        assert_type(use_websocket("chat"), Connection)
    WebSocketProvider("ws://localhost", retries=3)  # type: ignore[call-arg]
    WebSocketProvider("ws://localhost", history="all")  # type: ignore[arg-type]
    WebSocketProvider("ws://localhost", "chat")  # type: ignore[call-arg]

    async with Scope() as scope:
        assert_type(scope, Scope)
        assert_type(await scope.enter(WebSocketProvider("ws://localhost")), Connection)
        assert_type(await scope.enter(answer()), int)
        assert_type(await scope.enter(contextlib.nullcontext("plain")), str)
        assert_type(scope.task(asyncio.sleep(1, "rested")), asyncio.Task[str])
        assert_type(await scope.task(asyncio.sleep(1, 2.0)), float)
        assert_type(scope.subscribe(writable(1), lambda number: number + 1), Callable[[], None])
        assert_type(scope.bind(len)("four"), int)
        await scope.enter(1)  # type: ignore[arg-type]
        scope.task(1)  # type: ignore[arg-type]

        @scope.on_destroy
        def clean() -> int:
            return 1

        assert_type(clean(), int)

        async with Navigator() as navigator:
            assert_type(navigator, Navigator)
            assert_type(await navigator.goto(page), bool)
            assert_type(navigator.navigating, Readable[Navigation | None])
            await navigator.goto(no_page)  # type: ignore[arg-type]
            WebSocketStore("ws://localhost", close_on_navigate=navigator)
