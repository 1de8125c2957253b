"""The files of a SQLite history: readable by their owner only, and watched while they are open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Changed", "Files"]

Changed: TypeAlias = Literal["database", "journal"]
"""Which file is not the one that was opened. What was committed lies in both: SQLite writes into
the journal (``-wal``) first, and moves it into the database from time to time."""

OWNER_ONLY = 0o600

_Identity: TypeAlias = tuple[int, int, int]
"""Device, inode and size."""


class Files:
    """The database file and its journals.

    SQLite would go on writing into a file that was removed, and all of that would be lost at exit.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        # SQLite too follows links when it opens a file, and keeps to that path then.
        self._database = os.path.realpath(path)
        self._journal = f"{self._database}-wal"
        self._index = f"{self._database}-shm"
        # What they were when `note` was called last.
        self._noted: dict[str, _Identity | None] = {}

    def make(self) -> None:
        """Make the database file, if it is missing, for its owner only; SQLite says what fails."""
        with suppress(OSError):
            os.close(os.open(self._database, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))

    def protect(self) -> None:
        """Take away what the group and others may do with the files that are there."""
        for path in (self._database, self._journal, self._index):
            with suppress(OSError):  # it is missing, or belongs to somebody else
                if os.stat(path).st_mode & 0o077:  # noqa: PTH116 - as in `_identify`
                    os.chmod(path, OWNER_ONLY)  # noqa: PTH101 - beside os.stat

    def note(self) -> None:
        """Remember the files as they are now, after a write of our own."""
        self._noted = {path: _identify(path) for path in (self._database, self._journal)}

    def find_change(self) -> Changed | None:
        """Return which file was removed, replaced or cut short since `note`, if any."""
        if not self._is_same(self._database):
            return "database"
        return None if self._is_same(self._journal) else "journal"

    @property
    def is_journal_gone(self) -> bool:
        """Whether the journal's name leads to another file or to none; ours is still open then."""
        noted, present = self._noted.get(self._journal), _identify(self._journal)
        return noted is not None and (present is None or present[:2] != noted[:2])

    def _is_same(self, path: str) -> bool:
        noted = self._noted.get(path)
        if noted is None:
            return True
        present = _identify(path)
        return present is not None and present[:2] == noted[:2] and present[2] >= noted[2]


def _identify(path: str) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat() costs twice as much
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size
