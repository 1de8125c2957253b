"""How an attempt or a connection ended, and what that means for the next one.

`classify` is the one public table (CONTRACT RC6); nothing else decides from a close code or an
HTTP status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI
from sockstore.base.frozen import frozen
from sockstore.base.plain_calls import PLAIN, name_of, refuse_async

__all__ = [
    "Classification",
    "Classified",
    "Classifier",
    "Close",
    "FailureReason",
    "Outcome",
    "Word",
    "check_close",
    "classified",
    "classify",
    "make_classifier",
]


class Classification(StrEnum):
    """What to do after an `Outcome`; compares equal to its word."""

    RETRY = "retry"
    THROTTLE = "throttle"
    UNAUTHORISED = "unauthorised"
    GOODBYE = "goodbye"
    FATAL = "fatal"


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
    SESSION_REFUSED = "session refused"
    UNAUTHORISED = "unauthorised"
    CLASSIFIED_AS_FATAL = "classified as fatal"
    POLICY_ERROR = "policy error"


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
        name = _CLOSE_CODE_NAMES.get(self.code)
        text = f"{self.code} ({name})" if name else str(self.code)
        return f"{text}: {self.reason}" if self.reason else text


LONGEST_CLOSE_REASON = 123
"""UTF-8 bytes; a close frame has room for no more (RFC 6455 section 5.5)."""


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


_CLOSE_CODE_NAMES = {
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


@frozen
class Outcome:
    """How one attempt, or the connection it opened, ended.

    Args:
        attempt: Which attempt it was: 0 the first, n the nth retry in a row.
        exception: The failed handshake, the lost liveness or the broken transport, if any.
        close: The close code and reason, if the connection had been open.
        uptime: Seconds the connection was open; None if it never was.
        opened_before: Whether any attempt of this connection object succeeded earlier.
        in_session: Whether a session was spoken, whose close codes mean more.
    """

    attempt: int = 0
    exception: Exception | None = None
    close: Close | None = None
    uptime: float | None = None
    opened_before: bool = False
    in_session: bool = False

    @property
    def status(self) -> int | None:
        """The HTTP status that refused the handshake, if one did."""
        return self.exception.status if isinstance(self.exception, HandshakeFailed) else None

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait, on HTTP 429 and 503 (RFC 9110 section 10.2.3)."""
        if isinstance(self.exception, HandshakeFailed) and self.status in {429, 503}:
            return self.exception.retry_after
        return None


MIN_UPTIME = 5.0
"""Seconds; a connection that lived shorter counts as a failed attempt (RC4)."""

POLICY_VIOLATION = 1008
"""What servers say to those they do not let in, and, long after that, for reasons of their own."""

_BY_CLOSE_CODE = (
    dict.fromkeys((1000, 1005), Classification.GOODBYE)
    | dict.fromkeys(
        (1002, 1003, 1007, 1009, 1010, 4400, 4404, 4410),
        Classification.FATAL,
    )
    | dict.fromkeys((1008, 3000, 4401, 4403), Classification.UNAUTHORISED)
    | dict.fromkeys((1013, 4429), Classification.THROTTLE)
)

# Centrifugo's: from 3500 to 3999 and from 4500 to 4999 coming back is of no use.
_BY_SESSION_CLOSE_CODE: dict[int, Classification] = (
    _BY_CLOSE_CODE
    | dict.fromkeys((*range(3500, 4000), *range(4500, 5000)), Classification.FATAL)
    | {3000: Classification.RETRY}
    | dict.fromkeys((3500, 3507), Classification.UNAUTHORISED)
)

_BY_SESSION_ERROR = (
    dict.fromkeys((100, 110, 112), Classification.RETRY)
    | {111: Classification.THROTTLE}
    | dict.fromkeys((101, 103, 109), Classification.UNAUTHORISED)
)

_BY_HTTP_STATUS = (
    dict.fromkeys(range(400, 500), Classification.FATAL)
    | dict.fromkeys((401, 403, 407), Classification.UNAUTHORISED)
    | dict.fromkeys((408, 425), Classification.RETRY)
    | {429: Classification.THROTTLE}
)

# A certificate or a subprotocol that once worked is more likely a deployment in progress than a
# mistake in this program.
_FATAL_UNTIL_FIRST_SUCCESS = {"certificate", "subprotocol"}


def classify(outcome: Outcome, *, min_uptime: float = MIN_UPTIME) -> Classification:
    """Say what an outcome means for the next attempt.

    A connection asks ``Reconnect(classify=)`` first.

    Args:
        outcome: How the attempt or the connection ended.
        min_uptime: Seconds after which a close with 1008 does not refuse the credentials: it is
            retried then.

    Returns:
        RETRY, THROTTLE (retry, but wait longer), UNAUTHORISED, GOODBYE or FATAL.

    Source:
        RFC 6455 section 7.4.1 and the IANA registry of close codes; RFC 9110 section 15.

    Example:
        >>> classify(Outcome(close=Close(1012))).name
        'RETRY'
        >>> classify(Outcome(close=Close(4401))).name
        'UNAUTHORISED'
    """
    match outcome.exception:
        case InvalidURI() | InvalidOption():
            return Classification.FATAL
        case HandshakeFailed(status=int(status)):
            return _BY_HTTP_STATUS.get(status, Classification.RETRY)
        case HandshakeFailed(kind=kind) if kind in _FATAL_UNTIL_FIRST_SUCCESS:
            return Classification.RETRY if outcome.opened_before else Classification.FATAL
        case HandshakeFailed(kind="session", code=int(code)):
            return _BY_SESSION_ERROR.get(code, Classification.FATAL)
        case _ if _is_late_violation(outcome, min_uptime):
            return Classification.RETRY
        case _ if outcome.in_session and outcome.close is not None:
            return _BY_SESSION_CLOSE_CODE.get(outcome.close.code, Classification.RETRY)
        case _ if outcome.close is not None:
            return _BY_CLOSE_CODE.get(outcome.close.code, Classification.RETRY)
        case _:
            return Classification.RETRY


