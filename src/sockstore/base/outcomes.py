"""Classify how an attempt or a connection ended: what it means for the next attempt.

First the library's own table, `classify`; then the user's classification, which overrides it
(CONTRACT RC6). Nothing else decides from a close code or an HTTP status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from sockstore.base.close import Close, FailureReason
from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI
from sockstore.base.frozen import frozen
from sockstore.base.plain_calls import PLAIN, name_of, refuse_async

__all__ = [
    "Classification",
    "Classified",
    "Classifier",
    "Outcome",
    "Word",
    "classified",
    "classify",
    "make_classifier",
]


class Classification(StrEnum):
    """The next step after an `Outcome`; compares equal to its word."""

    RETRY = "retry"
    THROTTLE = "throttle"
    UNAUTHORISED = "unauthorised"
    GOODBYE = "goodbye"
    FATAL = "fatal"


Word: TypeAlias = Classification | Literal["retry", "throttle", "unauthorised", "goodbye", "fatal"]
"""A `Classification`, or its word."""


@frozen
class Outcome:
    """How one attempt, or the connection it opened, ended.

    Args:
        attempt: Which attempt it was: 0 the first, n the nth retry in a row.
        exception: The failed handshake, the lost liveness or the broken transport, if any.
        close: The close code and reason, if the WebSocket was open.
        uptime: Seconds the connection was open; None if it never was.
        opened_before: Whether any attempt of this connection object succeeded earlier.
        meaning: What the program (`Opening`) or its protocol says it means; None leaves it to the
            table of `classify`.
    """

    attempt: int = 0
    exception: Exception | None = None
    close: Close | None = None
    uptime: float | None = None
    opened_before: bool = False
    meaning: Word | None = None

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
"""Servers close with it to refuse credentials; later in a connection's life, for other reasons."""

_CODES_OF: dict[Classification, tuple[int, ...]] = {
    Classification.GOODBYE: (1000, 1005),
    Classification.FATAL: (1002, 1003, 1007, 1009, 1010, 4400, 4404, 4410),
    Classification.UNAUTHORISED: (1008, 3000, 4401, 4403),
    Classification.THROTTLE: (1013, 4429),
}
_BY_CLOSE_CODE = {code: meaning for meaning, codes in _CODES_OF.items() for code in codes}

_BY_HTTP_STATUS = (
    dict.fromkeys(range(400, 500), Classification.FATAL)
    | dict.fromkeys((401, 403, 407), Classification.UNAUTHORISED)
    | dict.fromkeys((408, 425), Classification.RETRY)
    | {429: Classification.THROTTLE}
)

# If the certificate or subprotocol was accepted before, a deployment is probably in progress.
_FATAL_UNTIL_FIRST_SUCCESS = {"certificate", "subprotocol"}


def classify(outcome: Outcome, *, min_uptime: float = MIN_UPTIME) -> Classification:
    """Say what an outcome means for the next attempt.

    A connection asks ``Reconnect(classify=)`` first.

    Args:
        outcome: How the attempt or the connection ended.
        min_uptime: Seconds after which a close with 1008 no longer means refused credentials, and
            is retried.

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
        case _ if outcome.meaning is not None:
            return Classification(outcome.meaning)
        case HandshakeFailed(status=int(status)):
            return _BY_HTTP_STATUS.get(status, Classification.RETRY)
        case HandshakeFailed(kind=kind) if kind in _FATAL_UNTIL_FIRST_SUCCESS:
            return Classification.RETRY if outcome.opened_before else Classification.FATAL
        case _ if _is_late_violation(outcome, min_uptime):
            return Classification.RETRY
        case _ if outcome.close is not None:
            return _BY_CLOSE_CODE.get(outcome.close.code, Classification.RETRY)
        case _:
            return Classification.RETRY


def _is_late_violation(outcome: Outcome, min_uptime: float) -> bool:
    is_violation = outcome.close is not None and outcome.close.code == POLICY_VIOLATION
    return is_violation and outcome.uptime is not None and outcome.uptime >= min_uptime


def reason_of_fatal(outcome: Outcome) -> FailureReason:
    """Return the failure reason of an outcome that is FATAL."""
    match outcome.exception:
        case InvalidURI():
            return FailureReason.FATAL_URL
        case InvalidOption():
            return FailureReason.FATAL_OPTION
        case HandshakeFailed(kind="certificate"):
            return FailureReason.FATAL_TLS
        case HandshakeFailed(kind="subprotocol"):
            return FailureReason.NO_SUBPROTOCOL
        case HandshakeFailed(kind="refused"):
            return FailureReason.REFUSED_BY_SERVER
        case HandshakeFailed(status=int()):
            return FailureReason.FATAL_HTTP_STATUS
        case _ if outcome.close is not None:
            return FailureReason.FATAL_CLOSE_CODE
        case _:
            return FailureReason.CLASSIFIED_AS_FATAL


Classifier: TypeAlias = Mapping[int, Word | None] | Callable[[Outcome], Word | None]
"""``{close code or status: word}``, or a function of the outcome; None defers to `classify`."""

_WORDS = ", ".join(repr(str(word)) for word in Classification)
_STATUSES, _CLOSE_CODES = range(100, 1000), range(1000, 5000)


@frozen
class Classified:
    """The classification of an outcome, and where it comes from.

    Args:
        classification: The meaning of the outcome.
        is_own: Whether it comes from the user's own ``Reconnect(classify=)``.
    """

    classification: Classification
    is_own: bool = False


@frozen
class _Table:
    """A copy of the user's mapping, as a function of the outcome."""

    entries: tuple[tuple[int, Classification], ...]

    def __call__(self, outcome: Outcome) -> Classification | None:
        """Look up the HTTP status, or the close code."""
        code = None if outcome.close is None else outcome.close.code
        number = code if outcome.status is None else outcome.status
        return next((word for key, word in self.entries if key == number), None)

    def __repr__(self) -> str:
        return repr({key: str(word) for key, word in self.entries})


def make_classifier(option: str, given: object) -> Callable[[Outcome], Word | None] | None:
    """Turn the value of ``classify=`` into a function of the outcome.

    Raises:
        InvalidOption: If it is neither a mapping nor a callable, or a key or word is not valid.
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
    """Classify an outcome by the user's own classification, then by `classify`.

    Raises:
        ValueError: If the user's function did not return a classification or None.
        Exception: Any error that the user's function raises.
    """
    word = None if own is None else own(outcome)
    if word is None:
        return _unless_refused(classify(outcome, min_uptime=min_uptime), outcome, is_own=False)
    try:
        return _unless_refused(Classification(word), outcome, is_own=True)
    except ValueError:
        raise ValueError(
            f"{name_of(own)} returned {word!r}, which is not one of {_WORDS} or None"
        ) from None


def _unless_refused(meaning: Classification, outcome: Outcome, *, is_own: bool) -> Classified:
    """Return the classification; a connection that was never open ends with no goodbye (OP3)."""
    was_refused = outcome.close is not None or outcome.meaning is not None
    if (
        meaning is Classification.GOODBYE
        and was_refused
        and isinstance(outcome.exception, HandshakeFailed)
    ):
        # A program that calls this code a goodbye wants no further attempt; the error stays.
        meaning = Classification.FATAL if is_own else Classification.RETRY
    return Classified(meaning, is_own)


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
