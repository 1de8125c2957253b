"""Print from a command, without characters that control a terminal, and without tracebacks."""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import sys
from contextlib import suppress
from typing import IO, Any

from sockstore.base.characters import DIRECTION_CONTROLS, harmless, one_line
from sockstore.base.codecs import encode_json
from sockstore.cli.common import CommandError

__all__ = [
    "LOG_TO_STANDARD_ERROR",
    "PLAIN_TERMINALS",
    "HarmlessFormatter",
    "OutputFailed",
    "finish",
    "prepare",
    "put",
    "put_bytes",
    "put_if_possible",
    "put_json",
    "put_text",
    "read_standard_input",
    "say",
]

PLAIN_TERMINALS = {"dumb", "unknown"}
"""Values of ``TERM`` for terminals that can only show lines of text."""

_COMMANDS = re.compile(rf"[\x7f-\x9f\u2028\u2029{''.join(DIRECTION_CONTROLS)}]")
"""Characters that JSON does not escape, and that control a terminal or end a line."""

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class OutputFailed(Exception):
    """Standard output cannot be written.

    Args:
        why: The error of the system.
        reader_left: Whether the program that read it has ended, as ``head`` does.
    """

    def __init__(self, why: str, *, reader_left: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.reader_left = reader_left

    def __str__(self) -> str:
        return f"cannot write to standard output: {self.why}"


def prepare() -> None:
    """Make the standard streams usable, however the program was started.

    A stream that was closed is opened on the null device, in the direction in which it fails.
    Otherwise the next socket would get its file descriptor, and would be sent what is printed.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, flags)  # it gets the lowest free number, which is this one
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def put(text: str, before: str = "", after: str = "") -> None:
    """Print one line.

    Args:
        text: The line; characters that control a terminal are replaced.
        before: Printed unchanged before it, such as the code of a colour.
        after: Printed unchanged behind it.

    Raises:
        OutputFailed: If it cannot be printed.
    """
    put_text(f"{before}{one_line(text)}{after}\n")


def put_if_possible(text: str) -> None:
    """Print a line, such as the address of a server; if that fails, the command continues.

    The failure is reported on standard error, unless only the reader has left.
    """
    try:
        put(text)
    except OutputFailed as failed:
        _discard(sys.stdout)
        if not failed.reader_left:
            say(str(failed))


def put_text(text: str) -> None:
    """Print a text unchanged; the caller replaces characters that control a terminal.

    Raises:
        OutputFailed: If it cannot be printed.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise _failed(error) from None


def put_json(data: Any) -> None:
    """Print the JSON of a value on one line; characters that control a terminal are escaped.

    Raises:
        OutputFailed: If it cannot be printed.
    """
    text = encode_json(data)
    if not text.isascii() or "\x7f" in text:
        text = _COMMANDS.sub(_escape, text)
        if not _can_write(text):
            text = _NOT_ASCII.sub(_escape, text)
    put_text(f"{text}\n")


def put_bytes(data: bytes) -> None:
    """Write bytes, unchanged.

    Raises:
        OutputFailed: If they cannot be written.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        raise _failed(error) from None


def say(text: str) -> None:
    """Print one line on standard error, if that can be written."""
    with suppress(OSError, ValueError):
        print(one_line(text), file=sys.stderr, flush=True)


def finish(*, is_failed: bool = False) -> None:
    """Flush the standard streams, so that the interpreter does not fail to do so at its exit.

    Args:
        is_failed: Whether standard output failed already; what it has buffered is dropped then.

    Raises:
        OutputFailed: If it cannot be written.
    """
    failed = None
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        failed = _failed(error)
        _discard(sys.stdout)
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)
    if failed is not None and not is_failed:
        raise failed


def read_standard_input() -> str:
    """Return the text on standard input.

    Raises:
        CommandError: If it cannot be read, or is not text.
    """
    encoding = sys.stdin.encoding or "utf-8"
    if codecs.lookup(encoding).name == "ascii":
        encoding = "utf-8"  # as in the locale "C"
    try:
        return sys.stdin.buffer.read().decode(encoding)
    except UnicodeDecodeError as error:
        raise CommandError(
            f"standard input is not text in {encoding.upper()} (byte {error.start})"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"cannot read standard input: {why}") from None


def _failed(error: OSError | ValueError) -> OutputFailed:
    why = getattr(error, "strerror", None) or str(error)
    return OutputFailed(why, reader_left=isinstance(error, BrokenPipeError))


def _discard(stream: IO[str]) -> None:
    """Redirect a stream to the null device, and flush to it what could not be written."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def _can_write(text: str) -> bool:
    try:
        text.encode(codecs.lookup(sys.stdout.encoding or "utf-8").name)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _escape(match: re.Match[str]) -> str:
    pairs = match[0].encode("utf-16-be")
    return "".join(f"\\u{pairs[at : at + 2].hex()}" for at in range(0, len(pairs), 2))


class HarmlessFormatter(logging.Formatter):
    """Writes a log record on one line, without characters that control a terminal.

    The traceback of an error in the server keeps its lines.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        text = f"{record.levelname}: {one_line(record.getMessage())}"
        if record.exc_info and not isinstance(record.exc_info, bool):
            text = f"{text}\n{harmless(self.formatException(record.exc_info))}"
        return text


LOG_TO_STANDARD_ERROR: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"harmless": {"()": HarmlessFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "harmless"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
"""The log of a server that a command runs, for `logging.config.dictConfig`."""
