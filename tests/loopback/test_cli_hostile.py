"""The command line, whatever it is given, wherever its output goes, and however it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
import unicodedata
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from loopback.processes import SECONDS, Finished, free_port, run, serving, start
from loopback.servers import Peer
from loopback.servers import serve as serve_raw
from sockstore.cli import chat, demo, listen, send
from sockstore.cli import serve as serve_command

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("CL3")]

ROOT = Path(__file__).parents[2]
NOWHERE = f"ws://127.0.0.1:{free_port()}"
EVIL = "a\u009b31m\x1b]0;title\x07\x7f\u0085b\u2028c\u202ed"


def command(*arguments: str) -> str:
    return shlex.join([sys.executable, "-m", "sockstore", *arguments])


async def shell(script: str, **environment: str) -> Finished:
    """Run a script of the shell, which can close streams and lead them to full disks."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return Finished(process.returncode or 0, out.decode(), err.decode())


def commanding(text: str) -> list[str]:
    """Return what a terminal would obey."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Zl", "Zp"}]


def assert_said(finished: Finished, status: int, *words: str) -> None:
    """One line, with these words, and this status."""
    lines = finished.err.splitlines()
    assert (finished.status, len(lines)) == (status, 1), finished.err
    assert not commanding(finished.err)
    for word in words:
        assert word in finished.err


# Nothing that a server sends commands the terminal


async def evil(websocket) -> None:
    await websocket.send(EVIL)
    await websocket.send(json.dumps({EVIL: [EVIL]}, ensure_ascii=False))
    await websocket.close(4001, "bye \x1b[31m\u009b2J\x07\n[connected]")


@pytest.mark.contract("CL2")
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_what_a_server_sends_is_printed_as_json_that_commands_no_terminal(form):
    async with serve(evil, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        heard = await run("listen", f"ws://127.0.0.1:{port}", "--attempts", "0", *form)
    assert not commanding(heard.out + heard.err)
    assert "\u202e" not in heard.out + heard.err
    assert "\n[connected]\n" not in heard.err.partition("[connected]")[2]
    assert heard.status == 1
    said = [json.loads(line) for line in heard.out.splitlines()]
    messages = [one["data"] for one in said if one["event"] == "message"] if form else said
    assert messages == [{"type": "text", "content": EVIL}, {EVIL: [EVIL]}]  # nothing is lost


@pytest.mark.contract("CL2")
async def test_raw_prints_it_as_it_came():
    async with serve(evil, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        script = command("listen", f"ws://127.0.0.1:{port}", "--attempts", "0", "--raw")
        heard = await shell(script, PYTHONIOENCODING="ascii")
    assert heard.out == EVIL + "\n" + json.dumps({EVIL: [EVIL]}, ensure_ascii=False) + "\n" or (
        heard.out.startswith(EVIL + "\n")
    )
    assert not commanding(heard.err)


@pytest.mark.contract("CL2")
async def test_replies_are_one_line_each_and_command_no_terminal():
    async def answer(websocket) -> None:
        async for _ in websocket:
            for text in ("plain é", "two\nlines", EVIL, '"x"'):
                await websocket.send(text)

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sent = await run("send", f"ws://127.0.0.1:{port}", "x", "--replies", "4")
    lines = sent.out.splitlines()
    assert lines[0] == "plain é"
    assert [json.loads(line) for line in lines[1:3]] == ["two\nlines", EVIL]
    assert len(lines) == 4
    assert (sent.status, sent.err, commanding(sent.out)) == (0, "", [])


@pytest.mark.contract("CL2")
@pytest.mark.parametrize(
    "answer",
    [
        ("404 Not\x1b[31m \u009b2JFound", ()),
        ("302 Found", ("Location: ws://evil.example/\x1b]0;x\x07",)),
        ("101 Switching\x1b[2J Protocols", ("Upgrade: \x1b[31m",)),
        ("999 \x07", ()),
    ],
    ids=["reason", "redirect", "upgrade", "status"],
)
async def test_words_of_a_refusal_command_no_terminal(answer):
    async def refuse(peer: Peer) -> None:
        status, headers = answer
        await peer.answer(
            status, *headers, body=b"no \x1b[31m\xc2\x9b2J entry\nsockstore send: fine\n"
        )

    async with serve_raw(refuse) as server:
        sent = await run("send", server.url, "x", "--attempts", "0")
        assert_said(sent, 1, "sockstore send:")
        heard = await run("listen", server.url, "--attempts", "0")
    assert not commanding(heard.err)
    assert "\nsockstore send: fine" not in heard.err


@pytest.mark.contract("CL2")
async def test_the_log_of_a_server_has_one_line_for_each_record():
    import logging  # noqa: PLC0415 - only here

    from sockstore.cli.output import HarmlessFormatter  # noqa: PLC0415 - only here

    def record(**more):
        text = "room %r of %s"
        values = ("a", "\x1b[31m\u009b\nERROR: forged")
        return logging.LogRecord("x", logging.WARNING, "", 1, text, values, **more)

    shown = HarmlessFormatter().format(record(exc_info=None))
    assert shown.splitlines() == ["WARNING: room 'a' of \ufffd[31m\ufffd ERROR: forged"]
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        traced = HarmlessFormatter().format(record(exc_info=sys.exc_info()))
    assert not commanding(traced)
    assert "ValueError" in traced


# Output that is closed, full, or has no letters


@pytest.mark.parametrize("stream", [">/dev/full", ">&-"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "URL", "a", "--replies", "1"),
        ("listen", "URL?hello", "--count", "1"),
        ("listen", "URL?hello", "--count", "1", "--json"),
        ("listen", "URL?hello", "--count", "1", "--raw"),
        ("demo", "--terminal", "--messages", "4"),
        ("--help",),
        ("send", "--help"),
        ("--version",),
    ],
    ids=lambda value: " ".join(value).replace("URL", ""),
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_output_that_cannot_be_written_is_one_line(stream, arguments, unbuffered):
    async with serve(speak, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        named = [part.replace("URL", url) for part in arguments]
        done = await shell(f"{command(*named)} {stream}", PYTHONUNBUFFERED=unbuffered)
    assert done.status == 1
    last = done.err.splitlines()[-1]
    assert "cannot write to standard output" in last
    assert [line for line in done.err.splitlines() if not line.startswith("[")] == [last]


async def speak(websocket) -> None:
    if websocket.request.path.endswith("hello"):
        await websocket.send('"hello"')
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-"])
async def test_errors_that_cannot_be_said_leave_the_status(stream):
    done = await shell(f"{command('send', NOWHERE, 'x', '--attempts', '0')} {stream}")
    assert (done.status, done.out, done.err) == (1, "", "")
    done = await shell(f"{command('send', 'nonsense', 'x')} {stream}")
    assert (done.status, done.out, done.err) == (2, "", "")


async def test_everything_closed_is_no_traceback():
    async with serving() as server:
        done = await shell(f"{command('send', server.url, 'x')} <&- >&- 2>&-")
        assert done.status == 0
        done = await shell(f"{command('send', server.url, '-')} <&-")
        assert_said(done, 1, "standard input")


@pytest.mark.parametrize(
    "arguments", [("demo", "--terminal", "--messages", "4"), ("--help",), ("listen", "--help")]
)
async def test_a_reader_that_leaves_ends_it_without_a_word(arguments):
    done = await shell(f"{command(*arguments)} | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert (done.status, done.err) == (0, "")
    done = await shell(f"{command(*arguments)} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.status, done.err) == (0, "")


async def test_a_reader_that_leaves_before_the_last_line_ends_the_demo_without_a_word():
    demo = command("demo", "--terminal", "--messages", "4")
    done = await shell(f"{demo} | sed '/status disconnected closed/q'; exit ${{PIPESTATUS[0]}}")
    assert done.out.splitlines()[-1].endswith("status disconnected closed")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("stream", [">/dev/full", ">&-", "| true"])
async def test_a_server_serves_also_if_it_cannot_say_where(stream):
    port = free_port()
    script = f"{command('serve', '--port', str(port), '--history', 'sqlite:///:memory:')} {stream}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script), stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    sent = await run("send", f"ws://127.0.0.1:{port}/echo", "x", "--timeout", "30")
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(SECONDS):
        _, err = await process.communicate()
    assert (sent.status, sent.err) == (0, "")
    assert len(err.splitlines()) == (0 if stream == "| true" else 1)


ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


async def test_without_letters_json_stays_json_and_text_is_escaped():
    async with serve(speak, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        script = command("send", url, "é€😀", '["é😀"]', "--replies", "2")
        sent = await shell(script, **ASCII)
        assert (sent.status, sent.err) == (0, "")
        text, data = sent.out.splitlines()
        assert json.loads(data) == ["é😀"]
        assert text == "\\xe9\\u20ac\\U0001f600"
        refused = await shell(command("send", "http://é", "x"), **ASCII)
    assert_said(refused, 2, "ws://")


async def test_input_that_is_not_text_is_one_line():
    async with serving() as server:
        done = await shell(f"printf '\\xff\\xfe' | {command('send', server.url, '-')}")
        assert_said(done, 1, "standard input", "UTF-8")
        done = await shell(f"{command('send', server.url)} $'\\xff'")
        assert_said(done, 2, "UTF-8", "argument 3")
        done = await shell(
            f"printf 'caf\\xc3\\xa9' | {command('send', server.url, '-', '--replies', '1')}"
        )
    assert (done.status, done.out) == (0, "café\n")


@pytest.mark.parametrize(
    "arguments",
    [
        "listen ws://h/$'\\xff'",
        "chat ws://h --name $'\\xff'",
        "serve --history $'sqlite:///\\xff'",
        "$'\\xff'",
    ],
)
async def test_arguments_that_are_not_text_are_wrong_usage(arguments):
    done = await shell(f"{command()} {arguments}")
    assert_said(done, 2, "UTF-8")


# Options


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("listen", "ws://h", "--attempts", "-1"), ("--attempts",)),
        (("listen", "ws://h", "--attempts", "x"), ("--attempts",)),
        (("listen", "ws://h", "--attempts", LONG), ("--attempts",)),
        (("listen", "ws://h", "--count", "0"), ("--count",)),
        (("listen", "ws://h", "--count", LONG), ("--count",)),
        (("listen", "ws://h", "--header", "Bad Name: x"), ("--header", "'Bad Name'")),
        (("listen", "ws://h", "--header", "A: b\nC: d"), ("--header", "one line")),
        (("listen", "ws://h", "--subprotocol", "a b"), ("--subprotocol", "'a b'")),
        (("listen", "ws://h", "--subprotocol", "a", "--subprotocol", "a"), ("--subprotocol",)),
        (("listen", "ws://h", "--room", ""), ("--room",)),
        (("listen", "ws://h", "--json", "--raw"), ("--raw",)),
        (("listen", "ws://h\x1b[31m"), ("URL",)),
        (("send", "ws://h", "x", "--timeout", "nan"), ("--timeout",)),
        (("send", "ws://h", "x", "--timeout", "inf"), ("--timeout",)),
        (("send", "ws://h", "x", "--timeout", "-1"), ("--timeout",)),
        (("send", "ws://h", "x", "--replies", "0"), ("--replies",)),
        (("send", "ws://h", "x", "--replies", "1e3"), ("--replies",)),
        (("serve", "--host", "256.1.1.1", "--port", "0"), ("--host", "256.1.1.1")),
        (("serve", "--host", "a..b", "--port", "0"), ("--host",)),
        (("serve", "--host", "x" * 300, "--port", "0"), ("--host",)),
        (("serve", "--host", "192.0.2.1", "--port", "0"), ("--host", "192.0.2.1")),
        (("serve", "--host", ""), ("--host",)),
        (("serve", "--port", LONG), ("--port",)),
        (("serve", "--port", "-1"), ("--port",)),
        (("serve", "--host-name", "http://a"), ("--host-name",)),
        (("serve", "--origin", "example.com"), ("--origin", "scheme://")),
        (("serve", "--token", ""), ("--token",)),
        (("serve", "--history", "nonsense"), ("--history", "sqlite:///")),
        (("serve", "--history", ""), ("--history",)),
        (("serve", "--history", "redi://me:secret@h"), ("--history", "***")),
        (("serve", "--history", "sqlite:///~nobody-of-this-name/x"), ("--history",)),
        (("serve", "--history", "redis://h?appendonly=maybe"), ("--history",)),
        (("serve", "--history", "redis://127.0.0.1:nonsense/0"), ("--history", "port")),
        (("serve", "--history", "redis://[::1"), ("--history", "its host")),
        (("serve", "--rate", "nan"), ("--rate",)),
        (("serve", "--rate", "1e-9"), ("--rate",)),
        (("serve", "--max-message-bytes", "1"), ("--max-message-bytes",)),
        (("demo", "--server", "http://h"), ("--server",)),
        (("demo", "--server", "ws://h?x=1"), ("--server",)),
        (("demo", "--messages", "8"), ("--messages", "--terminal")),
        (("demo", "--terminal", "--messages", "3"), ("--messages", "4")),
        (("demo", "--terminal", "--server", "ws://h"), ("--server", "--terminal")),
        (("demo", "--terminal", "--port", "0"), ("--port", "--terminal")),
        (("demo", "--terminal", "--host", "::1"), ("--host", "--terminal")),
        (("demo", "--terminal", "--host-name", "h"), ("--host-name", "--terminal")),
        (("demo", "--host", "256.1.1.1", "--port", "0"), ("--host",)),
        (("demo", "--pyodide", "nowhere"), ("--pyodide",)),
        (("chat", "http://h"), ("URL",)),
        (("chat", "ws://h", "--room", "no room"), ("--room", "letters")),
        (("chat", "ws://h", "--name", "x" * 65), ("--name",)),
        (("chat", "ws://h", "--name", "\u200b"), ("--name", "seen")),
        (("chat", "--name", "\u202eb"), ("--name",)),
        (("chat", "ws://h"), ("terminal",)),
        (("chat",), ("terminal",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
async def test_a_wrong_option_is_named_as_the_command_names_it(arguments, words):
    if arguments[0] == "serve" and "--port" not in arguments:
        arguments = (*arguments, "--port", "0")  # another program may use the default port
    done = await run(*arguments)
    assert_said(done, 2, *words, "--help")
    assert done.out == ""
    assert len(done.err) < 600
    assert "secret" not in done.err
    for word in (
        "attempts=",
        "headers=",
        "subprotocols=",
        "None",
        "True",
        "ValueError",
        "history=",
    ):
        assert word not in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--history", "sqlite:////dev/null/x.db"), ("history",)),
        (("serve", "--history", "sqlite:////proc/x.db"), ("history",)),
        (("serve", "--history", f"sqlite:///{'x' * 5000}"), ("history",)),
        (("serve", "--history", "redis://127.0.0.1:9/0"), ("history", "redis://127.0.0.1:9")),
    ],
    ids=lambda value: " ".join(value)[:40],
)
async def test_a_history_that_cannot_be_used_is_one_line(arguments, words):
    done = await run(*arguments, "--port", "0")
    assert_said(done, 1, *words)


async def test_a_second_server_on_one_history_is_one_line(tmp_path):
    history = ("--history", f"sqlite:///{tmp_path / 'h.db'}")
    async with serving(0, *history) as server:
        sent = await run("send", f"ws://127.0.0.1:{server.port}/chat/a", '{"content": "x"}')
        assert sent.status == 0
        done = await run("serve", "--port", "0", *history)
    assert_said(done, 1, "history")


async def test_without_a_home_a_name_and_a_terminal_it_says_what_is_missing():
    bare = f"env -i PATH=/usr/bin:/bin PYTHONPATH={ROOT / 'src'}"
    done = await shell(f"{bare} HOME=/dev/null {command('serve', '--port', '0')}")
    assert_said(done, 1, "--history")
    done = await shell(f"{bare} {command('chat', 'ws://127.0.0.1:9')} </dev/null")
    assert_said(done, 2, "terminal")
    assert done.out == ""


WITHOUT_UVICORN = """
import sys
sys.modules["uvicorn"] = None
from sockstore.cli import chat, main
chat._check_terminal = lambda: None
sys.exit(main(["chat", "--name", "Ann"]))
"""


async def test_without_its_extra_the_chat_says_what_to_install_and_leaves_nothing_open():
    code = (sys.executable, "-W", "always::ResourceWarning", "-c", WITHOUT_UVICORN)
    done = await shell(shlex.join(code))
    assert_said(done, 1, "uvicorn", "pip install 'sockstore[server]'", "give the URL")


# What became of what was sent


async def test_what_was_delivered_and_which_reply_did_not_come_is_said():
    async with serving() as server:
        sent = await run("send", server.url, "a", "--replies", "2", "--timeout", "1")
    assert sent.out == "a\n"
    assert_said(sent, 1, "1 of 1 messages", "only 1 of 2 replies came within 1 s")
    assert "not delivered" not in sent.err


@pytest.mark.parametrize("replies", [(), ("--replies", "1")], ids=["no reply", "reply"])
async def test_why_a_server_ended_the_connection_is_said_once(replies):
    async with serving(0, "--max-message-bytes", "100") as server:
        sent = await run("send", server.url, "x" * 200, *replies)
    why = "the server closed the connection with 1009 (message too big)"
    assert_said(sent, 1, "1 of 1 messages were sent, but it is unknown whether they arrived", why)
    assert sent.err.count("1009") == 1


async def test_a_server_that_closes_before_it_replies_is_said():
    async def leave(websocket) -> None:
        await websocket.recv()
        await websocket.close(1000)

    async with serve(leave, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        sent = await run("send", url, "a", "--replies", "1", "--attempts", "0")
    assert_said(sent, 1, "only 0 of 1 replies")


async def test_at_the_root_of_our_server_it_is_said_what_there_is():
    async with serving() as server:
        url = server.url.removesuffix("echo")
        heard = await run("listen", url, "--attempts", "0")
    assert heard.status == 1
    for words in ("/echo", "/chat/ROOM"):
        assert words in heard.err


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_listening_in_good_order(number):
    closed = asyncio.get_running_loop().create_future()

    async def watch(websocket) -> None:
        await websocket.wait_closed()
        closed.set_result(websocket.close_code)

    async with serve(watch, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        listening = await start("listen", url)
        async with asyncio.timeout(SECONDS):
            while b"[connected]" not in await listening.stderr.readline():
                pass
            listening.send_signal(number)
            _, err = await listening.communicate()
            assert await closed == 1000
    assert listening.returncode == 128 + number
    assert b"Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_demo_and_its_server(number):
    telling = await start("demo", "--terminal")
    async with asyncio.timeout(SECONDS):
        line = (await telling.stdout.readline()).decode()
        telling.send_signal(number)
        _, err = await telling.communicate()
    port = int(re.search(r"port (\d+)", line)[1])
    assert (telling.returncode, err) == (128 + number, b"")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_a_server_in_good_order(number):
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        finished = await server.stop(number)
    assert (finished.status, finished.err) == (0, "")


async def test_ctrl_c_twice_at_once_says_nothing():
    async def hold(peer: Peer) -> None:
        await peer.accept()
        await peer.until_gone()

    async with serve_raw(hold) as server:
        listening = await start("listen", server.url)
        async with asyncio.timeout(SECONDS):
            while b"[connected]" not in await listening.stderr.readline():
                pass
            listening.send_signal(signal.SIGINT)
            listening.send_signal(signal.SIGINT)
            _, err = await listening.communicate()
    assert listening.returncode in {130, -signal.SIGINT}
    assert b"Traceback" not in err


STARTING = """
import builtins, os, signal, sys
importing = builtins.__import__
def interrupted(name, *more):
    if name == WHERE:
        os.kill(os.getpid(), signal.SIGINT)
    return importing(name, *more)
