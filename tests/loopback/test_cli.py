"""The command line, as a user runs it: real processes, real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import socket
import sys

import pytest
from websockets.asyncio.server import serve

from loopback.processes import free_port, run, serving, start

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("CL1")]

LIMIT = 60


async def line_of(stream: asyncio.StreamReader, wanted: str) -> str:
    async with asyncio.timeout(LIMIT):
        while wanted not in (line := (await stream.readline()).decode()):
            assert line, f"{wanted!r} never came"
    return line


def assert_one_line(finished, *words: str) -> None:
    assert "Traceback" not in finished.err
    lines = finished.err.strip().splitlines()
    assert len(lines) == 1, finished.err
    for word in words:
        assert word in lines[0], lines[0]


async def test_send_delivers_and_prints_replies():
    async with serving() as server:
        sent = await run("send", server.url, "hello", '{"a": 1}', "--replies", "2")
    assert (sent.status, sent.out, sent.err) == (0, 'hello\n{"a":1}\n', "")


async def test_send_reads_standard_input():
    async with serving() as server:
        sent = await run("send", server.url, "-", "--replies", "1", stdin="from a pipe")
    assert sent.status == 0
    assert sent.out == "from a pipe\n"


async def test_listen_prints_one_json_line_for_each_message_and_leaves_after_count():
    async def speak(websocket):
        await websocket.send('{"price": 1.5}')
        await websocket.send("plain\ntext")
        await websocket.send(b"\x00\xff")
        await websocket.wait_closed()

    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        heard = await run("listen", f"ws://127.0.0.1:{port}", "--count", "3")
    assert heard.status == 0
    assert [json.loads(line) for line in heard.out.splitlines()] == [
        {"price": 1.5},
        {"type": "text", "content": "plain\ntext"},
        {"type": "binary", "content": "AP8="},
    ]
    assert "[connected]" in heard.err


async def test_listen_with_json_prints_status_events_too():
    async def speak(websocket):
        await websocket.send("hello")
        await websocket.close(1000, "bye")

    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        heard = await run("listen", f"ws://127.0.0.1:{port}", "--json")
    events = [json.loads(line) for line in heard.out.splitlines()]
    phases = [event["phase"] for event in events if event["event"] == "status"]
    assert phases == ["connecting", "open", "closed"]
    assert events[-1]["close"] == {"code": 1000, "reason": "bye"}
    assert [event["data"] for event in events if event["event"] == "message"] == [
        {"type": "text", "content": "hello"}
    ]
    assert (heard.status, heard.err) == (0, "")


async def test_listen_survives_a_killed_server():
    async with serving() as server:
        listening = await start("listen", server.url)
        await line_of(listening.stderr, "[connected]")
        await server.kill()
        await line_of(listening.stderr, "retry 1 in")
        async with serving(server.port):
            await line_of(listening.stderr, "[connected]")
            listening.send_signal(signal.SIGINT)
            async with asyncio.timeout(LIMIT):
                _, err = await listening.communicate()
    assert listening.returncode == 130
    assert b"Traceback" not in err


async def test_ctrl_c_ends_the_server_cleanly():
    async with serving() as server:
        finished = await server.stop(signal.SIGINT)
    assert (finished.status, finished.err) == (0, "")


async def test_sigterm_ends_the_server_cleanly_and_clients_are_told_1012():
    async with serving() as server:
        listening = await start("listen", server.url, "--json")
        await line_of(listening.stdout, '"phase":"open"')
        finished = await server.stop(signal.SIGTERM)
        lost = json.loads(await line_of(listening.stdout, '"phase":"waiting"'))
        listening.kill()
        await listening.communicate()
    assert (finished.status, finished.err) == (0, "")
    assert lost["close"]["code"] == 1012


async def test_a_reader_that_leaves_is_no_error():
    async with serving() as server:
        script = f"{start_command('send', server.url, 'a', 'b', '--replies', '2')} | head -n 1"
        process = await asyncio.create_subprocess_shell(
            script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(LIMIT):
            out, err = await process.communicate()
    assert (out, err) == (b"a\n", b"")


def start_command(*arguments: str) -> str:
    return shlex.join([sys.executable, "-m", "sockstore", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("listen", "localhost:8765"), ("must begin with ws://",)),
        (("listen", "http://localhost"), ("must begin with ws://",)),
        (("listen", "ws://localhost:99999"), ("port",)),
        (("listen", "ws://localhost:0"), ("port",)),
        (("listen", "ws://"), ("no host",)),
        (("listen", "ws://h", "--count", "0"), ("at least 1",)),
        (("listen", "ws://h", "--header", "nonsense"), ("Name: value",)),
        (("send", "ws://h"), ("MESSAGE",)),
        (("send", "ws://h", "x", "--timeout", "soon"), ("seconds",)),
        (("serve", "--port", "65536"), ("65535",)),
        (("serve", "--port", "many"), ("port",)),
        (("nonsense",), ("nonsense",)),
        ((), ("COMMAND",)),
    ],
)
async def test_wrong_usage_is_one_line_and_status_2(arguments, words):
    finished = await run(*arguments)
    assert finished.status == 2
    assert_one_line(finished, *words, "--help")


async def test_a_dead_server_is_one_line():
    url = f"ws://127.0.0.1:{free_port()}"
    finished = await run("send", url, "x", "--attempts", "0")
    assert finished.status == 1
    assert_one_line(finished, "refused", url)
    finished = await run("send", url, "x", "--timeout", "3")
    assert finished.status == 1
    # The first attempt must have been refused by then, on a loaded machine, too.
    assert_one_line(finished, "within 3 s", "refused")


async def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = await run("serve", "--port", str(port))
    assert finished.status == 1
    assert_one_line(finished, str(port), "--port")


@pytest.mark.parametrize("command", [(), ("listen",), ("send",), ("serve",), ("demo",)])
async def test_help_has_examples(command):
    finished = await run(*command, "--help")
    assert finished.status == 0
    assert "examples:" in finished.out
    assert "sockstore " in finished.out


async def test_the_demo_in_the_terminal_shows_a_connection_that_survives_its_server():
    finished = await run("demo", "--terminal", "--messages", "8")
    assert finished.status == 0, finished.out + finished.err
    assert "the server is killed" in finished.out
    assert "queued" in finished.out
    assert "status error" in finished.out
    assert finished.out.count("status connected") == 2
    assert "all 8 messages came back, each once and in order" in finished.out
    assert finished.err == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there are /echo, /chat/ROOM, and /connection/websocket for any number of rooms."),
        (("--server", "ws://localhost:8765"), "the pages connect to ws://localhost:8765."),
    ],
)
async def test_the_demo_says_which_paths_exist(options, words):
    demo = await start("demo", "--no-browser", "--port", "0", *options)
    try:
        address = re.search(r"http://(\S+)", await line_of(demo.stdout, "http://"))[1]
        for path in ("/nowhere", "/chat", "/_nicegui", "/"):
            finished = await run("listen", f"ws://{address}{path}", "--attempts", "0")
            assert finished.status == 1
            assert finished.err.strip().endswith(words), finished.err
            assert "404" in finished.err
    finally:
        demo.kill()
        await demo.communicate()
