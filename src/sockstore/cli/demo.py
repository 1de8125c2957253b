"""``sockstore demo``: the guide's two pages in a browser, or the same library in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser

from sockstore.cli import story
from sockstore.cli.common import CommandError, count, url
from sockstore.cli.running import address_of, listen, serve_until_stopped
from sockstore.cli.serve import port

HELP = """show the echo page and the chat in a browser, or an outage in the terminal

The pages and a server for them run on one port. The pages' connections are real ones of this
library: start a server of your own, point the pages at it, kill it, and see them come back.

examples:
  sockstore demo                                   on http://127.0.0.1:8080
  sockstore demo --no-browser --port 0             on any free port, which it prints
  sockstore demo --server ws://localhost:8765      against a separate `sockstore serve`
  sockstore demo --terminal                        a server is killed; no message is lost"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port", type=port, default=8080, help="the port; 0 takes any free one (default: 8080)"
    )
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    parser.add_argument(
        "--server",
        type=url,
        metavar="URL",
        help="another server for the pages, such as ws://localhost:8765",
    )
    parser.add_argument(
        "--terminal", action="store_true", help="the demo without a page, in this terminal"
    )
    parser.add_argument(
        "--messages",
        type=count,
        default=16,
        metavar="N",
        help="with --terminal: how many to send (default: 16)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C or SIGTERM, or play the story in the terminal."""
    if options.terminal:
        return story.play(options.messages)
    server = None if options.server is None else _base(options.server)
    listening = listen(options.host, options.port)
    address = address_of(listening)
    # A page's own connection cannot go to "all addresses".
    nearby = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    try:
        from sockstore.demo.app import create_demo  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        listening.close()
        raise CommandError(
            f"the page needs the package {error.name}: pip install 'sockstore[web]', "
            "or watch the demo with --terminal"
        ) from None

    def started() -> None:
        print(f"demo on http://{nearby} (Ctrl-C ends it)", flush=True)
        if not options.no_browser and _has_screen():
            # In a thread of its own: a browser may take its time to start.
            opening = threading.Thread(
                target=webbrowser.open, args=(f"http://{nearby}",), daemon=True
            )
            opening.start()

    serve_until_stopped(create_demo(nearby, server), listening, on_started=started)
    return 0


def _base(server: str) -> str:
    """Cut what belongs to one page: people paste the url of ``/echo``."""
    if "?" in server:
        raise CommandError(f"--server {server}: give the server's address without a query")
    return server.rstrip("/").removesuffix("/echo")


def _has_screen() -> bool:
    """Whether a browser would get a window; one in the terminal would take it from us."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
