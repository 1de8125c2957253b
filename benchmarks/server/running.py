"""Build the command that starts our server, as its users start it."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["sockstore_serve"]


def sockstore_serve(folder: Path, *, rate: float) -> list[str]:
    """Return the command of our server, with its history on the disk.

    Args:
        folder: Where the history is kept.
        rate: Messages a second that one client may send: the one option that is not its default.
    """
    return [
        sys.executable, "-m", "sockstore", "serve", "--port", "0",
        "--history", f"sqlite:///{folder / 'history.db'}", "--rate", str(rate),
    ]  # fmt: skip
