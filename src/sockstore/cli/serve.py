"""``sockstore serve``: the server that goes with the library."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from types import FrameType

from sockstore.cli.common import CommandError

HELP = """serve /echo, which sends every message back

examples:
  sockstore serve                            on ws://127.0.0.1:8765/echo
  sockstore serve --host 0.0.0.0 --port 80   for other machines
  sockstore serve --port 0                   on any free port, which it prints"""

HIGHEST_PORT = 65535


def port(text: str) -> int:
    """Check a port for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port; give a number from 0 to {HIGHEST_PORT}"
        )
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument(
        "--port", type=port, default=8765, help="the port; 0 takes any free one (default: 8765)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from sockstore.server.app import create_app  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        raise CommandError(
            f"the server needs the package {error.name}: pip install 'sockstore[server]'"
        ) from None

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # Told only now: from here on a signal ends the server in order.
            print(f"listening on ws://{_address(listening)}/echo (Ctrl-C ends it)", flush=True)

    listening = _listen(options.host, options.port)
    config = uvicorn.Config(
        create_app(), log_level="warning", ws="websockets-sansio", lifespan="off"
    )
    # uvicorn raises the signal again when everything is closed; being told to end is no failure.
    signal.signal(signal.SIGTERM, _leave)
    try:
        Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
    return 0


def _listen(host: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, number), family=family)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host} port {number}: {error.strerror}; choose another --port"
        ) from None


def _address(listening: socket.socket) -> str:
    host, number = listening.getsockname()[:2]
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)
