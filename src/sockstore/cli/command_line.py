"""Parse the command line, run the subcommand, and print every error on one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from sockstore.base.errors import InvalidOption, SockstoreError
from sockstore.base.version import __version__
from sockstore.cli import chat, demo, listen, output, send, serve, signals
from sockstore.cli.common import CommandError, UsageError, as_usage_error
from sockstore.cli.output import OutputFailed, put_text, say

__all__ = ["run"]

FAILED, WRONG_USAGE = 1, 2

EXAMPLES = """examples:
  sockstore demo                                    an echo and a chat in the browser
  sockstore demo --terminal                         a connection survives its server
  sockstore serve                                   a server: an echo, and chat rooms
  sockstore chat ws://localhost:8765 --name Ann     a chat in the terminal
  sockstore listen ws://localhost:8765/chat/lobby   every message of a room, one a line
  sockstore send ws://localhost:8765/chat/lobby '{"content": "hello"}'
                                                    one message into it, delivered"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; see `sockstore.cli.main`, which handles Ctrl-C."""
    is_program = arguments is None
    # The commands print themselves what their connections do.
    connections = logging.getLogger("sockstore.connection")
    connections.addHandler(logging.NullHandler())
    if is_program:
        output.prepare()
        signals.prepare()
        connections.propagate = False
        logging.raiseExceptions = False  # no traceback if the log cannot be written
    program = _Program()
    try:
        return _check_output(program, arguments)
    finally:
        if is_program:
            signals.leave_to_the_system()
        output.finish(is_failed=True)


class _Program:
    """One run of the program."""

    def __init__(self) -> None:
        self.name = "sockstore"  # `run` adds the subcommand

    def run(self, arguments: Sequence[str] | None) -> int:
        try:
            options = _parser().parse_args(_readable(arguments))
        except SystemExit as end:  # argparse has printed the reason
            return end.code if isinstance(end.code, int) else FAILED
        self.name = f"sockstore {options.command}"
        status: int = options.run(options)
        return status


def _check_output(program: _Program, arguments: Sequence[str] | None) -> int:
    try:
        status = _run_or_say_why(program, arguments)
        output.finish()
    except OutputFailed as failed:
        output.finish(is_failed=True)
        if failed.reader_left:  # such as `| head`, which has read enough
            return 0
        say(f"{program.name}: {failed}")
        return FAILED
    return status


def _run_or_say_why(program: _Program, arguments: Sequence[str] | None) -> int:
    try:
        return program.run(arguments)
    except InvalidOption as error:
        return _say_usage(program, as_usage_error(error))
    except UsageError as error:
        return _say_usage(program, error)
    except (SockstoreError, CommandError) as error:
        say(f"{program.name}: {error}")
    except (KeyboardInterrupt, OutputFailed):
        raise
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        say(f"{program.name}: unexpected error: {what} (python -X dev -m sockstore shows where)")
    return FAILED


def _say_usage(program: _Program, error: UsageError) -> int:
    say(f"{program.name}: {error} (see {program.name} --help)")
    return WRONG_USAGE


def _readable(arguments: Sequence[str] | None) -> list[str]:
    """Return the arguments as text, also where the locale supports only ASCII.

    Raises:
        UsageError: If one of them is not valid UTF-8 either.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return [_as_text(place, argument) for place, argument in enumerate(given, start=1)]


def _as_text(place: int, argument: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(argument).decode()
        except UnicodeError:
            given = repr(os.fsencode(argument))[1:]
            raise UsageError(f"argument {place} is not valid UTF-8: {given}") from None
    return argument


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(WRONG_USAGE)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            put_text(message)  # argparse itself ignores output that fails
        else:
            super()._print_message(message, file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sockstore",
        description="A WebSocket connection that stays open: demo, server and tools.",
        epilog=EXAMPLES,
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
