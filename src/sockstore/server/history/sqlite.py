"""A history in SQLite: one thread of its own, which stores what is waiting in one transaction."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sockstore.options import require_count
from sockstore.server.frames import ChatMessage
from sockstore.server.history.base import (
    Entry,
    HistoryUnavailable,
    NotStored,
    Published,
)
from sockstore.server.history.database import Database, explain

__all__ = ["SqliteHistory"]

MOST_IN_ONE_TRANSACTION = 64
"""Also bounds how long telling the members of the rooms keeps the event loop busy."""

logger = logging.getLogger("sockstore.server")


@dataclass(frozen=True, slots=True)
class _Job:
    """Something for the thread: a message to store, or other work on the database."""

    future: asyncio.Future[Any]
    work: Callable[[Database], Any]
    entry: tuple[str, Entry] | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a job."""

    job: _Job
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Worker:
    """The thread, and what it is to do."""

    thread: threading.Thread
    jobs: SimpleQueue[_Job]


class SqliteHistory:
    """Keeps the messages of rooms in a SQLite file, or in memory.

    A message is told to others only after it is on the disk (WAL, synchronous=FULL), so neither
    the death of the process nor of the machine takes back what anybody saw. One server at a time
    can use a file.

    Args:
        path: The file, which is made if it is missing; None keeps everything in memory.
        keep: Messages that are kept of each room; older ones are deleted.

    Raises:
        InvalidOption: If `keep` cannot work.

    Example:
        ::

            create_app(history=SqliteHistory("chat.db", keep=1000))
    """

    def __init__(self, path: str | Path | None = None, *, keep: int = 10_000) -> None:
        require_count("keep", keep, least=1)
        self._path = None if path is None else Path(path)
        self._keep = keep
        self._published: Published = _tell_nobody
        self._worker: _Worker | None = None
        self._was_failing = False

    def __str__(self) -> str:
        return "in memory" if self._path is None else str(self._path)

    def start(self, published: Published) -> None:
        """Say who is told the stored messages; does no I/O."""
        self._published = published

    def check(self) -> None:
        """Open the file and close it again, in the calling thread: before a server starts.

        Raises:
            HistoryUnavailable: If it cannot be used.
        """
        database = Database(self._path, self._keep)
        try:
            database.open()
            database.close()
        except Exception as error:
            raise HistoryUnavailable(str(self), explain(error)) from error

    async def open(self) -> None:
        """Open the file now, instead of at its first use.

        Raises:
            HistoryUnavailable: If it cannot be used.
        """
        try:
            await self._ask(_open)
        except Exception as error:
            raise HistoryUnavailable(str(self), explain(error)) from error

    async def append(self, room: str, entry: Entry) -> int:
        """Store a message, and return its offset once it is on the disk.

        Raises:
            NotStored: If it could not be stored; then nobody is told it.
        """
        try:
            message: ChatMessage = await self._ask(_open, (room, entry))
        except Exception as error:
            self._note_failure(error)
            raise NotStored(str(self), explain(error)) from error
        self._was_failing = False
        return message.offset

    async def newest(self, room: str, count: int, max_bytes: int) -> list[ChatMessage]:
        """Return the last messages of a room, oldest first.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """
        try:
            found: list[ChatMessage] = await self._ask(
                lambda database: database.newest(room, count, max_bytes)
            )
        except Exception as error:
            self._note_failure(error)
            raise HistoryUnavailable(str(self), explain(error)) from error
        return found

    async def aclose(self) -> None:
        """Write what is waiting, and close; a later use opens it again."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        worker.jobs.put(_Job(future, Database.close, is_last=True))
        await future
        worker.thread.join()  # it has nothing left to do

    async def _ask(
        self, work: Callable[[Database], Any], entry: tuple[str, Entry] | None = None
    ) -> Any:
        if self._worker is None:
            jobs: SimpleQueue[_Job] = SimpleQueue()
            # A daemon: a program that forgets to close must be able to end.
            thread = threading.Thread(
                target=self._serve, args=(jobs,), name="sockstore-history", daemon=True
            )
            self._worker = _Worker(thread, jobs)
            thread.start()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._worker.jobs.put(_Job(future, work, entry))
        return await future

    def _serve(self, jobs: SimpleQueue[_Job]) -> None:
        """Do the jobs; runs in the thread until the last one."""
        database = Database(self._path, self._keep)
        while True:
            batch = _waiting(jobs)
            done = [*_store(database, batch), *_work(database, batch)]
            try:
                batch[0].future.get_loop().call_soon_threadsafe(self._settle, done)
            except RuntimeError:  # the loop was closed, and with it all who wait
                database.close()
                return
            if batch[-1].is_last:
                return

    def _settle(self, done: list[_Done]) -> None:
        """Tell what was stored, in order, and then those who wait; runs in the event loop."""
        for each in done:
            if each.job.entry is not None and each.error is None:
                self._published(each.job.entry[0], each.result)
        for each in done:
            if each.job.future.done():
                continue  # who waited was cancelled
            if each.error is None:
                each.job.future.set_result(each.result)
            else:
                each.job.future.set_exception(each.error)

    def _note_failure(self, error: Exception) -> None:
        """Log the first failure of a row: a full disk must not fill the log too."""
        if not self._was_failing:
            self._was_failing = True
            logger.error("the history %s cannot be used: %s", self, explain(error))


def _waiting(jobs: SimpleQueue[_Job]) -> list[_Job]:
    """Wait for a job, and take with it what else is waiting."""
    batch = [jobs.get()]
    try:
        while len(batch) < MOST_IN_ONE_TRANSACTION and not batch[-1].is_last:
            batch.append(jobs.get_nowait())
    except Empty:
        pass
    return batch


def _store(database: Database, batch: Sequence[_Job]) -> list[_Done]:
    """Store all messages of a batch in one transaction: all or none of them."""
    stores = [job for job in batch if job.entry is not None]
    if not stores:
        return []
    try:
        messages = database.append([job.entry for job in stores if job.entry is not None])
    except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on for the others
        return [_Done(job, error=error) for job in stores]
    return [_Done(job, message) for job, message in zip(stores, messages, strict=True)]


def _work(database: Database, batch: Sequence[_Job]) -> list[_Done]:
    """Do the other jobs of a batch, each by itself."""
    done = []
    for job in batch:
        if job.entry is not None:
            continue
        try:
            done.append(_Done(job, job.work(database)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on
            done.append(_Done(job, error=error))
    return done


def _open(database: Database) -> None:
    database.open()


def _tell_nobody(room: str, message: ChatMessage) -> None:
    del room, message
