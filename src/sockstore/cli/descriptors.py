"""Raise the limit of file descriptors, and divide them between clients and the server."""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["allowed_connections", "on_accept_error", "open_descriptors", "raise_limit"]

MOST_RESERVED = 64
"""File descriptors for histories, Redis, and refusals of connections above the limit."""

OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}

logger: Final = logging.getLogger("sockstore.server")


def raise_limit(wanted: int) -> int | None:
    """Raise the soft limit of open files of this process, as far as the hard limit allows.

    Args:
        wanted: How many file descriptors there should be.

    Returns:
        The limit now; None if there is none, or it is unknown, as on Windows.
    """
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if reachable > soft:
        with suppress(ValueError, OSError):  # macOS has further limits
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
            soft = reachable
    return int(soft)


def allowed_connections(limit: int | None, used: int) -> int | None:
    """Return how many connections a limit of file descriptors allows; None for any number.

    Args:
        limit: The limit.
        used: How many are in use without a connection.
    """
    if limit is None:
        return None
    return max(1, limit - used - min(MOST_RESERVED, limit // 4))


def open_descriptors() -> int:
    """Return how many file descriptors this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir()) - 1  # without the one that lists them
    return 16


def on_accept_error(loop: asyncio.AbstractEventLoop) -> None:
    """Log in one line, not in hundreds, that asyncio is out of file descriptors.

    asyncio tries again after a second; open connections are not affected.
    """
    from sockstore.server.limits import log_limit  # noqa: PLC0415 - needs the extra

    lines = log_limit(loop.time())
    before = loop.get_exception_handler() or type(loop).default_exception_handler

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS):
            before(loop, context)
        elif lines.take(loop.time()):
            logger.warning(
                "out of file descriptors: new connections wait (raise the limit: ulimit -n)"
            )

    loop.set_exception_handler(handle)
