"""Make a folder once per machine, however many processes want it at the same time."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def made_once(place: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder; where it is missing it is made, and others wait for that.

    Args:
        place: The folder. It is whole if it is there; its name says what is in it.
        make: Fills an empty folder, which is then renamed; what it raises leaves nothing behind.
    """
    with Path(f"{place}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
            try:
                make(fresh)
                fresh.rename(place)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
    return place
