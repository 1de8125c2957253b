"""Run ``sockstore demo``: the guide's two pages in a browser, or an outage in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sockstore.cli import story
from sockstore.cli.common import CommandError, UsageError, count, url
from sockstore.cli.output import put_if_possible
from sockstore.cli.running import (
    add_listening_arguments,
    address_of,
    listen,
    serve_until_stopped,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HELP = """show the echo page and the chat in a browser, or an outage in the terminal

The pages and a server for them run on one port. The pages' connections are real ones of this
library: start a server of your own, point the pages at it, kill it, and see them come back.

With --browser the library itself runs in the browser, on Pyodide.

examples:
  sockstore demo                                   on http://127.0.0.1:8080
  sockstore demo --no-browser --port 0             on any free port, which it prints
  sockstore demo --server ws://localhost:8765      against a separate `sockstore serve`
  sockstore demo --browser                         the pages' Python runs in the browser itself
  sockstore demo --browser --pyodide node_modules/pyodide   on a copy of your own
  sockstore demo --terminal                        a server is killed; no message is lost"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_listening_arguments(parser, 8080)
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    parser.add_argument(
        "--server",
        type=url,
        metavar="URL",
        help="another server for the pages, such as ws://localhost:8765",
    )
    parser.add_argument(
        "--messages",
        type=count,
        default=16,
        metavar="N",
        help="with --terminal: how many to send (default: 16)",
    )
    _add_places(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments for the place where the demo runs."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--terminal", action="store_true", help="the demo without a page, in this terminal"
    )
    place.add_argument(
        "--browser", action="store_true", help="the pages' Python runs in the visitor's browser"
    )
    parser.add_argument(
        "--pyodide",
        type=Path,
        metavar="PATH",
        help="with --browser: a folder with Pyodide, such as npm's node_modules/pyodide (default: "
        "what `make browser-runtime` made in a checkout, else the public CDN)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C or SIGTERM, or play the story in the terminal."""
    if options.pyodide is not None and not options.browser:
        raise UsageError("--pyodide names the Python of --browser; give both, or neither")
    if options.terminal:
        return story.play(options.messages)
    server = None if options.server is None else _base(options.server)
    with listen(options.host, options.port) as listening:
        # A page cannot connect to "all addresses".
        address = address_of(listening).replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
        if options.browser:
            app = _in_browser(options.pyodide, server, options.host_name)
        else:
            app = _pages(address, server, options.host_name)

        def started() -> None:
            put_if_possible(f"demo on http://{address} (Ctrl-C ends it)")
            if options.browser and server is not None:
                _tell_origin(address, server)
            if not options.no_browser and _has_screen():
                _open(address)

        serve_until_stopped(app, listening, on_started=started)
    return 0


def _pages(address: str, server: str | None, host_names: list[str]) -> ASGIApp:
    try:
        from sockstore.demo.pages import create_demo  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        raise CommandError(
            f"the page needs the package {error.name}: pip install 'sockstore[web]', "
            "or watch the demo with --terminal"
        ) from None
    return create_demo(address, server, host_names)


def _in_browser(pyodide: Path | None, server: str | None, host_names: list[str]) -> ASGIApp:
    try:
        import uvicorn  # noqa: F401, PLC0415 - an extra

        from sockstore.demo.browser.app import create_browser_demo  # noqa: PLC0415 - the same
    except ImportError as error:
        raise CommandError(
            f"the server needs the package {error.name}: pip install 'sockstore[server]'"
        ) from None
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


def _tell_origin(address: str, server: str) -> None:
    """Print how the other server can allow the origin of these pages."""
    put_if_possible(f"{server} must let it in: sockstore serve --origin http://{address}")


def _base(server: str) -> str:
    """Remove the path of one page, as people paste the url of ``/echo``."""
    if "?" in server:
        raise UsageError("argument --server: give the server's address without a query")
    return server.rstrip("/").removesuffix("/echo")


def _open(address: str) -> None:
    """Open the page, from a thread of its own, as a browser may start slowly."""

    def show() -> None:
        with suppress(Exception):  # a browser's start script may fail; the address was printed
            webbrowser.open(f"http://{address}")

    threading.Thread(target=show, daemon=True).start()


def _has_screen() -> bool:
    """Whether a browser would open a window; one in the terminal would replace our output."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
