"""The command ``sockstore``: finds the subcommand, and says every error in one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from sockstore._version import __version__
from sockstore.cli import chat, demo, listen, send, serve
from sockstore.cli.common import CommandError, say
from sockstore.errors import SockstoreError

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT: what a shell expects of a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes it from ``sys.argv``.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    # The commands tell in their own words what their connections do.
    logging.getLogger("sockstore.connection").addHandler(logging.NullHandler())
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`| head`); Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SockstoreError, CommandError, TimeoutError) as error:
        say(f"sockstore {options.command}: {error}")
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sockstore",
        description="A WebSocket connection that stays open: demo, server and tools.",
        epilog="examples:\n"
        "  sockstore demo                                      an echo and a chat in the browser\n"
        "  sockstore demo --terminal                           a connection survives its server\n"
        "  sockstore serve                                     a server: an echo, and chat rooms\n"
        "  sockstore chat ws://localhost:8765 --name Ann       a chat in the terminal\n"
        "  sockstore listen ws://localhost:8765/echo | jq .    every message, one a line\n"
        "  sockstore send ws://localhost:8765/echo hello       one message, delivered",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sockstore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (demo, serve, chat, listen, send):
        name = module.__name__.rpartition(".")[2]
        description, _, examples = module.HELP.partition("\n\n")
        command = commands.add_parser(
            name,
            help=description,
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
