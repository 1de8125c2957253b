"""Where the operating system puts what it received: one buffer for all connections of a thread.

A loop reads one socket at a time and hands the bytes over at once, so they can share it. The
alternative, a new buffer of 256 KiB for each read of some bytes, costs as much as the read.
"""

from __future__ import annotations

import asyncio
import threading

__all__ = ["buffer_for"]

READ_BYTES = 120 * 2**10
"""At most, in one read: below the size from which the C library maps memory anew for each copy."""

OWN_BYTES = 64 * 2**10


class _Threads(threading.local):
    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_BYTES))


_threads = _Threads()


def buffer_for(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return what a connection on this loop reads into.

    Windows' proactor has a read of every connection under way all the time, so there each has a
    buffer of its own.
    """
    if hasattr(loop, "_proactor"):
        return memoryview(bytearray(OWN_BYTES))
    return _threads.buffer
