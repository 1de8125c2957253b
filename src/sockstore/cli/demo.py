"""Run ``sockstore demo``: an echo and a chat in a browser, or an outage in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sockstore.cli import story
from sockstore.cli.common import CommandError, UsageError, needs, option, url, whole
from sockstore.cli.output import put_if_possible
from sockstore.cli.serving import (
    add_listening_arguments,
    address_of,
    listening_socket,
    serve_until_stopped,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HELP = """show the echo page and the chat in a browser, or an outage in the terminal

The pages and their server run on one port. To see the pages reconnect, run `sockstore serve` in
another terminal, connect the pages to it with --server, kill it, and start it again.

With --browser the pages' Python runs in the visitor's browser, on Pyodide.

examples:
  sockstore demo                                   on http://127.0.0.1:8080
  sockstore demo --no-browser --port 0             on any free port, which it prints
  sockstore demo --server ws://localhost:8765      against a separate `sockstore serve`
  sockstore demo --browser                         Python in the browser
  sockstore demo --browser --pyodide node_modules/pyodide   with your own copy of Pyodide
  sockstore demo --terminal                        a server is killed; no message is lost"""


MESSAGES = 16
"""Messages that the story sends, if the user does not say how many."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_listening_arguments(parser, 8080)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    text = "connect the pages to another server, such as ws://localhost:8765"
    option(parser, "--server", "URL", text, url)
    text = f"with --terminal: send N messages, at least {story.FEWEST} (default: {MESSAGES})"
    option(parser, "--messages", "N", text, partial(whole, least=story.FEWEST))
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--terminal",
        action="store_true",
        help="show in this terminal how a connection survives the death of its server",
    )
    place.add_argument(
        "--browser", action="store_true", help="run the pages' Python in the visitor's browser"
    )
    text = (
        "with --browser: a folder with Pyodide, such as npm's node_modules/pyodide (default: the "
        "copy of `make browser-runtime` in a checkout, else the public CDN)"
    )
    option(parser, "--pyodide", "PATH", text, Path)


def run(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C or SIGTERM, or play the story in the terminal."""
    _check_that_all_have_an_effect(options)
    if options.terminal:
        return story.play(options.messages or MESSAGES)
    server = None if options.server is None else _base(options.server)
    with listening_socket(options.host, options.port) as listening:
        # A page cannot connect to "all addresses".
        address = address_of(listening).replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
        if options.browser:
            app = _in_browser(options.pyodide, server, options.host_name)
        else:
            app = _pages(address, server, options.host_name)

        def started() -> None:
            put_if_possible(f"demo on http://{address} (Ctrl-C ends it)")
            if options.browser and server is not None:
                origin = f"sockstore serve --origin http://{address}"
                put_if_possible(f"{server} must allow these pages to connect: {origin}")
            if not options.no_browser and _has_screen():
                _open(address)

        serve_until_stopped(app, listening, on_started=started)
    return 0


def _check_that_all_have_an_effect(options: argparse.Namespace) -> None:
    """Refuse an option that the chosen demo would ignore.

    Raises:
        UsageError: If there is one.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for argument, demo in (("--messages", "--terminal"), ("--pyodide", "--browser")):
        if _is_given(parser, options, argument) and not getattr(options, demo[2:]):
            raise UsageError(f"argument {argument}: it is for {demo}, which is missing")
    for argument in ("--host", "--port", "--host-name", "--server"):
        if options.terminal and _is_given(parser, options, argument):
            raise UsageError(f"argument {argument}: it is for the pages; --terminal shows none")


def _is_given(parser: argparse.ArgumentParser, options: argparse.Namespace, argument: str) -> bool:
    name = argument.removeprefix("--").replace("-", "_")
    return bool(getattr(options, name) != parser.get_default(name))


def _pages(address: str, server: str | None, host_names: list[str]) -> ASGIApp:
    with needs("web", "the demo", ", or watch it with --terminal"):
        from sockstore.demo.pages import create_demo  # noqa: PLC0415 - needs the extra
    return create_demo(address, server, host_names)


def _in_browser(pyodide: Path | None, server: str | None, host_names: list[str]) -> ASGIApp:
    with needs("server", "the server"):
        import uvicorn  # noqa: F401, PLC0415 - an extra

        from sockstore.demo.browser.app import create_browser_demo  # noqa: PLC0415 - the same
    from sockstore.demo.browser.runtime import (  # noqa: PLC0415 - rarely needed
        CDN,
        RuntimeUnusable,
        find_runtime,
    )

    try:
        runtime = find_runtime(pyodide)
    except RuntimeUnusable as error:
        raise CommandError(str(error)) from None
    if runtime.folder is None:
        put_if_possible(f"pages load Python from {CDN}; `make browser-runtime` makes a copy")
    return create_browser_demo(runtime, server, host_names)


def _base(server: str) -> str:
    """Return a server's address without ``/echo``, the url that people paste."""
    if "?" in server:
        raise UsageError("argument --server: give the server's address without a query")
    return server.rstrip("/").removesuffix("/echo")


def _open(address: str) -> None:
    """Open the page, in a thread, because a browser may start slowly."""

    def show() -> None:
        with suppress(Exception):  # a browser may fail to start; the address was printed
            webbrowser.open(f"http://{address}")

    threading.Thread(target=show, daemon=True).start()


def _has_screen() -> bool:
    """Whether a browser would open a window; a browser in the terminal would hide our output."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
