"""The programs of the suites "server" and "history" count right; no timing decides a test."""

from __future__ import annotations

import functools
import socket
import sqlite3
import threading
from dataclasses import dataclass

import pytest
from benchmarks.harness.programs import python, run
from benchmarks.harness.serving import serving
from benchmarks.server.history import TunedHistory, talk
from benchmarks.server.readers import MARK, Crowd, frame_of
from benchmarks.server.running import sockstore_serve
from benchmarks.server.suite import history_suite, server_suite

from sockstore.server.history import sqlite

READERS, MESSAGES = 10, 20
PEERS = ["starlette_broadcast", "websockets_broadcast"]


def deliveries(command: list[str]) -> int:
    with serving(command, core=None) as server:
        sizes = ("--readers", str(READERS), "--senders", "3", "--messages", str(MESSAGES))
        load = python("benchmarks.server.load", server.address, str(server.pid), *sizes)
        figures = run([*load, "--warm-up", "4"], core=None)
    assert figures["cpu_seconds"] > 0
    return figures["deliveries"]


@pytest.mark.loopback
def test_our_server_tells_every_reader_every_message(tmp_path):
    assert deliveries(sockstore_serve(tmp_path, rate=1e6)) == READERS * MESSAGES
    assert (tmp_path / "history.db").exists()


@pytest.mark.loopback
@pytest.mark.parametrize("module", PEERS)
def test_a_peer_tells_every_reader_every_message(module):
    assert deliveries(python(f"benchmarks.server.{module}")) == READERS * MESSAGES


def test_a_server_that_does_not_start_says_why():
    with pytest.raises(RuntimeError, match="no_such_program"):
        with serving(python("benchmarks.server.no_such_program"), core=None):
            pass


@pytest.mark.loopback
def test_a_mark_that_comes_in_two_parts_is_one_message():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving_one = threading.Thread(target=say_in_parts, args=(listening,), daemon=True)
        serving_one.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with Crowd(address, "/", readers=1, senders=1, window=1) as crowd:
            assert crowd.talk(3) == 3
        serving_one.join(20)
    assert not serving_one.is_alive()


def say_in_parts(listening: socket.socket) -> None:
    """Answer each message with a mark, and half of the mark comes late."""
    connection, _ = listening.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while connection.recv(4096):
            connection.sendall(b"\x81\x04<" + MARK[:1])
            connection.sendall(MARK[1:] + b">")


def test_a_frame_is_masked_with_nothing():
    assert frame_of("hello") == b"\x81\x85\0\0\0\0hello"
    assert frame_of("x" * 300) == b"\x81\xfe\x01\x2c\0\0\0\0" + b"x" * 300


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
@pytest.mark.parametrize("options", [(), ("--one-by-one",)])
def test_every_message_that_is_counted_is_in_the_history(tmp_path, synchronous, options):
    few = ("--senders", "4", "--seconds", "0.05", "--synchronous", synchronous)
    path = str(tmp_path / "history.db")
    figures = run(python("benchmarks.server.history", path, *few, *options), core=None)
    assert figures["messages"] == figures["top"] > 0


@dataclass
class Commit:
    """A commit of a SQLite connection: its new messages, and the pragma that was in force."""

    messages: int
    synchronous: int


def note_commits(monkeypatch) -> list[Commit]:
    """Note what each connection of SQLite commits from now on."""
    commits: list[Commit] = []

    class Noting(sqlite3.Connection):
        messages = 0

        def execute(self, statement, *parameters):
            self.messages += statement.startswith("INSERT INTO messages VALUES")
            if statement == "COMMIT":
                (synchronous,) = super().execute("PRAGMA synchronous").fetchone()
                commits.append(Commit(self.messages, synchronous))
                self.messages = 0
            return super().execute(statement, *parameters)

    connect = functools.partial(sqlite3.connect, factory=Noting)
    monkeypatch.setattr(sqlite3, "connect", connect)
    return commits


@pytest.mark.asyncio
@pytest.mark.parametrize("most", [1, 64])
async def test_one_by_one_is_a_commit_for_each_message(tmp_path, monkeypatch, most):
    commits = note_commits(monkeypatch)
    monkeypatch.setattr(sqlite, "MOST_IN_ONE_TRANSACTION", most)
    history = TunedHistory(tmp_path / "history.db", "FULL")
    await history.open()
    messages = await talk(history, senders=16, seconds=0.05)
    await history.aclose()
    stored = [commit.messages for commit in commits]
    assert sum(stored) == messages
    assert max(stored) == 1 if most == 1 else max(stored) > 1


@pytest.mark.asyncio
async def test_the_pragma_is_the_one_that_was_asked_for(tmp_path, monkeypatch):
    commits = note_commits(monkeypatch)
    for number, synchronous in ((2, "FULL"), (1, "NORMAL")):
        history = TunedHistory(tmp_path / "history.db", synchronous)
        await history.open()
        commits.clear()
        await talk(history, senders=1, seconds=0.01)
        await history.aclose()
        assert {commit.synchronous for commit in commits if commit.messages} == {number}


def test_the_suites_have_ours_first_and_the_target_of_the_issue():
    server, history = server_suite(), history_suite()
    assert [suite.contenders[0].name for suite in (server, history)] == ["sockstore"] * 2
    (target,) = [target for row in server.rows for target in row.targets]
    assert (target.wanted, target.against) == (1.0, "Starlette broadcast")
    assert target.against in [contender.name for contender in server.contenders]
