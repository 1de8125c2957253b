"""Say how requests carry an id, and answers the id of their request."""

from __future__ import annotations

from typing import Any, Protocol

from sockstore.base.checks import require_text
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen

__all__ = ["IdField", "RequestFormat", "error_in", "require_format"]


class RequestFormat(Protocol):
    """How a request carries its id, and an answer the id of its request."""

    def wrap(self, data: Any, number: int, /) -> Any:
        """Return the message to send.

        Raises:
            TypeError: If `data` cannot carry an id.
        """

    def number_of(self, data: Any, /) -> object:
        """Return the id that a message carries; None if it is not an answer."""

    def result_of(self, data: Any, /) -> Any:
        """Return what `WebSocketStore.request` returns for this answer.

        Raises:
            RequestFailed: If the answer is an error.
        """


@frozen
class IdField:
    """A JSON object with the id in a field; the answer is an object with the same field.

    Args:
        name: The name of the field.

    Raises:
        InvalidOption: If the name is not text.

    Example:
        >>> IdField("reqId").wrap({"op": "book"}, 7)
        {'op': 'book', 'reqId': 7}
    """

    name: str = "id"

    def __post_init__(self) -> None:
        require_text("name", self.name, "the name of a field")

    def wrap(self, data: Any, number: int, /) -> Any:
        """Return the object with its id."""
        if not isinstance(data, dict):
            raise TypeError(f"a request must be a dict, so that it can carry {self.name!r}")
        return {**data, self.name: number}

    def number_of(self, data: Any, /) -> object:
        """Return the id of an object."""
        return data.get(self.name) if isinstance(data, dict) else None

    def result_of(self, data: Any, /) -> Any:
        """Return the answer as it is."""
        return data


def require_format(value: object) -> None:
    """Refuse what is no `RequestFormat`, the class `IdField` itself for example.

    Raises:
        InvalidOption: If it cannot be used.
    """
    methods = ("wrap", "number_of", "result_of")
    if isinstance(value, type) or not all(callable(getattr(value, each, None)) for each in methods):
        how = f"give IdField(), or an object with the methods {', '.join(methods)}"
        raise InvalidOption("requests", value, how)


def error_in(answer: Any) -> str | None:
    """Return the words of the error that an answer carries in its field ``error``, or None."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not error:
        return None
    if isinstance(error, dict):
        words = (error.get(field) for field in ("message", "msg", "reason", "detail"))
        error = next((each for each in words if isinstance(each, str) and each), error)
    return str(error)
