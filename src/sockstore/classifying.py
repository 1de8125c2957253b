"""A classification of one's own, which stands over the table of `classify` (CONTRACT RC6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from sockstore.errors import InvalidOption
from sockstore.frozen import frozen
from sockstore.outcomes import MIN_UPTIME, Classification, Outcome, classify
from sockstore.plain_calls import PLAIN, name_of, refuse_async

__all__ = ["Classified", "Classifier", "Word", "classified", "make_classifier"]

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
