"""Make the files of a SQLite history private, and find out whether they were replaced."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Changed", "Files"]

Changed: TypeAlias = Literal["database", "journal"]
"""The file that is not the one that was opened. Commits are in both files: SQLite writes to the
journal (``-wal``) first, and moves its content to the database from time to time."""

OWNER_ONLY = 0o600

_Identity: TypeAlias = tuple[int, int, int]
"""Device, inode and size."""


class Files:
    """The database file and its journals.

    SQLite continues to write to a file that was removed, and its content is lost at exit.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        # SQLite also follows links when it opens a file, and keeps that path.
        self._database = os.path.realpath(path)
        self._journal = f"{self._database}-wal"
        self._index = f"{self._database}-shm"
        # The files at the last call of `note`.
        self._noted: dict[str, _Identity | None] = {}

    def make(self) -> None:
        """Make a missing database file, for its owner only; SQLite reports what fails."""
        with suppress(OSError):
            os.close(os.open(self._database, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))

    def protect(self) -> None:
        """Remove the rights of the group and of others from the files that exist."""
        for path in (self._database, self._journal, self._index):
            with suppress(OSError):  # it is missing, or another user owns it
                if os.stat(path).st_mode & 0o077:  # noqa: PTH116 - as in `_identify`
                    os.chmod(path, OWNER_ONLY)  # noqa: PTH101 - beside os.stat

    def note(self) -> None:
        """Remember the files as they are now, after our own write."""
        self._noted = {path: _identify(path) for path in (self._database, self._journal)}

    def find_change(self) -> Changed | None:
        """Return the file that was removed, replaced or truncated since `note`, if any."""
        if not self._is_same(self._database):
            return "database"
        return None if self._is_same(self._journal) else "journal"

    @property
    def is_journal_gone(self) -> bool:
        """Whether the journal's path has another file or none; SQLite still has ours open then."""
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
        status = os.stat(path)  # noqa: PTH116 - Path.stat() costs twice as much
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size