def _is_late_violation(outcome: Outcome, min_uptime: float) -> bool:
    is_violation = outcome.close is not None and outcome.close.code == POLICY_VIOLATION
    return is_violation and outcome.uptime is not None and outcome.uptime >= min_uptime


def reason_of_fatal(outcome: Outcome) -> FailureReason:
    """Name the reason for an outcome that is FATAL."""
    match outcome.exception:
        case InvalidURI():
            return FailureReason.FATAL_URL
        case InvalidOption():
            return FailureReason.FATAL_OPTION
        case HandshakeFailed(kind="certificate"):
            return FailureReason.FATAL_TLS
        case HandshakeFailed(kind="subprotocol"):
            return FailureReason.NO_SUBPROTOCOL
        case HandshakeFailed(kind="session"):
            return FailureReason.SESSION_REFUSED
        case HandshakeFailed(status=int()):
            return FailureReason.FATAL_HTTP_STATUS
        case _ if outcome.close is not None:
            return FailureReason.FATAL_CLOSE_CODE
        case _:
            return FailureReason.CLASSIFIED_AS_FATAL


Word: TypeAlias = Classification | Literal["retry", "throttle", "unauthorised", "goodbye", "fatal"]
"""What an end means; a `Classification` equals its word."""

Classifier: TypeAlias = Mapping[int, Word | None] | Callable[[Outcome], Word | None]
"""``{close code or HTTP status: word}``, or a function of the outcome; None leaves it to ours."""

_WORDS = ", ".join(repr(str(word)) for word in Classification)
_STATUSES, _CLOSE_CODES = range(100, 1000), range(1000, 5000)


@frozen
class Classified:
    """What an end means, and whose word that is.

    Args:
        classification: What it means.
        is_own: Whether the user's own classification said so.
    """

    classification: Classification
    is_own: bool = False


@frozen
class _Table:
    """A mapping as a function of the outcome; it cannot be changed any more."""

    entries: tuple[tuple[int, Classification], ...]

    def __call__(self, outcome: Outcome) -> Classification | None:
        """Look up the HTTP status, or the close code."""
        code = None if outcome.close is None else outcome.close.code
        number = code if outcome.status is None else outcome.status
        return next((word for key, word in self.entries if key == number), None)

    def __repr__(self) -> str:
        return repr({key: str(word) for key, word in self.entries})


def make_classifier(option: str, given: object) -> Callable[[Outcome], Word | None] | None:
    """Turn what users give for ``classify=`` into a function of the outcome.

    Raises:
        InvalidOption: If it is neither a mapping nor a callable, or a key or word means nothing.
        TypeError: If it is a coroutine function.
    """
    match given:
        case None:
            return None
        case Mapping():
            words = [(_key(option, key), _word(option, key, given[key])) for key in given]
            return _Table(tuple((key, word) for key, word in words if word is not None))
        case _ if callable(given):
            refuse_async(given, f"Reconnect({option}=)", PLAIN)
            return given
        case _:
            raise InvalidOption(
                option, given, "give {close code or HTTP status: word}, or a function(outcome)"
            )


def classified(
    own: Callable[[Outcome], Word | None] | None,
    outcome: Outcome,
    min_uptime: float = MIN_UPTIME,
) -> Classified:
    """Say what an outcome means: the user's own word first, then ours.

    Args:
        own: The user's own classification, if there is one.
        outcome: How the attempt or the connection ended.
        min_uptime: Seconds after which a connection is not taken for a refusal.

    Raises:
        ValueError: If the user's function returned what is not a classification.
        Exception: Whatever the user's function raises.
    """
    word = None if own is None else own(outcome)
    if word is None:
        return Classified(classify(outcome, min_uptime=min_uptime))
    try:
        return Classified(Classification(word), is_own=True)
    except ValueError:
        raise ValueError(
            f"{name_of(own)} returned {word!r}, which is not one of {_WORDS} or None"
        ) from None


def _key(option: str, key: object) -> int:
    if isinstance(key, int) and (key in _STATUSES or key in _CLOSE_CODES):
        return int(key)
    raise InvalidOption(
        option,
        {key: "..."},
        "give close codes (1000 to 4999) or HTTP statuses (100 to 999) as keys",
    )


def _word(option: str, key: object, word: Any) -> Classification | None:
    try:
        return None if word is None else Classification(word)
    except ValueError:
        raise InvalidOption(option, {key: word}, f"give one of {_WORDS} for each key") from None
