"""Run the command ``sockstore``: ``demo``, ``serve``, ``chat``, ``listen`` and ``send``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

__all__ = ["main"]

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells expect it: 128 + SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments behind the program's name; None takes them from ``sys.argv``.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, 128 plus its number after a signal.
    """
    try:
        run = _load(is_program=arguments is None)
        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _load(*, is_program: bool) -> Callable[[Sequence[str] | None], int]:
    """Import the command's modules; meanwhile Ctrl-C ends the program at once.

    A `KeyboardInterrupt` could become another error: modules in C import others, too.
    """
    before = signal.getsignal(signal.SIGINT)
    is_ours = is_program and before is signal.default_int_handler
    try:
        if is_ours:
            signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    except ValueError:  # not in the main thread
        is_ours = False
    from sockstore.cli.command_line import run  # noqa: PLC0415 - Ctrl-C is handled by now

    if is_ours:
        signal.signal(signal.SIGINT, before)
    return run
