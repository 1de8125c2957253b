"""What the numbers of errors and of close codes mean for what is done next."""

from __future__ import annotations

from typing import Final

from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Classification

__all__ = [
    "ALREADY_SUBSCRIBED",
    "COME_BACK",
    "EXPIRED",
    "NO_PERMISSION",
    "ErrorReply",
    "meaning_of_close",
    "meaning_of_error",
]

NO_PERMISSION: Final = 103
"""The server does not let this user into the room, with this token."""

ALREADY_SUBSCRIBED: Final = 105
"""The connection is subscribed to the room already."""

EXPIRED: Final = 109
"""The token is too old."""

COME_BACK: Final = 2500
"""From this code on, a client may subscribe again after the server ended its subscription."""

_TEMPORARY: Final = frozenset({100, 110, 111, 112})
"""Errors of commands after which they may be tried again, whether the server says so or not."""

_OF_CONNECT: Final = (
    dict.fromkeys((100, 110, 112), Classification.RETRY)
    | {111: Classification.THROTTLE}
    | dict.fromkeys((101, NO_PERMISSION, EXPIRED), Classification.UNAUTHORISED)
)

_OF_CLOSE: Final = (
    dict.fromkeys((*range(3500, 4000), *range(4500, 5000)), Classification.FATAL)
    | {3000: Classification.RETRY}
    | dict.fromkeys((3005, 3500, 3507), Classification.UNAUTHORISED)
)
"""After 3500 to 3999 and 4500 to 4999 a client must not reconnect; 3005 is an expired token."""


@frozen
class ErrorReply:
    """Why a command did not work.

    Args:
        code: The number of the error.
        message: The server's words; empty if it said none.
        says_temporary: Whether the server says that the client should try again.
    """

    code: int
    message: str = ""
    says_temporary: bool = False

    @property
    def is_temporary(self) -> bool:
        """Whether the same command may work later."""
        return self.says_temporary or self.code in _TEMPORARY

    @property
    def words(self) -> str:
        """The server's words, with the number of the error."""
        return f"{self.message} ({self.code})" if self.message else f"error {self.code}"


def meaning_of_error(error: ErrorReply) -> Classification:
    """Return what an error to ``connect`` means for the next attempt."""
    otherwise = Classification.RETRY if error.says_temporary else Classification.FATAL
    return _OF_CONNECT.get(error.code, otherwise)


def meaning_of_close(code: int) -> Classification | None:
    """Return what a close code means, if Centrifugo's protocol says it; else None."""
    return _OF_CLOSE.get(code)
