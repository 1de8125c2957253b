"""The history in SQLite by itself, and what a history of one's own has to be."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sockstore import InvalidOption
from sockstore.cli.serve import data_directory
from sockstore.server import ChatServer, HistoryUnavailable, NotStored, SqliteHistory
from sockstore.server.frames import ChatMessage
from sockstore.server.history.base import Entry, History
from sockstore.server.history.database import Database
from sockstore.server.history.sqlite import MOST_IN_ONE_TRANSACTION
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.contract("SV2")]

HUGE = 2**30


def entry(content: str = "hello") -> Entry:
    return Entry("Ann", content, "2026-05-01T10:00:00Z", "0" * 32)


@pytest.fixture
def told() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def history(tmp_path, told):
    made = SqliteHistory(tmp_path / "history.db")
    made.start(lambda room, message: told.append((room, message.offset, message.content)))
    return made


@pytest.mark.asyncio
async def test_what_is_waiting_is_stored_in_one_transaction(history, told, monkeypatch):
    sizes = []
    append = Database.append

    def counted(self, entries):
        sizes.append(len(entries))
        return append(self, entries)

    monkeypatch.setattr(Database, "append", counted)
    await history.open()
    rooms = ["one", "two"]
    offsets = await asyncio.gather(
        *(history.append(rooms[n % 2], entry(str(n))) for n in range(200))
    )
    assert offsets == [n // 2 + 1 for n in range(200)]
    assert told == [(rooms[n % 2], n // 2 + 1, str(n)) for n in range(200)]
    assert sum(sizes) == 200
    assert len(sizes) < 50
    assert max(sizes) <= MOST_IN_ONE_TRANSACTION
    await history.aclose()


@pytest.mark.asyncio
async def test_everybody_is_told_a_message_whose_sender_has_left(history, told):
    await history.open()
    waiting = asyncio.create_task(history.append("lobby", entry("last words")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await history.append("lobby", entry("next")) == 2
    assert told == [("lobby", 1, "last words"), ("lobby", 2, "next")]
    await history.aclose()


@pytest.mark.asyncio
async def test_who_is_told_is_told_before_the_sender(history, told):
    offset = await history.append("lobby", entry())
    assert told == [("lobby", offset, "hello")]
    await history.aclose()


@pytest.mark.asyncio
async def test_closing_writes_what_is_waiting_and_a_later_use_opens_again(history, told):
    async with assert_no_leaks():
        waiting = [asyncio.create_task(history.append("lobby", entry(str(n)))) for n in range(100)]
        await asyncio.sleep(0)
        await history.aclose()
        await history.aclose()
        assert await asyncio.gather(*waiting) == list(range(1, 101))
        assert await history.append("lobby", entry()) == 101
        found = await history.newest("lobby", 2, HUGE)
        assert [message.offset for message in found] == [100, 101]
        await history.aclose()


def test_a_history_may_be_used_by_one_loop_after_the_other(history):
    async def use() -> int:
        offset = await history.append("lobby", entry())
        await history.aclose()
        return offset

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]


@pytest.mark.asyncio
async def test_the_newest_are_bounded_by_count_and_bytes(history):
    for number in range(1, 6):
        await history.append("lobby", entry("x" * 1000 * number))
    count_offsets = [m.offset for m in await history.newest("lobby", 3, HUGE)]
    assert count_offsets == [3, 4, 5]
    assert [m.offset for m in await history.newest("lobby", 10, 10_000)] == [4, 5]
    assert [m.offset for m in await history.newest("lobby", 10, 1)] == [5]
    assert await history.newest("lobby", 0, HUGE) == []
    assert await history.newest("never heard of", 10, HUGE) == []
    await history.aclose()


@pytest.mark.asyncio
async def test_what_was_said_comes_back_as_it_was(history):
    content = "\x00 'quotes' \"double\" <b> \U0001f600 \u202e %s ? ; DROP TABLE messages"
    said = Entry(None, content, "any text", "f" * 32)
    offset = await history.append("日本語", said)
    assert await history.newest("日本語", 1, HUGE) == [said.at(offset)]
    await history.aclose()


@pytest.mark.asyncio
async def test_an_entry_that_cannot_be_stored_stops_nobody_else(history, told):
    with pytest.raises(NotStored):
        await history.append("lobby", entry("\ud800"))
    assert await history.append("lobby", entry()) == 1
    assert len(told) == 1
    await history.aclose()


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path):
    path = tmp_path / "later" / "history.db"
    history = SqliteHistory(path)
    for wanted, use in [
        (HistoryUnavailable, history.open()),
        (HistoryUnavailable, history.newest("lobby", 1, HUGE)),
        (NotStored, history.append("lobby", entry())),
    ]:
        with pytest.raises(wanted, match="folder must exist") as refused:
            await use
        assert str(path) in str(refused.value)
    path.parent.mkdir()
    assert await history.append("lobby", entry()) == 1
    await history.aclose()


@pytest.mark.asyncio
async def test_a_damaged_file_is_an_error_and_no_crash(tmp_path):
    path = tmp_path / "history.db"
    history = SqliteHistory(path)
    for _ in range(50):
        await history.append("lobby", entry("x" * 1000))
    await history.aclose()
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
    path.write_bytes(damaged)
    with pytest.raises(HistoryUnavailable):
        await history.newest("lobby", 100, HUGE)
    with pytest.raises(NotStored):
        await history.append("lobby", entry())
    await history.aclose()


@pytest.mark.asyncio
async def test_commits_are_durable_and_the_file_is_ours_alone(history, tmp_path):
    found = await history._ask(
        lambda database: [
            database.open().execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "locking_mode")
        ]
    )
    assert found == [2, "wal", "exclusive"]
    other = sqlite3.connect(tmp_path / "history.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM messages")
    other.close()
    await history.aclose()


def test_a_history_keeps_at_least_one_message():
    with pytest.raises(InvalidOption, match="keep"):
        SqliteHistory(keep=0)


class ListHistory:
    """A history of one's own: the smallest one that is right."""

    def __init__(self) -> None:
        self.rooms: dict[str, list[ChatMessage]] = {}

    def start(self, published) -> None:
        self.published = published

    async def open(self) -> None:
        pass

    async def append(self, room: str, entry: Entry) -> int:
        messages = self.rooms.setdefault(room, [])
        messages.append(entry.at(len(messages) + 1))
        self.published(room, messages[-1])
        return len(messages)

    async def newest(self, room: str, count: int, max_bytes: int) -> list[ChatMessage]:
        return self.rooms.get(room, [])[-count:]

    async def aclose(self) -> None:
        pass


@pytest.mark.asyncio
async def test_a_history_of_ones_own_will_do():
    own: History = ListHistory()
    server = ChatServer(history=own)
    await server.open()
    assert await own.append("lobby", entry()) == 1
    await server.aclose()


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"XDG_DATA_HOME": "/data"}, "linux", "/data/sockstore"),
        ({"XDG_DATA_HOME": "/data"}, "darwin", "/data/sockstore"),
        ({"XDG_DATA_HOME": "relative"}, "linux", "/home/ann/.local/share/sockstore"),
        ({}, "linux", "/home/ann/.local/share/sockstore"),
        ({}, "darwin", "/home/ann/Library/Application Support/sockstore"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/sockstore"),
        ({}, "win32", "/home/ann/AppData/Local/sockstore"),
    ],
)
def test_every_system_has_its_place_for_what_is_kept(environment, platform, expected):
    assert data_directory(environment, platform, Path("/home/ann")) == Path(expected)


def test_the_commands_help_needs_no_extra_and_the_command_says_which():
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None;"
        "from sockstore.cli import main; raise SystemExit(main(sys.argv[1:]))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "serve", "--help"], capture_output=True, text=True
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    asked = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "pip install 'sockstore[server]'" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
