"""Make a folder once per machine, even if many processes need it at the same time."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def made_once(place: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder; if it is missing, one process makes it and the others wait.

    Args:
        place: The folder. If it exists, it is complete; its name identifies its contents.
        make: Fills an empty folder, which is then renamed; an exception leaves nothing behind.
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
