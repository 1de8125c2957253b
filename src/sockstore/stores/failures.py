"""Keep the errors of subscribers until all subscribers were told."""

from __future__ import annotations

from sockstore.base.plain_calls import name_of

__all__ = ["EndlessCycle", "Failures", "NotWatched", "full_name_of"]


class EndlessCycle(RuntimeError):
    """A subscriber or computation answers each change with another one."""

    def __init__(self) -> None:
        super().__init__(
            "an endless cycle: subscribers or computations answer each change of a store with"
            " another change; this one was refused"
        )


class NotWatched(Exception):
    """No value is known yet; only watching or reading the store would give one."""


def full_name_of(function: object) -> str:
    """Return the full name of a function, with its module if it has one."""
    module = getattr(function, "__module__", None)
    name = name_of(function)
    return f"{module}.{name}" if module and hasattr(function, "__qualname__") else name


class Failures:
    """The exceptions that were raised during one change."""

    __slots__ = ("_errors", "_interruption")

    def __init__(self) -> None:
        self._errors: list[Exception] = []
        """The exceptions given to `add`, until `raise_all` takes them."""
        self._interruption: BaseException | None = None
        """The first Ctrl-C, exit or cancellation that `add` was given; it is raised before all."""

    def add(self, error: BaseException, run: object = None) -> None:
        """Keep one error, with a note that names the function that raised it."""
        if run is not None:
            error.add_note(f"raised by the subscriber {full_name_of(run)}")
        if not isinstance(error, Exception):
            self._interruption = self._interruption or error
        elif not (isinstance(error, EndlessCycle) and EndlessCycle in map(type, self._errors)):
            self._errors.append(error)

    def raise_all(self) -> None:
        """Raise the kept exceptions, and forget them."""
        if not self._errors and self._interruption is None:
            return
        errors, self._errors = self._errors, []
        interruption, self._interruption = self._interruption, None
        try:
            raise _combined(errors, interruption)
        finally:
            # Or the traceback would keep this frame, and this frame the traceback.
            del errors, interruption


def _combined(errors: list[Exception], interruption: BaseException | None) -> BaseException:
    if interruption is not None:
        for error in errors:
            interruption.add_note(f"raised meanwhile: {error!r}")
        return interruption
    if len(errors) == 1:
        return errors[0]
    return ExceptionGroup("several subscribers or computations raised", errors)
