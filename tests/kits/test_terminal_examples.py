"""The examples for the terminal run as they stand, on a real server."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import TextArea

from loopback.processes import SECONDS, serving
from sockstore.ui.textual import ChatMessages, LiveList, WebSocketProvider, run

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def app_of(name: str, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", [name, url])
    program = runpy.run_path(str(EXAMPLES / name))
    return program["Chat"]() if "Chat" in program else program["Trades"]()


async def until(pilot, is_true) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_true():
            await pilot.pause(0.01)


@pytest.mark.contract("UI1")
async def test_a_live_list_takes_ten_lines_of_ones_own(monkeypatch):
    name = "terminal_feed.py"
    source = (EXAMPLES / name).read_text()
    body = source[source.index("class Trades") : source.index("if __name__")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10
    async with serving() as server:
        app = app_of("terminal_feed.py", server.url, monkeypatch)
        async with app.run_test() as pilot:
            connection = app.query_one(WebSocketProvider).connection
            for price in (41.5, 42):
                connection.send({"symbol": "BTC", "price": price})
            rows = app.query_one(LiveList)
            # What is shown follows what is known in a turn of its own.
            await until(pilot, lambda: len(rows.query_one("MessageList").items) == 3)
            shown = [item.content.plain for item in rows.query_one("MessageList").items]
            assert shown == ["Symbol  Price", "BTC     41.5", "BTC     42"]
            assert [row.cells for row in rows.rows] == [("BTC", "41.5"), ("BTC", "42")]


@pytest.mark.contract("UI1")
async def test_one_file_is_a_chat_in_the_terminal_too(monkeypatch):
    assert len((EXAMPLES / "chat.py").read_text().splitlines()) <= 35
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        url = f"ws://127.0.0.1:{server.port}/chat/lobby?name=Ann"
        monkeypatch.setattr("sys.argv", ["chat.py", "textual", url])
        program = runpy.run_path(str(EXAMPLES / "chat.py"))
        shown: dict[str, App[None]] = {}
        monkeypatch.setattr(App, "run", lambda app: shown.update(app=app))
        run(program["chat"])
        app = shown["app"]
        async with app.run_test() as pilot:
            await until(pilot, lambda: isinstance(app.focused, TextArea))
            await pilot.press(*"hello", "enter")
            messages = app.query_one(ChatMessages)
            await until(pilot, lambda: [row.line.mark for row in messages.rows] == ["acknowledged"])


@pytest.mark.contract("UI1", "UI3", "UI4")
async def test_a_chat_takes_thirty_lines(monkeypatch):
    assert len((EXAMPLES / "terminal_chat.py").read_text().splitlines()) <= 32
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        url = f"ws://127.0.0.1:{server.port}/chat/lobby?name=Ann"
        app = app_of("terminal_chat.py", url, monkeypatch)
        async with app.run_test() as pilot:
            await until(pilot, lambda: isinstance(app.focused, TextArea))
            await pilot.press(*"hello", "enter")
            messages = app.query_one(ChatMessages)
            await until(pilot, lambda: [row.line.mark for row in messages.rows] == ["acknowledged"])
            assert [row.line.content for row in messages.rows] == ["hello"]
