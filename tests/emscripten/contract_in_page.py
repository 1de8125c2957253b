"""The shared transport contract, played in a browser or in Node on the browser's own WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import js as window
from pyodide.ffi import create_proxy

from emscripten.words import from_words, to_words
from sockstore.testing import check_transport
from sockstore.transports import default_transport


class Control:
    """Asks the server to do something, one thing after the other."""

    def __init__(self, url: str) -> None:
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._socket = window.WebSocket.new(url)
        self._opened = asyncio.Event()
        self._heard = {
            "open": create_proxy(lambda _: self._opened.set()),
            "message": create_proxy(lambda event: self._answers.put_nowait(event.data)),
        }
        for event, hear in self._heard.items():
            self._socket.addEventListener(event, hear)

    async def ask(self, *words: Any) -> Any:
        await self._opened.wait()
        self._socket.send(json.dumps(words))
        return json.loads(await self._answers.get())

    def close(self) -> None:
        for event, hear in self._heard.items():
            self._socket.removeEventListener(event, hear)
            hear.destroy()
        self._socket.close()


class RemoteHalf:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def receive(self) -> str | bytes:
        return from_words(await self._control.ask("receive"))

    async def send(self, *messages: str | bytes) -> None:
        await self._control.ask("send", *map(to_words, messages))

    async def close(self, code: int, reason: str) -> None:
        await self._control.ask("close", code, reason)

    async def drop(self) -> None:
        await self._control.ask("drop")


class BrowserHarness:
    pings = False
    make = staticmethod(default_transport)

    def __init__(self, port: str, silent_port: str) -> None:
        self.url = f"ws://127.0.0.1:{port}/"
        self.refusing_url = f"ws://127.0.0.1:{port}/refused"
        self.greeting_url = f"ws://127.0.0.1:{port}/greeting"
        self.hanging_url = f"ws://127.0.0.1:{silent_port}/"
        self.control = Control(f"ws://127.0.0.1:{port}/control")

    async def server(self) -> RemoteHalf:
        await self.control.ask("take")
        return RemoteHalf(self.control)


async def main(port: str, silent_port: str) -> int:
    harness = BrowserHarness(port, silent_port)
    try:
        await check_transport(harness)
    finally:
        harness.control.close()
    return 0