builtins.__import__ = interrupted
from sockstore.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "where", ["sockstore.cli.command_line", "argparse", "getpass", "webbrowser", "uvicorn"]
)
async def test_ctrl_c_while_it_is_loading_says_nothing(where):
    code = STARTING.replace("WHERE", repr(where))
    script = shlex.join([sys.executable, "-c", code, "serve", "--port", "0"])
    done = await shell(f"exec {script}")
    assert (done.status, done.out, done.err) in {(130, "", ""), (-signal.SIGINT, "", "")}


async def test_what_was_told_to_ignore_the_hang_up_goes_on():
    port = free_port()
    script = command("serve", "--port", str(port), "--history", "sqlite:///:memory:")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"trap '' HUP; exec {script}"), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        await process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        sent = await run("send", f"ws://127.0.0.1:{port}/echo", "x")
        process.terminate()
        await process.communicate()
    assert (sent.status, process.returncode) == (0, 0)


# Examples


def examples(text: str, name: str) -> list[list[str]]:
    """Return the arguments of the examples of one command, in the order in which they stand."""
    lines = re.findall(rf"^ *sockstore ({name} .*)$", text, re.MULTILINE)
    return [shlex.split(re.split(r"  +| \| ", line)[0], comments=True) for line in lines]


TEXTS = {
    "README": (ROOT / "README.md").read_text(),
    "listen --help": listen.HELP,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_the_first_example_of_listen_prints_what_the_next_one_sends(text):
    first, sending = examples(text, "listen")[0], examples(text, "send")[0]
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        there = [part.replace(":8765", f":{server.port}") for part in first]
        listening = await start(*there)
        async with asyncio.timeout(SECONDS):
            while b"[connected]" not in await listening.stderr.readline():
                pass
            sent = await run(*(part.replace(":8765", f":{server.port}") for part in sending))
            assert (sent.status, sent.err) == (0, "")
            content = json.loads(sending[2])["content"]
            while content.encode() not in await listening.stdout.readline():
                pass
            listening.send_signal(signal.SIGINT)
            await listening.communicate()


@pytest.mark.parametrize("module", [chat, demo, listen, send, serve_command])
async def test_every_example_of_a_command_is_right_usage(module):
    from sockstore.cli.command_line import _parser  # noqa: PLC0415 - only here

    name = module.__name__.rpartition(".")[2]
    found = examples(module.HELP, name)
    assert found
    for arguments in found:
        assert _parser().parse_args(arguments).command == name
