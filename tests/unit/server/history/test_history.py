"""The history in SQLite by itself, and what a history of one's own has to be."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fake_history import FakeHistory

from sockstore import InvalidOption
from sockstore.cli.serve import data_directory
from sockstore.server import ChatServer, HistoryUnavailable, NotStored, SqliteHistory
from sockstore.server.history import database
from sockstore.server.history.base import Entry, History
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.contract("SV2")]

HUGE = 2**30


_numbers = itertools.count()


def entry(content: str = "hello") -> list[Entry]:
    return [Entry("Ann", f'"{content}"', f"id-{next(_numbers)}")]


async def offset_of(storing) -> int:
    (stored,) = await storing
    return stored.offset


class Spy:
    """The connections that a history opens, usable in this thread, and what they execute."""

    def __init__(self, monkeypatch):
        self.connections: list[sqlite3.Connection] = []
        self.statements: list[str] = []
        connect = sqlite3.connect

        def traced(*arguments, **options):
            connection = connect(*arguments, **options, check_same_thread=False)
            connection.set_trace_callback(self.statements.append)
            self.connections.append(connection)
            return connection

        monkeypatch.setattr(sqlite3, "connect", traced)

    @property
    def transactions(self) -> list[int]:
        """How many messages each transaction stored."""
        counts = []
        for statement in self.statements:
            if statement.startswith("BEGIN"):
                counts.append(0)
            elif statement.startswith("INSERT INTO messages VALUES"):
                counts[-1] += 1
        return [count for count in counts if count]

    def ask(self, statement: str) -> object:
        """Execute a statement on the newest connection, and return the first value."""
        row = self.connections[-1].execute(statement).fetchone()
        return None if row is None else row[0]


@pytest.fixture
def spy(monkeypatch):
    return Spy(monkeypatch)


@pytest.fixture
def told() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def history(tmp_path, told):
    made = SqliteHistory(tmp_path / "history.db")
    made.start(
        lambda room, messages, epoch: told.extend(
            (room, each.offset, each.data.strip('"')) for each in messages
        ),
        lost_sight=pytest.fail,
    )
    return made


@pytest.mark.asyncio
async def test_what_is_waiting_is_stored_in_one_transaction(spy, history, told):
    await history.open()
    rooms = ["one", "two"]
    offsets = await asyncio.gather(
        *(offset_of(history.append(rooms[n % 2], entry(str(n)))) for n in range(200))
    )
    assert offsets == [n // 2 + 1 for n in range(200)]
    for number, room in enumerate(rooms):
        assert [each for each in told if each[0] == room] == [
            (room, n // 2 + 1, str(n)) for n in range(number, 200, 2)
        ]
    assert sum(spy.transactions) == 200
    assert len(spy.transactions) < 50
    assert max(spy.transactions) <= 64
    await history.aclose()


@pytest.mark.asyncio
async def test_everybody_is_told_a_message_whose_sender_has_left(history, told):
    await history.open()
    waiting = asyncio.create_task(history.append("lobby", entry("last words")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await offset_of(history.append("lobby", entry("next"))) == 2
    assert told == [("lobby", 1, "last words"), ("lobby", 2, "next")]
    await history.aclose()


@pytest.mark.asyncio
async def test_who_is_told_is_told_before_the_sender(history, told):
    (stored,) = await history.append("lobby", entry())
    assert told == [("lobby", stored.offset, "hello")]
    await history.aclose()


@pytest.mark.asyncio
async def test_closing_writes_what_is_waiting_and_a_later_use_opens_again(history, told):
    async with assert_no_leaks():
        waiting = [
            asyncio.create_task(offset_of(history.append("lobby", entry(str(n)))))
            for n in range(100)
        ]
        await asyncio.sleep(0)
        await history.aclose()
        await history.aclose()
        assert await asyncio.gather(*waiting) == list(range(1, 101))
        assert await offset_of(history.append("lobby", entry())) == 101
        found = (await history.newest("lobby", 2, HUGE)).messages
        assert [message.offset for message in found] == [100, 101]
        await history.aclose()


def test_a_history_may_be_used_by_one_loop_after_the_other(history):
    async def use() -> int:
        offset = await offset_of(history.append("lobby", entry()))
        await history.aclose()
        return offset

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]


@pytest.mark.asyncio
async def test_an_entry_that_cannot_be_stored_stops_nobody_else(history, told):
    with pytest.raises(NotStored):
        await history.append("lobby", entry("\ud800"))
    assert await offset_of(history.append("lobby", entry())) == 1
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
    assert await offset_of(history.append("lobby", entry())) == 1
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
async def test_commits_are_durable_and_the_file_is_ours_alone(spy, history, tmp_path):
    await history.open()
    found = [spy.ask(f"PRAGMA {name}") for name in ("synchronous", "journal_mode", "locking_mode")]
    assert found == [2, "wal", "exclusive"]
    other = sqlite3.connect(tmp_path / "history.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM messages")
    other.close()
    await history.aclose()


def test_a_history_keeps_at_least_one_message():
    with pytest.raises(InvalidOption, match="keep"):
        SqliteHistory(keep=0)


@pytest.mark.asyncio
async def test_a_history_of_ones_own_will_do():
    own: History = FakeHistory()
    server = ChatServer(history=own)
    await server.open()
    assert await offset_of(own.append("lobby", entry())) == 1
    await server.aclose()


class Clocks:
    """What the database takes for the time that passes, and for the time of day."""

    def __init__(self, monkeypatch):
        self.passed, self.wall = 1000.0, 1_700_000_000.0
        monkeypatch.setattr(database, "monotonic", lambda: self.passed)
        monkeypatch.setattr(database, "time", lambda: self.wall)


@pytest.mark.asyncio
async def test_ids_are_forgotten_after_their_time_and_not_before(spy, tmp_path, monkeypatch):
    clocks = Clocks(monkeypatch)
    history = SqliteHistory(tmp_path / "history.db", keep=1, remember_seconds=60)
    once = entry()
    await history.append("lobby", once)
    for later in (1001.0, 1060.0):
        clocks.passed = later
        (again,) = await history.append("lobby", once)
        assert (again.offset, again.is_duplicate) == (1, True)
    clocks.passed = 1060.1
    await history.append("lobby", entry())
    (again,) = await history.append("lobby", once)
    assert (again.offset, again.is_duplicate) == (3, False)
    assert spy.ask("SELECT count(*) FROM ids") == 2
    await history.aclose()


@pytest.mark.contract("SV14")
@pytest.mark.parametrize("jump", [-1e9, -7200.0, 7200.0, 1e9])
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.asyncio
async def test_a_clock_that_is_set_makes_no_id_forgotten(tmp_path, monkeypatch, jump, restarts):
    clocks = Clocks(monkeypatch)
    history = SqliteHistory(tmp_path / "history.db", remember_seconds=60)
    once = entry()
    await history.append("lobby", once)
    if restarts:  # the time that passes is counted from the start of the machine
        await history.aclose()
        clocks.passed = 5.0
    clocks.wall += jump
    await history.append("lobby", entry())
    (again,) = await history.append("lobby", once)
    assert (again.offset, again.is_duplicate) == (1, True)
    await history.aclose()


@pytest.mark.contract("SV14")
@pytest.mark.asyncio
async def test_one_that_cannot_be_stored_takes_no_other_of_its_transaction_with_it(
    spy, history, told
):
    await history.open()
    wanted = [entry("\ud800" if n == 7 else str(n)) for n in range(20)]
    results = await asyncio.gather(
        *(history.append("lobby", each) for each in wanted), return_exceptions=True
    )
    assert spy.transactions[0] > 1
    assert [type(each) for n, each in enumerate(results) if n == 7] == [NotStored]
    stored = [each[0] for n, each in enumerate(results) if n != 7]
    assert [each.offset for each in stored] == [*range(1, 20)]
    assert not any(each.is_duplicate for each in stored)
    assert [text for _, _, text in told] == [str(n) for n in range(20) if n != 7]
    await history.aclose()


@pytest.mark.contract("SV14")
@pytest.mark.asyncio
async def test_what_fails_half_way_is_refused_and_stored_once_when_it_is_sent_again(
    spy, history, told
):
    await history.append("lobby", entry("before"))
    spy.ask(
        "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.data LIKE '%third%'"
        " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
    )
    unit = [entry(text)[0] for text in ("first", "second", "third")]
    with pytest.raises(NotStored, match="the disk is full"):
        await history.append("lobby", unit)
    assert len(told) == 1
    spy.ask("DROP TRIGGER full")
    stored = await history.append("lobby", unit)
    assert [(each.offset, each.is_duplicate) for each in stored] == [
        (2, False),
        (3, False),
        (4, False),
    ]
    await history.aclose()


VERSION_1 = """
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, top INTEGER NOT NULL
);
CREATE TABLE messages (
    room INTEGER NOT NULL REFERENCES rooms (id), offset INTEGER NOT NULL,
    id TEXT NOT NULL, sender TEXT, content TEXT NOT NULL, timestamp TEXT NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
INSERT INTO rooms VALUES (1, 'lobby', 'old', 12);
INSERT INTO messages VALUES (1, 11, 'a', NULL, 'quoted "text" ü', '2026-05-01T10:00:00Z');
INSERT INTO messages VALUES (1, 12, 'b', 'Ann', 'hello', '2026-05-01T10:00:01Z');
PRAGMA application_id = 1355116597;
PRAGMA user_version = 1;
"""


@pytest.mark.asyncio
async def test_a_file_of_the_first_version_is_read_and_goes_on(tmp_path):
    path = tmp_path / "history.db"
    old = sqlite3.connect(path)
    old.executescript(VERSION_1)
    old.close()
    history = SqliteHistory(path)
    page = await history.read("lobby", 0, 10, HUGE)
    assert [(m.offset, m.sender, json.loads(m.data), m.id) for m in page.messages] == [
        (11, None, {"content": 'quoted "text" ü', "timestamp": "2026-05-01T10:00:00Z"}, "a"),
        (12, "Ann", {"content": "hello", "timestamp": "2026-05-01T10:00:01Z"}, "b"),
    ]
    assert (page.first, page.top, len(page.epoch)) == (11, 12, 16)
    assert await offset_of(history.append("lobby", entry())) == 13
    await history.aclose()
    assert (await history.read("lobby", 12, 10, HUGE)).epoch == page.epoch
    await history.aclose()


@pytest.mark.asyncio
async def test_a_file_of_a_later_version_is_left_alone(tmp_path):
    path = tmp_path / "history.db"
    later = sqlite3.connect(path)
    later.executescript(VERSION_1.replace("user_version = 1", "user_version = 99"))
    later.close()
    with pytest.raises(HistoryUnavailable, match="its version is 99"):
        await SqliteHistory(path).open()


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
