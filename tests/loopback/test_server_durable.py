"""What was said survives: killed servers, stopped servers, and disks that fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from loopback.processes import free_port, run, serving
from loopback.server_kit import PATIENCE, QUICK, Mute, guest, room, running
from sockstore.server import Limits, SqliteHistory, create_app

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

LIMITS = Limits(**QUICK)


async def watch(url: str, seen: list[dict[str, object]]) -> None:
    """Note every message until the server is gone."""
    try:
        async with guest(url) as watcher:
            while True:
                seen.append(await watcher.read_until("message"))
    except (ConnectionClosed, OSError):
        return


async def talk(url: str, name: str) -> None:
    """Say one thing after the other until the server is gone."""
    try:
        async with guest(url) as talker:
            for number in itertools.count():
                await talker.say(f"{name} {number}")
                await talker.read_until("message", sender=name)
    except (ConnectionClosed, OSError):
        return


@pytest.mark.contract("SV2")
async def test_kill_9_loses_no_message_that_a_client_saw(tmp_path):
    history = ("--history", f"sqlite:///{tmp_path / 'history.db'}", "--rate", "100000")
    seen: list[dict[str, object]] = []
    kept = 0
    for least in (20, 40, 60):
        async with serving(0, *history) as server:
            talking = [
                asyncio.create_task(talk(room(server.port, name), name)) for name in ("Ann", "Bob")
            ]
            watching = asyncio.create_task(watch(room(server.port, "Watcher"), seen))
            async with asyncio.timeout(PATIENCE):
                while len(seen) < least:
                    await asyncio.sleep(0.001)
            await server.kill()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*talking, watching)
        with sqlite3.connect(tmp_path / "history.db") as database:
            rows = database.execute("SELECT offset, id, data FROM messages").fetchall()
        database.close()
        stored = {offset: (key, json.loads(data)["content"]) for offset, key, data in rows}
        assert sorted(stored) == list(range(1, len(stored) + 1))
        assert len(stored) > kept
        kept = len(stored)
        for message in seen:
            assert stored[message["offset"]] == (message["id"], message["content"])


@pytest.mark.contract("SV5", "SV2")
async def test_sigterm_says_1012_to_all_writes_everything_and_exits_0(tmp_path):
    history = ("--history", f"sqlite:///{tmp_path / 'history.db'}", "--rate", "100000")
    async with serving(0, *history) as server:
        mute = await Mute.connect(server.port, "/chat/lobby?name=Mute")
        async with guest(room(server.port)) as ann, guest(server.url) as echo:
            talking = asyncio.create_task(talk(room(server.port, "Bob"), "Bob"))
            for number in range(20):
                await ann.say(f"message {number}")
            await ann.read_until("message", content="message 19")
            stopping = asyncio.create_task(server.stop(signal.SIGTERM))
            assert (await ann.close_of())[0] == 1012
            assert (await echo.close_of())[0] == 1012
            await talking
            mute.sock.close()
            finished = await stopping
        assert (finished.status, finished.err) == (0, "")
        with pytest.raises(OSError, match="onnect"):
            await connect(server.url, proxy=None)
    with sqlite3.connect(tmp_path / "history.db") as database:
        rows = database.execute("SELECT offset FROM messages ORDER BY offset").fetchall()
    database.close()
    assert [offset for (offset,) in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 20
    assert [file.name for file in tmp_path.iterdir()] == ["history.db"]


@pytest.mark.contract("SV2")
async def test_the_history_is_in_the_users_data_directory_and_survives_a_restart(tmp_path):
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    async with serving(environment=environment) as server, guest(room(server.port)) as ann:
        await ann.say("kept")
        await ann.messages(1)
    assert (tmp_path / "sockstore" / "history.db").exists()
    async with serving(environment=environment) as server, guest(room(server.port)) as ann:
        assert [m["content"] for m in ann.history] == ["kept"]


async def test_memory_keeps_nothing(tmp_path):
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    memory = ("--history", "sqlite:///:memory:")
    async with serving(0, *memory, environment=environment) as server:
        async with guest(room(server.port)) as ann:
            await ann.say("gone soon")
            assert (await ann.messages(1))[0]["offset"] == 1
        finished = await server.stop()
    assert "history in memory" in finished.out
    assert not list(tmp_path.iterdir())


@pytest.mark.contract("SV4")
async def test_the_token_comes_from_the_environment_and_is_never_printed():
    environment = {"SOCKSTORE_TOKEN": "hunter2"}
    async with serving(environment=environment) as server:
        async with guest(f"{server.url}?token=hunter2"):
            pass
        refused = await run("send", server.url, "x")
        assert (refused.status, "401" in refused.err) == (1, True)
        finished = await server.stop()
    assert (finished.status, finished.err) == (0, "")
    assert "hunter2" not in finished.out + refused.err


@pytest.mark.contract("SV3", "SV4")
async def test_rate_size_and_origin_are_options():
    options = ("--rate", "0.001", "--max-message-bytes", "100", "--origin", "https://a.example")
    async with serving(0, *options) as server:
        async with guest(server.url, origin="https://a.example") as visitor:
            await visitor.connection.send("x" * 101)
            assert (await visitor.close_of())[0] == 1009
        async with guest(server.url) as visitor:
            for _ in range(101):
                await visitor.connection.send("x")
            assert (await visitor.close_of())[0] == 4429


@pytest.mark.contract("SV3", "SE1")
async def test_the_number_of_rooms_of_one_session_is_an_option():
    """P43: above the default, too."""
    async with serving(0, "--subscriptions", "150", "--rate", "1000") as server:
        url = server.url.replace("/echo", "/connection/websocket")
        asked = [{"id": n, "subscribe": {"channel": f"room-{n}"}} for n in range(2, 153)]
        async with guest(url) as visitor:
            await visitor.connection.send(
                "\n".join(map(json.dumps, [{"id": 1, "connect": {}}, *asked]))
            )
            replies: list[dict[str, object]] = []
            while len(replies) < 152:
                text = await visitor.connection.recv()
                replies += map(json.loads, text.split("\n"))
            assert all("epoch" in each["subscribe"] for each in replies[1:151])
            assert replies[151]["error"]["code"] == 106


@pytest.mark.contract("SV4", "CL1")
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--rate", "0"), 2, ("rate", "'0'")),
        (("--rate", "many"), 2, ("many",)),
        (("--max-message-bytes", "-1"), 2, ("-1",)),
        (("--subscriptions", "0"), 2, ("--subscriptions", "0")),
        (("--max-message-bytes", "1"), 2, ("--max-message-bytes: '1'", "64")),
        (("--origin", "example.com"), 2, ("example.com", "scheme://host")),
        (("--history", "redis://127.0.0.1:1"), 1, ("redis://127.0.0.1:1", "cannot be used")),
        (("--history", "redis://127.0.0.1:1/0?foo=1"), 2, ("no option 'foo'",)),
        (("--history", "redis://127.0.0.1:1/0?db=x"), 2, ("'db'",)),
        (("--history", "redis://127.0.0.1:1/0?retry=1"), 2, ("option of it",)),
        (("--history", "redis://127.0.0.1:1/0?protocol=9"), 2, ("protocol must be",)),
        (("--history", "mysql://127.0.0.1"), 2, ("mysql://127.0.0.1", "sqlite:///PATH")),
        (("--history", "sqlite:///"), 2, ("sqlite:///PATH",)),
        (("--history", "sqlite:////nowhere/at/all.db"), 1, ("/nowhere/at/all.db", "folder")),
        (("--history", "sqlite:////"), 1, ("cannot be used",)),
        (("--token", ""), 2, ("token is empty", "SOCKSTORE_TOKEN")),
        (("--host", "256.0.0.1"), 2, ("--host: '256.0.0.1'",)),
    ],
)
async def test_bad_values_are_one_clear_sentence(arguments, status, words):
    finished = await run("serve", "--port", str(free_port()), *arguments)
    assert (finished.status, finished.out) == (status, "")
    assert len(finished.err.strip().splitlines()) == 1, finished.err
    for word in words:
        assert word in finished.err


@pytest.mark.contract("CL1")
async def test_an_unwritable_data_directory_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {"XDG_DATA_HOME": str(tmp_path / "file")}
    finished = await run("serve", "--port", "0", environment=environment)
    assert (finished.status, finished.out) == (1, "")
    assert len(finished.err.strip().splitlines()) == 1, finished.err
    assert "--history" in finished.err


@pytest.mark.contract("SV5")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_any_application_is_served_until_it_is_told_to_stop(number):
    code = (
        "from contextlib import asynccontextmanager\n"
        "from starlette.applications import Starlette\n"
        "from sockstore.cli.serving import address_of, listening_socket, serve_until_stopped\n"
        "@asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    print('begins', flush=True)\n"
        "    yield\n"
        "    print('ends', flush=True)\n"
        "sock = listening_socket('127.0.0.1', 0)\n"
        "serve_until_stopped(Starlette(lifespan=lifespan), sock,\n"
        "                    on_started=lambda: print(address_of(sock), flush=True))\n"
        "print('returned', flush=True)\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert await process.stdout.readline() == b"begins\n"
    assert (await process.stdout.readline()).startswith(b"127.0.0.1:")
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"ends\nreturned\n", b"")


def no_database(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


def of_another_program(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE bookmarks (url)")
    database.close()


def of_a_later_version(path: Path) -> None:
    SqliteHistory(path).check()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()


@pytest.mark.contract("SV2", "CL1")
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (no_database, "not a SQLite database"),
        (of_another_program, "another program"),
        (of_a_later_version, "version is 99"),
    ],
)
async def test_a_file_that_is_no_history_is_refused_and_left_as_it_is(tmp_path, make, word):
    path = tmp_path / "history.db"
    make(path)
    before = path.read_bytes()
    finished = await run("serve", "--port", "0", "--history", f"sqlite:///{path}")
    assert (finished.status, finished.out) == (1, "")
    assert len(finished.err.strip().splitlines()) == 1, finished.err
    assert str(path) in finished.err
    assert word in finished.err
    assert path.read_bytes() == before


@pytest.mark.contract("SV2")
async def test_a_history_that_another_server_uses_is_refused(tmp_path):
    history = ("--history", f"sqlite:///{tmp_path / 'history.db'}")
    async with serving(0, *history):
        finished = await run("serve", "--port", "0", *history)
    assert finished.status == 1
    assert "another server uses it" in finished.err


class Disk:
    """The disk of one history, which fails and is mended.

    `execute` asks the history's own SQLite connection, for which SQLite's limits hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.away = path.with_suffix(".away")
        self.history = SqliteHistory(path)

    async def execute(self, statement: str) -> None:
        await self.history._ask(lambda database: database.open().execute(statement).close())

    async def make_full(self) -> None:
        await self.execute("PRAGMA max_page_count = 1")  # the present size, then

    async def make_room(self) -> None:
        await self.execute("PRAGMA max_page_count = 100000")

    async def make_read_only(self) -> None:
        await self.execute("PRAGMA query_only = ON")

    async def make_writable(self) -> None:
        await self.execute("PRAGMA query_only = OFF")

    async def remove(self) -> None:
        self.path.rename(self.away)

    async def replace(self) -> None:
        self.path.rename(self.away)
        self.path.write_bytes(b"")

    async def bring_back(self) -> None:
        self.away.replace(self.path)


