"""The files of a SQLite history: who may read them, and what happens when they are removed."""

from __future__ import annotations

import functools
import os
import sqlite3
import stat

import pytest

from loopback.processes import serving
from loopback.server_kit import guest, room
from sockstore.server import NotStored, SqliteHistory
from sockstore.server.history.base import Entry

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

HUGE = 2**30
SUFFIXES = ("", "-wal")


def entry(text):
    return Entry("Ann", f'"{text}"', f"id {text}")


async def texts_of(history):
    return [message.data.strip('"') for message in (await history.read("r", 0, 100, HUGE)).messages]


async def say(port, *texts):
    """Say something in a room until it is stored, and return the offsets."""
    offsets = []
    async with guest(room(port)) as ann:
        for text in texts:
            await ann.say(text)
            offsets.append((await ann.read_until("message", content=text))["offset"])
    return offsets


@pytest.mark.contract("SV14")
async def test_what_was_told_survives_a_removed_journal_and_kill_9(tmp_path):
    history = ("--history", f"sqlite:///{tmp_path / 'history.db'}")
    async with serving(0, *history) as server:
        assert await say(server.port, "a", "b") == [1, 2]
        (tmp_path / "history.db-wal").unlink()
        assert await say(server.port, "c") == [3]
        (tmp_path / "history.db-wal").replace(tmp_path / "elsewhere")
        (tmp_path / "history.db-wal").write_bytes(b"another journal")
        assert await say(server.port, "d", "e") == [4, 5]
        await server.kill()
    async with serving(0, *history) as server, guest(room(server.port)) as ann:
        assert [m["content"] for m in ann.history] == ["a", "b", "c", "d", "e"]


@pytest.mark.contract("SV14")
async def test_a_journal_that_is_removed_during_a_commit_takes_nothing_with_it(
    tmp_path, monkeypatch, caplog
):
    path = tmp_path / "history.db"
    to_remove = []

    class Removing(sqlite3.Connection):
        """Removes files right before the next commit."""

        def execute(self, statement, *parameters):
            if statement == "COMMIT" and to_remove:
                to_remove.pop().unlink()
            return super().execute(statement, *parameters)

    connect = functools.partial(sqlite3.connect, factory=Removing)
    monkeypatch.setattr(sqlite3, "connect", connect)
    history = SqliteHistory(path)
    await history.append("r", [entry("a")])
    to_remove.append(tmp_path / "history.db-wal")
    (stored,) = await history.append("r", [entry("b")])
    assert not to_remove
    assert stored.offset == 2
    assert "its file -wal was removed; its content is saved" in caplog.text
    copy = tmp_path / "copy.db"  # what a machine that dies now would find
    for suffix in SUFFIXES:
        copy.with_name(f"copy.db{suffix}").write_bytes(
            path.with_name(f"history.db{suffix}").read_bytes()
        )
    found = SqliteHistory(copy)
    assert await texts_of(found) == ["a", "b"]
    await found.aclose()
    await history.aclose()


def cut(path):
    os.truncate(path, 0)


def rename_folder(path):
    path.parent.rename(path.parent.with_name("moved"))


def remove_all(path):
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink()


@pytest.mark.contract("SV14")
@pytest.mark.parametrize(
    "harm",
    [
        cut,
        lambda path: cut(path.with_name(path.name + "-wal")),
        rename_folder,
        remove_all,
        lambda path: path.unlink(),
    ],
    ids=["database cut", "journal cut", "folder renamed", "all removed", "database removed"],
)
async def test_nothing_is_acknowledged_into_files_that_are_not_there(tmp_path, harm):
    folder = tmp_path / "folder"
    folder.mkdir()
    history = SqliteHistory(folder / "history.db")
    for number in range(3):
        await history.append("r", [entry(str(number))])
    await history.aclose()
    await history.append("r", [entry("3")])
    harm(folder / "history.db")
    for _ in range(2):
        with pytest.raises(NotStored, match="restart the server"):
            await history.append("r", [entry("lost")])
    await history.aclose()


@pytest.mark.contract("SV14")
async def test_a_file_that_comes_back_is_used_again(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    history = SqliteHistory(folder / "history.db")
    await history.append("r", [entry("a")])
    folder.rename(tmp_path / "moved")
    with pytest.raises(NotStored):
        await history.append("r", [entry("b")])
    (tmp_path / "moved").rename(folder)
    (stored,) = await history.append("r", [entry("b")])
    assert (stored.offset, stored.is_duplicate) == (2, False)
    await history.aclose()
    assert await texts_of(history) == ["a", "b"]
    await history.aclose()


@pytest.fixture
def _others_may_read():
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes_of(path):
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return [oct(stat.S_IMODE(file.stat().st_mode)) for file in files]


@pytest.mark.contract("SV15")
@pytest.mark.skipif(os.name != "posix", reason="POSIX has such rights")
@pytest.mark.usefixtures("_others_may_read")
async def test_only_its_owner_may_read_a_history(tmp_path):
    path = tmp_path / "history.db"
    history = SqliteHistory(path)
    await history.append("r", [entry("secret")])
    assert modes_of(path) == ["0o600", "0o600"]
    copies = {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in SUFFIXES}
    await history.aclose()
    # As after the death of an older version, which let all users read them.
    for suffix, content in copies.items():
        path.with_name(path.name + suffix).write_bytes(content)
        path.with_name(path.name + suffix).chmod(0o644)
    assert await texts_of(history) == ["secret"]
    assert modes_of(path) == ["0o600", "0o600"]
    await history.aclose()


@pytest.mark.contract("SV15")
@pytest.mark.skipif(os.name != "posix", reason="POSIX has such rights")
@pytest.mark.usefixtures("_others_may_read")
async def test_the_rights_of_a_foreign_file_are_left_alone(tmp_path):
    path = tmp_path / "diary"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(NotStored):
        await SqliteHistory(path).append("r", [entry("a")])
    assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o644"
