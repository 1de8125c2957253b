"""`sockstore chat`: the application on real rooms, its pictures, and its command line."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from textual.events import Key
from textual.widgets import Label, Static, TextArea

from integration.rooms_server import RoomsServer
from kits.house import House, house
from loopback.processes import SECONDS, serving
from sockstore.cli import chat
from sockstore.cli.chat_app import ChatApp, RoomPanel, RoomsScreen
from sockstore.testing import assert_no_leaks
from sockstore.ui.textual import (
    ChatMembers,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    WebSocketProvider,
)

pytestmark = [pytest.mark.loopback]


@pytest.fixture(scope="module")
def place() -> Iterator[House]:
    with house() as place:
        yield place


def app_of(place: House, *rooms: str, name: str = "Ann") -> ChatApp:
    return ChatApp(*chat.destination(place.address, list(rooms), name))


async def until(pilot, is_true: Callable[[], object], what: str) -> None:
    """Wait for what a server and a screen do in their own time."""
    try:
        async with asyncio.timeout(SECONDS):
            while not is_true():
                await pilot.pause(0.01)
    except TimeoutError:
        raise AssertionError(f"it never came true that {what}") from None


def panel(app: ChatApp) -> RoomPanel:
    """The room that is shown."""
    assert isinstance(app.screen, RoomsScreen)
    return app.screen.panel


def listed(app: ChatApp) -> list[str]:
    """The list of rooms."""
    labels = app.screen.query("ListItem Label").results(Label)
    return [str(label.content) for label in labels]


def said(app: ChatApp) -> list[str]:
    rows = panel(app).query_one(ChatMessages).rows
    return [row.line.content for row in rows if row.line.kind == "message"]


def status(app: ChatApp) -> str:
    return str(app.screen.query_one(ConnectionStatus).query_one("#sentence").content)


async def entered(pilot, room: str | None = None) -> None:
    """Wait until the room, or any, is shown and can be written in."""
    app = pilot.app

    def is_there() -> bool:
        screen = app.screen
        if not isinstance(screen, RoomsScreen) or not screen.query(RoomPanel):
            return False
        is_the_one = room in {None, screen.room}
        field = screen.panel.query(TextArea)
        return is_the_one and bool(field) and app.focused is field.first()

    await until(pilot, is_there, f"{room} is entered")


@asynccontextmanager
async def chatting(app: ChatApp, size: tuple[int, int] = (80, 24)):
    async with app.run_test(size=size) as pilot:
        await entered(pilot)
        yield pilot


async def say(pilot, text: str) -> None:
    await pilot.press(*text, "enter")


@pytest.mark.asyncio
@pytest.mark.contract("CL1", "UI3", "UI4")
async def test_two_people_chat_and_see_who_is_there(place):
    ann, bob = app_of(place, "two"), app_of(place, "two", name="Bob")
    async with chatting(ann) as pilot, chatting(bob) as other:
        await say(pilot, "hello")
        await until(other, lambda: said(bob) == ["hello"], "Bob sees it")
        await say(other, "hi")
        await until(pilot, lambda: said(ann) == ["hello", "hi"], "Ann sees the answer")
        marks = [row.line.mark for row in panel(ann).query_one(ChatMessages).rows if row.line.mark]
        assert marks == ["acknowledged"]
        members = panel(ann).query_one(ChatMembers).query_one(Static)
        await until(pilot, lambda: "2 here: Ann, Bob" in str(members.content), "both show")


@pytest.mark.asyncio
@pytest.mark.contract("UI4")
async def test_keys_that_arrive_together_are_the_messages_that_were_typed(place):
    app = app_of(place, "burst")
    async with chatting(app) as pilot:
        for key in ("a", "enter", "b", "enter", "c", "enter"):
            app.post_message(Key(key, key if len(key) == 1 else "\r"))
        await until(pilot, lambda: said(app) == ["a", "b", "c"], "there are three messages")


@pytest.mark.asyncio
@pytest.mark.contract("CL1", "UI6", "LC2")
async def test_going_from_room_to_room_leaves_nothing_on_either_side(place):
    before = app_of(place, "one")
    async with chatting(before) as pilot:
        await say(pilot, "still here?")
        await until(pilot, lambda: said(before) == ["still here?"], "it is said")
    async with assert_no_leaks():
        app = app_of(place, "one", "two", "three")
        async with chatting(app) as pilot:
            for number in range(1, 31):
                await app.action_next_room()
                if number % 10 == 0:
                    await entered(pilot, ["one", "two", "three"][number % 3])
            await until(pilot, lambda: place.server.clients == 1, "one client is there")
            await app.screen.enter("one")
            await entered(pilot, "one")
            await until(pilot, lambda: said(app) == ["still here?"], "the history is there")
        await until_gone(place)


async def until_gone(place: House) -> None:
    async with asyncio.timeout(SECONDS):
        while place.server.clients:
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
@pytest.mark.contract("CL1")
async def test_a_room_is_joined_from_the_dialog_which_says_what_is_wrong(place):
    app = app_of(place)
    async with chatting(app) as pilot:
        await pilot.press("f4", *"bad room", "enter")
        await until(
            pilot,
            lambda: "1 to 64 letters" in str(app.screen.query_one("#problem").content),
            "it says what a name may be",
        )
        await pilot.press("escape")
        await entered(pilot, "lobby")
        await pilot.press("f4", *"tides", "enter")
        await entered(pilot, "tides")
        assert listed(app) == ["# lobby", "# tides"]


@pytest.mark.asyncio
@pytest.mark.contract("CL1", "SU9")
async def test_all_rooms_are_on_one_connection_and_those_in_the_background_count(place):
    ann, bob = app_of(place, "front", "back"), app_of(place, "back", name="Bob")
    async with chatting(ann) as pilot, chatting(bob) as other:
        await until(pilot, lambda: place.server.clients == 2, "each has one connection")
        await pilot.press(*"draft")
        await say(other, "one")
        await say(other, "two")
        await until(pilot, lambda: listed(ann) == ["# front", "# back (2)"], "they are counted")
        assert said(ann) == []
        await pilot.press("f3")
        await entered(pilot, "back")
        assert listed(ann) == ["# front", "# back"]
        await until(pilot, lambda: said(ann) == ["one", "two"], "they are there")
        await pilot.press("f3")
        await entered(pilot, "front")
        assert ann.focused.text == "draft"


@pytest.mark.asyncio
@pytest.mark.contract("CL1", "UI2")
async def test_it_comes_back_after_the_server_and_keeps_what_is_being_written():
    kept_nowhere = ("--history", "sqlite:///:memory:")
    async with AsyncExitStack() as life:
        server = await life.enter_async_context(serving(0, *kept_nowhere))
        app = ChatApp(*chat.destination(f"ws://127.0.0.1:{server.port}", [], "Ann"))
        async with chatting(app) as pilot:
            await pilot.press(*"draft")
            await life.aclose()  # with SIGKILL
            await until(pilot, lambda: "error" in status(app), "the loss is shown")
            detail = app.screen.query_one("#detail")
            await until(pilot, lambda: "Retry" in str(detail.content), "it counts down")
            async with serving(server.port, *kept_nowhere):
                await pilot.press("f5")
                await entered(pilot, "lobby")
                assert app.focused.text == "draft"
                await pilot.press("enter")
                await until(pilot, lambda: said(app) == ["draft"], "it is sent")


@pytest.mark.asyncio
@pytest.mark.contract("CL1")
async def test_the_inspector_opens_and_tells_what_the_connection_does(place):
    app = app_of(place)
    async with chatting(app) as pilot:
        await pilot.press("f2")
        panel = app.screen.query_one(ConnectionInspector)
        await until(
            pilot,
            lambda: str(panel.query_one("#explanation").content).startswith(
                "Connected to ws://127.0.0.1"
            ),
            "it explains",
        )
        events = panel.query_one("MessageList")
        assert [item.key[0] for item in events.items][:2] == [0, 1]
        provider = app.screen.query_one(WebSocketProvider)
        provider.connection.hint("online")
        await until(pilot, lambda: len(events.items) == 3, "a new event shows")


@pytest.mark.asyncio
@pytest.mark.contract("UI1")
async def test_a_latency_that_was_never_measured_is_not_shown_as_a_number():
    url, rooms = chat.destination("ws://localhost:8765", ["lobby"], "Ann")
    app = ChatApp(url, rooms, {"transport": RoomsServer(), "ping_interval": None})
    async with chatting(app) as pilot:
        await pilot.press("f2")
        labels = app.screen.query("ConnectionInspector #plots .label")

        def shown() -> list[str]:
            return [str(label.content) for label in labels.results(Static)]

        await until(pilot, lambda: shown() != ["Latency", "Messages"], "it has been drawn")
        assert shown() == ["Latency: \N{EN DASH}", "Messages: 0 a second"]


@pytest.mark.asyncio
@pytest.mark.contract("CL1")
@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+q"])
async def test_it_is_left_with_its_key_also_while_a_dialog_is_open(place, key):
    app = app_of(place)
    async with app.run_test() as pilot:
        await entered(pilot, "lobby")
        await pilot.press("f4", key)
        await pilot.pause()
    assert app.return_code == 0
    await until_gone(place)


# What it looks like


def story(*messages: tuple[str, str]) -> ChatApp:
    """A room in which this was said, at no time in particular."""
    server = RoomsServer()
    for sender, content in messages:
        server.store("lobby", content, sender)
    server.come("lobby", "b", "Bob")
    url, rooms = chat.destination("ws://localhost:8765", ["lobby", "tides"], "Ann")
    return ChatApp(url, rooms, {"transport": server})


TALK = (
    ("Bob", "Low water is at 10:40, see https://example.com/tides."),
    ("Bob", "Bring boots [bold]and[/bold] a camera."),
    ("Ann", "I will.\nWhere do we meet?"),
)


async def settle(pilot) -> None:
    await entered(pilot, "lobby")
    await until(pilot, lambda: len(said(pilot.app)) == len(TALK), "all is shown")
    panel(pilot.app).query_one(TextArea).cursor_blink = False
    await pilot.pause()


@pytest.mark.contract("CL1", "UI3")
@pytest.mark.parametrize("size", [(80, 24), (40, 16)], ids=["wide", "narrow"])
def test_what_a_room_looks_like(snap_compare, size):
    assert snap_compare(story(*TALK), terminal_size=size, run_before=settle)


@pytest.mark.contract("CL1", "UI3")
def test_what_a_room_looks_like_in_light(snap_compare):
    async def in_light(pilot) -> None:
        await settle(pilot)
        await pilot.press("f8")

    assert snap_compare(story(*TALK), terminal_size=(80, 24), run_before=in_light)


# The command line


@pytest.mark.contract("CL1")
@pytest.mark.parametrize(
    ("address", "rooms", "url", "all_rooms"),
    [
        ("ws://x:1", [], "ws://x:1/connection/websocket?name=Ann", ["lobby"]),
        ("ws://x:1/", ["a", "b"], "ws://x:1/connection/websocket?name=Ann", ["a", "b"]),
        ("ws://x:1/chat/c", [], "ws://x:1/connection/websocket?name=Ann", ["c"]),
        ("ws://x:1/chat/c", ["a", "c"], "ws://x:1/connection/websocket?name=Ann", ["c", "a"]),
        ("ws://x/connection/websocket", ["a"], "ws://x/connection/websocket?name=Ann", ["a"]),
        (
            "wss://x/live/chat?token=t",
            ["a"],
            "wss://x/live/connection/websocket?token=t&name=Ann",
            ["a"],
        ),
        ("wss://x/live?name=Bob", [], "wss://x/live/connection/websocket?name=Ann", ["lobby"]),
    ],
)
def test_where_an_address_leads(address, rooms, url, all_rooms):
    assert chat.destination(address, rooms, "Ann") == (url, all_rooms)


@pytest.mark.contract("CL1")
@pytest.mark.parametrize(("room", "name"), [("no room", "Ann"), ("lobby", "x" * 65)])
def test_a_name_that_nobody_can_have_is_refused_at_once(room, name):
    with pytest.raises(chat.CommandError, match="cannot be used"):
        chat.destination("ws://x", [room], name)


@pytest.mark.contract("CL1")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://localhost"], 2, "is not a WebSocket url"),
        (["ws://localhost", "--room", "no room"], 2, "begins with a letter or digit"),
    ],
)
def test_what_cannot_work_is_one_line(arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "sockstore", "chat", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.contract("CL1")
@pytest.mark.parametrize("error", [KeyError("getpwuid()"), OSError("no user"), ImportError("pwd")])
def test_a_user_without_a_name_is_asked_for_one(monkeypatch, error):
    def getuser() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", getuser)
    options = argparse.Namespace(url="ws://127.0.0.1:1", name=None, room=[])
    with pytest.raises(chat.CommandError, match="with --name"):
        chat.run(options)
