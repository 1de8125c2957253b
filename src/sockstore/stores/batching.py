"""Group changes, so that subscribers are told once."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sockstore.stores.scheduling import threads

__all__ = ["batch"]


class _Batch(AbstractContextManager[None]):
    __slots__ = ("_scheduler",)

    def __enter__(self) -> None:
        self._scheduler = threads.scheduler
        self._scheduler.depth += 1

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._scheduler.depth -= 1
        try:
            self._scheduler.run()
        except BaseException as failure:
            # What ended the block is what the caller expects; only Ctrl-C goes before it.
            if error is None or not (isinstance(failure, Exception) or failure is error):
                raise
            if failure is not error:
                error.add_note(f"the end of the batch raised too: {failure!r}")


def batch() -> AbstractContextManager[None]:
    """Group changes: subscribers are told at the end of the block, and once for each store.

    Values change at once and can be read in the block; only the telling waits. If the block
    raises, the changes made so far stay and are told. Do not `await` in the block.

    Returns:
        A context manager. Batches nest; the outermost tells.

    Example:
        >>> from sockstore.stores import derived, writable
        >>> first, last = writable("Ada"), writable("Byron")
        >>> name = derived((first, last), lambda a, b: f"{a} {b}")
        >>> with name.subscribe(print), batch():
        ...     first.set("Augusta")
        ...     last.set("King")
        Ada Byron
        Augusta King
    """
    return _Batch()
