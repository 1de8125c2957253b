"""The terminal's list of messages: it follows its end, keeps its reader's place, and is bounded."""

from __future__ import annotations

import asyncio
import html
import re

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.strip import Strip
from textual.theme import Theme

from kits.virtual_textual import textual_on_the_virtual_clock
from sockstore.testing import FakeServer
from sockstore.ui.textual import ChatMessages, LiveList, WebSocketProvider
from sockstore.ui.textual.message_list import Item, MessageList

pytestmark = pytest.mark.virtual_clock


class Lines(App[None]):
    def compose(self) -> ComposeResult:
        yield MessageList("Nothing yet")


def items(*numbers: int) -> list[Item]:
    return [Item(number, Content(f"line {number}")) for number in numbers]


def drawn(messages: MessageList) -> list[str]:
    """What stands on the screen, line by line."""
    return [messages.render_line(y).text.rstrip() for y in range(messages.size.height)]


async def shown(messages: MessageList, pilot, *numbers: int) -> list[str]:
    messages.show(items(*numbers))
    await pilot.pause()
    return [line for line in drawn(messages) if line]


@pytest.fixture
def virtual_textual():
    with textual_on_the_virtual_clock():
        yield


@pytest.mark.contract("UI3")
async def test_it_follows_its_end_until_its_reader_goes_up(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        assert "Nothing yet" in " ".join(drawn(messages))
        assert (await shown(messages, pilot, *range(20)))[-1] == "line 19"
        assert (await shown(messages, pilot, *range(30)))[-1] == "line 29"
        messages.focus()
        await pilot.press("up", "up")
        assert drawn(messages)[-1] == "line 27"
        assert (await shown(messages, pilot, *range(40)))[-1] == "line 27"
        await pilot.press("escape")
        assert drawn(messages)[-1] == "line 39"
        assert (await shown(messages, pilot, *range(50)))[-1] == "line 49"


@pytest.mark.contract("UI3")
async def test_the_reader_keeps_the_place_when_older_ones_come_in_and_newest_go_on(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        await shown(messages, pilot, *range(100, 120))
        messages.focus()
        await pilot.press("home")
        assert drawn(messages)[0] == "line 100"
        assert (await shown(messages, pilot, *range(50, 125)))[0] == "line 100"
        assert (await shown(messages, pilot, *range(130)))[0] == "line 100"


@pytest.mark.contract("UI3")
async def test_only_lines_that_changed_are_drawn_while_nothing_moves(virtual_textual, monkeypatch):
    app, lines = Lines(), set()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        await shown(messages, pilot, 1, 2)
        draw = MessageList.render_line

        def watched(self: MessageList, y: int) -> Strip:
            lines.add(y)
            return draw(self, y)

        async def drawn_for(*texts: str) -> set[int]:
            lines.clear()
            messages.show([Item(place, Content(text)) for place, text in enumerate(texts, 1)])
            await pilot.pause()
            return {*lines}

        monkeypatch.setattr(MessageList, "render_line", watched)
        assert await drawn_for("line 1", "line 2", "line 3") == {2}
        assert await drawn_for("line 1", "line 2", "line 3") == set()
        assert await drawn_for("line 1", "changed", "line 3") == {1, 2}
        assert await drawn_for("line 1") == {1, 2}
        assert await drawn_for(*map(str, range(9))) == {0, 1, 2, 3, 4}
        assert await drawn_for() == {0, 1, 2, 3, 4}


@pytest.mark.contract("UI3")
async def test_lines_are_broken_anew_when_the_terminal_is_another_size(virtual_textual):
    app = Lines()
    async with app.run_test(size=(40, 6)) as pilot:
        messages = app.query_one(MessageList)
        messages.show([Item(1, Content("wide 日本語 👩‍👩‍👧 and e\u0301 " * 3)), *items(2)])
        await pilot.pause()
        before = messages.virtual_size.height
        await pilot.resize_terminal(20, 6)
        await pilot.pause()
        assert messages.virtual_size.height > before
        assert drawn(messages)[-1] == "line 2"
        assert all(strip.cell_length <= 20 for strip in map(messages.render_line, range(6)))


def on_screen(app: App[None]) -> list[str]:
    """What the terminal shows, line by line; `render_line` would draw anew what is out of date."""
    lines: dict[float, str] = {}
    for y, text in re.findall(
        r'<text [^>]*y="([\d.]+)"[^>]*>([^<]*)</text>', app.export_screenshot()
    ):
        lines[float(y)] = lines.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return [line.rstrip() for _, line in sorted(lines.items()) if line.strip() not in {"", "Lines"}]


@pytest.mark.contract("UI3")
async def test_the_terminal_shows_the_lines_that_another_size_has_broken_anew(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 8)) as pilot:
        messages = app.query_one(MessageList)
        long = Item(1, Content("one two three four five six seven eight nine ten"))
        messages.show([long, *items(2)])
        await pilot.pause()
        assert on_screen(app) == [
            "one two three four five",
            "six seven eight nine ten",
            "line 2",
        ]
        await pilot.resize_terminal(60, 8)
        await pilot.pause()
        messages.show([long, *items(2, 3)])
        await pilot.pause()
        whole = "one two three four five six seven eight nine ten"
        assert on_screen(app) == [whole, "line 2", "line 3"]
        await pilot.resize_terminal(30, 8)
        await pilot.pause()
        assert on_screen(app)[:2] == ["one two three four five", "six seven eight nine ten"]


@pytest.mark.contract("UI3")
async def test_another_theme_draws_everything_anew(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        await shown(messages, pilot, 1)
        dark = messages.render_line(0)
        app.theme = "textual-light"
        await pilot.pause()
        assert messages.render_line(0) != dark
        assert messages.render_line(0).text == dark.text


@pytest.mark.contract("UI3")
async def test_the_terminal_shows_the_colours_of_another_theme(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        for accent in ("red", "lime"):
            # Nothing of the list itself has another colour, only the text in it.
            app.register_theme(Theme(accent, primary="blue", accent=accent))
        app.theme = "red"
        await pilot.pause()
        app.query_one(MessageList).show([Item(1, Content.styled("text", "$accent"))])
        await pilot.pause()
        red = app.export_screenshot()
        app.theme = "lime"
        await pilot.pause()
        assert app.export_screenshot() != red


@pytest.mark.contract("UI3")
async def test_a_reader_keeps_the_place_when_a_style_breaks_the_lines_anew(virtual_textual):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        messages.show([Item(n, Content(f"{n} one two three four")) for n in range(100, 120)])
        messages.focus()
        await pilot.press("up", "up")
        top = on_screen(app)[0].split()[0]
        messages.styles.padding = (0, 8)
        messages.notify_style_update()
        await pilot.pause()
        assert messages.virtual_size.height > 20
        assert on_screen(app)[0].split()[0] == top


@pytest.mark.contract("UI3")
@pytest.mark.parametrize("hidden", ["visible", "display"])
async def test_lines_that_came_while_the_list_was_hidden_are_as_wide_as_others(
    virtual_textual, hidden
):
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        messages = app.query_one(MessageList)
        assert await shown(messages, pilot, 1) == ["line 1"]
        for width in (30, 40):
            setattr(messages, hidden, False)
            await pilot.resize_terminal(width, 5)
            messages.show(items(1, 2, width))
            await pilot.pause()
            setattr(messages, hidden, True)
            await pilot.pause()
            assert on_screen(app) == ["line 1", "line 2", f"line {width}"]
            assert messages.virtual_size.width == width - 4


@pytest.mark.contract("UI3")
async def test_a_scrollbar_that_takes_room_from_the_lines_breaks_them_anew(virtual_textual):
    app = Lines()
    async with app.run_test(size=(14, 4)) as pilot:
        messages = app.query_one(MessageList)
        messages.styles.scrollbar_gutter = "auto"
        for end in (3, 6):
            messages.show([Item(n, Content(f"a long {n} line")) for n in range(end)])
            await pilot.pause()
        assert drawn(messages) == ["a long 4", "line", "a long 5", "line"]


@pytest.mark.contract("UI3")
async def test_a_list_without_room_is_not_drawn_again_and_again(virtual_textual, monkeypatch):
    app, resized = Lines(), []
    async with app.run_test(size=(30, 4)) as pilot:
        await shown(app.query_one(MessageList), pilot, 1, 2)
        await pilot.resize_terminal(3, 4)
        monkeypatch.setattr(MessageList, "on_resize", lambda self: resized.append(self.refresh()))
        app.query_one(MessageList).refresh()
        for _ in range(5):
            await pilot.pause()
        assert not resized


class Chat(App[None]):
    def __init__(self, server: FakeServer) -> None:
        super().__init__()
        self._server = server

    def compose(self) -> ComposeResult:
        with WebSocketProvider("ws://fake", transport=self._server):
            yield ChatMessages(limit=100)
            yield LiveList(lambda data: data["content"] if data["content"] != "odd" else None)


@pytest.mark.contract("UI3", "UI6")
async def test_a_flood_shows_the_newest_and_is_bounded(virtual_textual):
    server = FakeServer()
    app = Chat(server)
    async with app.run_test(size=(40, 10)) as pilot:
        provider = app.query_one(WebSocketProvider)
        await provider.connection.ready()
        for start in range(0, 10_000, 500):
            server.send(*({"sender": "Eve", "content": str(start + n)} for n in range(500)))
            await asyncio.sleep(0.01)
        server.send({"sender": "Eve", "content": "odd"})
        await asyncio.sleep(60)
        await pilot.pause()
        messages, live = app.query_one(ChatMessages), app.query_one(LiveList)
        assert [row.line.content for row in messages.rows][-2:] == ["9999", "odd"]
        assert len(messages.rows) == 100
        assert len(messages.query_one(MessageList).items) == 100
        assert [row.cells for row in live.rows][-1] == ("9999",)
        assert len(live.rows) == 100
