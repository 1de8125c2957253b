"""Describe how a WebSocket is closed, and why a connection failed."""

from __future__ import annotations

from enum import StrEnum

from sockstore.base.frozen import frozen

__all__ = ["CLOSE_CODE_NAMES", "Close", "FailureReason", "check_close"]

CLOSE_CODE_NAMES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    3000: "unauthorized",
}
"""Close codes in words (RFC 6455 section 7.4.1 and the IANA registry)."""

LONGEST_CLOSE_REASON = 123
"""UTF-8 bytes; a close frame has room for no more (RFC 6455 section 5.5)."""


@frozen
class Close:
    """How a WebSocket was closed.

    Args:
        code: The close code; 1005 if the close frame had none, 1006 if there was no close frame.
        reason: The close reason, at most 123 UTF-8 bytes on the wire.
        clean: Whether both sides exchanged a close frame.

    Source:
        RFC 6455 sections 7.1.4 to 7.1.6 and 7.4.1.
    """

    code: int
    reason: str = ""
    clean: bool = False

    def __str__(self) -> str:
        name = CLOSE_CODE_NAMES.get(self.code)
        text = f"{self.code} ({name})" if name else str(self.code)
        return f"{text}: {self.reason}" if self.reason else text


def check_close(code: int, reason: str) -> None:
    """Refuse what an application may not send in a close frame (RFC 6455 section 7.4.2).

    Raises:
        ValueError: If code or reason cannot be sent.
    """
    if type(code) is not int or not (code == 1000 or 3000 <= code <= 4999):
        raise ValueError(f"close code {code!r} cannot be sent: give 1000, or 3000 to 4999")
    if not isinstance(reason, str):
        raise ValueError(  # noqa: TRY004 - CONTRACT CN5
            f"close reason {reason!r} cannot be sent: give text"
        )
    size = len(reason.encode())
    if size > LONGEST_CLOSE_REASON:
        raise ValueError(
            f"the close reason has {size} UTF-8 bytes: give at most {LONGEST_CLOSE_REASON}"
        )


class FailureReason(StrEnum):
    """Why a connection is in phase ``failed``; compares equal to its text."""

    ATTEMPTS_EXHAUSTED = "attempts exhausted"
    RECONNECTING_IS_OFF = "reconnecting is off"
    REFUSED_BY_PREDICATE = "refused by predicate"
    STOPPED_BY_CALLABLE = "stopped by a callable"
    FATAL_CLOSE_CODE = "fatal close code"
    FATAL_HTTP_STATUS = "fatal HTTP status"
    FATAL_TLS = "fatal TLS"
    FATAL_URL = "fatal url"
    FATAL_OPTION = "fatal option"
    NO_SUBPROTOCOL = "no common subprotocol"
    REFUSED_BY_SERVER = "refused by the server"
    UNAUTHORISED = "unauthorised"
    CLASSIFIED_AS_FATAL = "classified as fatal"
    POLICY_ERROR = "policy error"
