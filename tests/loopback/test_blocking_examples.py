"""The examples without asyncio run as they stand: a script, a window, a notebook."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from loopback.processes import SECONDS
from sockstore.blocking import WebSocket

pytestmark = [pytest.mark.loopback]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server: `sockstore serve`, as the examples say."""
    command = ("-m", "sockstore", "serve", "--port", "0", "--history", "sqlite:///:memory:")
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        yield re.search(r"ws://[^/]+", process.stdout.readline())[0]
        process.terminate()


def test_a_script_of_fifteen_lines(server):
    path = EXAMPLES / "blocking_script.py"
    assert len(path.read_text().splitlines()) <= 16
    done = subprocess.run(
        [sys.executable, "-W", "error", path, f"{server}/echo"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stdout.splitlines() == ["{'number': 0}", "{'number': 1}", "{'number': 2}"]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def display(monkeypatch) -> Iterator[None]:
    """A screen that nobody sees, where there is none."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter (Debian: python3-tk)")
    if os.environ.get("DISPLAY"):
        yield
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no display and no Xvfb to make one (Debian: xvfb)")
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as told:
        monkeypatch.setenv("DISPLAY", f":{told.readline().strip()}")
    try:
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)


def test_a_window_of_tkinter_chats_with_another_person(server, display, monkeypatch):
    name = "tkinter_chat.py"
    url = f"{server}/chat/window?name="
    monkeypatch.setattr("sys.argv", [name, f"{url}Ann"])
    program = runpy.run_path(str(EXAMPLES / "tkinter_chat.py"))
    with WebSocket(f"{url}Ann", callbacks="pump") as ann, WebSocket(f"{url}Bob") as bob:
        window = program["Chat"](ann)
        try:
            show_until(window, lambda: window.status.cget("text") == "connected")
            assert window.status.cget("bg") == "#d4edda"
            bob.send({"content": "hello"})
            show_until(window, lambda: window.log.get(0, "end") == ("Bob: hello",))
            window.field.insert(0, "hi")
            window.say(None)
            show_until(window, lambda: window.log.get(0, "end") == ("Bob: hello", "Ann: hi"))
            assert window.field.get() == ""
        finally:
            window.destroy()
    assert not [one for one in threading.enumerate() if one.name.startswith("sockstore callbacks")]


def show_until(window, is_true) -> None:
    end = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < end, "it is never shown"
        window.update()
        time.sleep(0.005)


def test_a_notebook_follows_a_feed_with_and_without_await(server, monkeypatch):
    monkeypatch.setenv("SOCKSTORE_URL", f"{server}/echo")
    notebook = nbformat.read(EXAMPLES / "jupyter_feed.ipynb", as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "keep outputs out of git"
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3").execute()
    shown = [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]
    assert shown[0] == "'connected'"
    assert shown[2] == "[101, 102, 103]"
    assert shown[3].startswith("Connected to ws://127.0.0.1")
    assert shown[-1] == "hello\n"
