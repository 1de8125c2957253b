"""Keep a history in SQLite: a thread stores waiting messages in one transaction."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, cast

from sockstore.base.checks import require_count, require_seconds
from sockstore.server.history.base import (
    Entry,
    HistoryUnavailable,
    NotStored,
    Page,
    Published,
    Stored,
    StoredMessage,
    no_listener,
)
from sockstore.server.history.database import Database, Placed, Unit, explain

__all__ = ["SqliteHistory"]

MOST_IN_ONE_TRANSACTION = 64
"""Messages; the last unit may exceed it. It also bounds how long sending them to the subscribers
keeps the event loop busy."""

logger: Final = logging.getLogger("sockstore.server")


@dataclass(frozen=True, slots=True)
class _Job:
    """A job of the thread: messages to store, or other work on the database."""

    future: asyncio.Future[Any]
    work: Callable[[Database], Any]
    unit: Unit | None = None
    is_last: bool = False

    @property
    def messages(self) -> int:
        """How many messages it stores."""
        return 0 if self.unit is None else len(self.unit[1])


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of a job."""

    job: _Job
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Worker:
    """The thread, and the queue of its jobs."""

    thread: threading.Thread
    jobs: SimpleQueue[_Job]


class SqliteHistory:
    """Keeps the messages of rooms in a SQLite file, or in memory.

    A message is sent to other clients only after it is on the disk (WAL, synchronous=FULL), so
    every message that a client has seen survives the death of the process and of the machine. One
    server at a time can use a file.

    Args:
        path: The file, which is made if it is missing; None keeps everything in memory.
        keep: The messages that are kept of each room; older ones are deleted.
        remember_seconds: The seconds for which the id of a message is remembered, so that a message
            that is sent again is stored once.

    Raises:
        InvalidOption: If an option cannot work.

    Example:
        ::

            create_app(history=SqliteHistory("chat.db", keep=1000))
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        keep: int = 10_000,
        remember_seconds: float = 3600.0,
    ) -> None:
        require_count("keep", keep, least=1)
        require_seconds("remember_seconds", remember_seconds)
        self._path = None if path is None else Path(path)
        self._keep = keep
        self._remember = remember_seconds
        # Set by `start`.
        self._published: Published = no_listener
        # Set by the first use, in `_ask`; reset by `aclose`.
        self._worker: _Worker | None = None
        # Whether a failure was logged; the next stored message clears it.
        self._was_failing = False

    def __str__(self) -> str:
        return "in memory" if self._path is None else str(self._path)

    @property
    def remember_seconds(self) -> float:
        """The seconds for which the id of a stored message is remembered, at least."""
        return self._remember

    def start(self, published: Published, lost_sight: Callable[[], None]) -> None:
        """Set the callable that receives stored messages; does no I/O.

        Args:
            published: Called with every stored message.
            lost_sight: Never called, because no other server writes to this file.
        """
        del lost_sight
        self._published = published

    def _database(self) -> Database:
        """Return the database, not opened; the benchmarks tune another one."""
        return Database(self._path, self._keep, self._remember)

    def check(self) -> None:
        """Open and close the file in the calling thread, before a server starts.

        Raises:
            HistoryUnavailable: If it cannot be used.
        """
        database = self._database()
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

    async def append(self, room: str, entries: Sequence[Entry]) -> list[Stored]:
        """Store messages in their order, all or none, and return once they are on the disk.

        Raises:
            NotStored: If they could not be stored; then they are sent to no client.
        """
        try:
            kept: list[Placed] = await self._ask(_open, (room, tuple(entries)))
        except Exception as error:
            self._note_failure(error)
            raise NotStored(str(self), explain(error)) from error
        self._was_failing = False
        return [stored for stored, _ in kept]

    async def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        """Return the oldest kept messages with a higher offset than `after`.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """
        return await self._read_page(lambda database: database.read(room, after, count, max_bytes))

    async def newest(
        self, room: str, count: int, max_bytes: int, before: int | None = None
    ) -> Page:
        """Return the last messages of a room, or the last ones before an offset, by rising offset.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """
        return await self._read_page(
            lambda database: database.newest(room, count, max_bytes, before)
        )

    async def _read_page(self, work: Callable[[Database], Page]) -> Page:
        try:
            return cast("Page", await self._ask(work))
        except Exception as error:
            self._note_failure(error)
            raise HistoryUnavailable(str(self), explain(error)) from error

    async def aclose(self) -> None:
        """Write what is waiting, and close; a later call opens it again."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        worker.jobs.put(_Job(future, Database.close, is_last=True))
        await future
        worker.thread.join()  # it has nothing left to do

    def _ask(
        self, work: Callable[[Database], Any], unit: Unit | None = None
    ) -> asyncio.Future[Any]:
        """Let the thread do some work, or store a unit; the first call starts the thread."""
        if self._worker is None:
            jobs: SimpleQueue[_Job] = SimpleQueue()
            # A daemon, so that a program that does not close the history can end.
            thread = threading.Thread(
                target=self._serve, args=(jobs,), name="sockstore-history", daemon=True
            )
            self._worker = _Worker(thread, jobs)
            thread.start()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._worker.jobs.put(_Job(future, work, unit))
        return future

    def _serve(self, jobs: SimpleQueue[_Job]) -> None:
        """Do the jobs, in the thread, until the last one."""
        database = self._database()
        while True:
            batch = _next_batch(jobs)
            done = [*_store(database, batch), *_work(database, batch)]
            try:
                batch[0].future.get_loop().call_soon_threadsafe(self._settle, done)
            except RuntimeError:  # the loop was closed, so no job is awaited any more
                database.close()
                return
            if batch[-1].is_last:
                return

    def _settle(self, done: list[_Done]) -> None:
        """Publish what was stored, in order, then settle the jobs; runs in the event loop."""
        for (room, epoch), messages in _by_room(done).items():
            self._published(room, messages, epoch)
        for each in done:
            if each.job.future.done():
                continue  # its task was cancelled
            if each.error is None:
                each.job.future.set_result(each.result)
            else:
                each.job.future.set_exception(each.error)

    def _note_failure(self, error: Exception) -> None:
        """Log the first of several failures: a full disk must not fill the log too."""
        if not self._was_failing:
            self._was_failing = True
            logger.error("the history %s cannot be used: %s", self, explain(error))


