"""The command line: ``sockstore demo``, ``serve``, ``chat``, ``listen`` and ``send``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT: what a shell expects of a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes it from ``sys.argv``.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, 128 and its number after a signal.
    """
    try:
        # Importing takes a while, in which Ctrl-C should not show where it was.
        from sockstore.cli.command_line import run  # noqa: PLC0415 - see above

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