@pytest.mark.contract("SV2", "SV6")
@pytest.mark.parametrize(
    ("fail", "mend"),
    [
        (Disk.make_full, Disk.make_room),
        (Disk.make_read_only, Disk.make_writable),
        (Disk.remove, Disk.bring_back),
        (Disk.replace, Disk.bring_back),
    ],
    ids=["full", "read-only", "removed", "replaced"],
)
async def test_a_disk_error_is_told_to_the_sender_and_no_client_sees_the_message(
    tmp_path, caplog, fail, mend
):
    disk = Disk(tmp_path / "history.db")
    async with running(create_app(history=disk.history, limits=LIMITS)) as server:
        async with server.enter("lobby", "Ann") as ann, server.enter("lobby", "Bob") as bob:
            await ann.say("before")
            await ann.messages(1)
            await fail(disk)
            for _ in range(3):
                await ann.say("lost " + "x" * 50_000)
                error = await ann.read_until("error")
                assert error["code"] == "not_stored"
            await mend(disk)
            await ann.say("after")
            said = [(m["content"], m["offset"]) for m in await bob.messages(2)]
            assert said == [("before", 1), ("after", 2)]
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(failures) == 1, "one line in the log for a row of failures"
    assert failures[0].exc_info is None


@pytest.mark.contract("SV2", "SV6")
async def test_a_history_that_cannot_be_read_leaves_the_room_open(tmp_path):
    app = create_app(history=f"sqlite:///{tmp_path}", limits=LIMITS)  # a folder is not a file
    async with running(app, lifespan="off") as server:
        async with server.enter() as ann:
            assert ann.history == []
            assert (await ann.read())["code"] == "history_unavailable"
            await ann.say("x")
            assert (await ann.read())["code"] == "not_stored"
            async with server.enter("lobby", "Bob"):
                assert (await ann.read())["type"] == "join"
        await app.state.chat_server.aclose()


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are a thing of POSIX")
@pytest.mark.contract("SV2")
async def test_a_disk_that_is_really_full_is_no_crash(tmp_path):
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "from sockstore.cli import main; raise SystemExit(main())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "serve", "--port", "0"),
        *("--history", f"sqlite:///{tmp_path / 'history.db'}", "--rate", "1000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        line = (await process.stdout.readline()).decode()
        port = int(line.rpartition("/echo")[0].rpartition(":")[2])
        stored, refused = [], 0
        async with guest(room(port)) as ann:
            for _ in range(20):
                await ann.say("x" * 50_000)
                answer = await ann.read()
                if answer["type"] == "message":
                    stored.append(answer["offset"])
                else:
                    assert answer["code"] == "not_stored"
                    refused += 1
        assert stored == list(range(1, len(stored) + 1))
        assert refused
        assert process.returncode is None
    finally:
        process.terminate()
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err
    async with serving(0, "--history", f"sqlite:///{tmp_path / 'history.db'}") as server:
        async with guest(room(server.port)) as ann:
            assert [m["offset"] for m in ann.history] == stored