def _by_room(done: Sequence[_Done]) -> dict[tuple[str, str], list[StoredMessage]]:
    """Return the messages that were stored, by room and epoch."""
    rooms: dict[tuple[str, str], list[StoredMessage]] = {}
    for each in done:
        if each.job.unit is None or each.error is not None:
            continue
        room, _ = each.job.unit
        for stored, message in each.result:
            if message is not None:
                rooms.setdefault((room, stored.epoch), []).append(message)
    return rooms


def _next_batch(jobs: SimpleQueue[_Job]) -> list[_Job]:
    """Wait for a job, and take the other waiting jobs with it."""
    batch = [jobs.get()]
    messages = batch[0].messages
    try:
        while messages < MOST_IN_ONE_TRANSACTION and not batch[-1].is_last:
            batch.append(jobs.get_nowait())
            messages += batch[-1].messages
    except Empty:
        pass
    return batch


def _store(database: Database, batch: Sequence[_Job]) -> list[_Done]:
    """Store the messages of a batch in one transaction; if it fails, each job by itself."""
    stores = [job for job in batch if job.unit is not None]
    if not stores:
        return []
    try:
        kept = database.append([job.unit for job in stores if job.unit is not None])
    except Exception as error:  # noqa: BLE001 - the thread continues with the other jobs
        # A disk that fails does so for all jobs; each one would wait for it again.
        if len(stores) == 1 or isinstance(error, (sqlite3.OperationalError, OSError)):
            return [_Done(job, error=error) for job in stores]
        return [done for job in stores for done in _store(database, [job])]
    return [_Done(job, unit) for job, unit in zip(stores, kept, strict=True)]


def _work(database: Database, batch: Sequence[_Job]) -> list[_Done]:
    """Do the other jobs of a batch, each by itself."""
    done = []
    for job in batch:
        if job.unit is not None:
            continue
        try:
            done.append(_Done(job, job.work(database)))
        except Exception as error:  # noqa: BLE001 - the thread continues
            done.append(_Done(job, error=error))
    return done


def _open(database: Database) -> None:
    database.open()
