"""Run the command ``sockstore``: ``demo``, ``serve``, ``chat``, ``listen`` and ``send``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
        # Everything is imported here, so that Ctrl-C prints no traceback in the meantime.
        from sockstore.cli.command_line import run  # noqa: PLC0415 - see above

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
