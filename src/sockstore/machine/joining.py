"""What a server's answer to a subscription means for a reader: where it is, and what it missed."""

from __future__ import annotations

from sockstore.base.frozen import frozen
from sockstore.base.positions import Gap, GapReason, Position
from sockstore.machine.session_frames import Published, Subscribed

__all__ = ["RECONNECTED", "Joined", "joined_at"]

RECONNECTED = Gap(None, None, "reconnected")
"""What is missing after a reconnection where messages have no numbers."""


@frozen
class Joined:
    """Where a reader of a room is once its subscription was answered.

    Args:
        start: Its position before `publications`; None in a room that keeps no history.
        publications: What it missed, in order; what it has seen already is left out.
        gap: What is missing before `publications`, if something is.
    """

    start: Position | None
    publications: tuple[Published, ...]
    gap: Gap | None = None


def joined_at(seen: Position | None, told: Subscribed) -> Joined:
    """Compare what a reader has seen with what the server answers.

    The answer's `offset` is not where the reader is: if all is recovered it repeats the offset
    that was asked from, and the publications carry the rest; otherwise it is the newest.

    Args:
        seen: What the reader saw last; None if it has no position.
        told: The answer.
    """
    if seen is None:
        return Joined(_before(told, told.publications), told.publications)
    is_same_log = not seen.epoch or seen.epoch == told.epoch
    publications = told.publications
    if is_same_log:
        publications = tuple(each for each in publications if not _was_seen(each, seen))
    if told.recovered and is_same_log and _follows(seen, told, publications):
        last = told.last if seen.id is None and not publications else seen.id
        return Joined(Position(seen.offset, told.epoch, last), publications)
    start = _before(told, publications)
    until = told.offset if start is None else start.offset
    gap = Gap(seen.offset, until, _reason(seen, told, is_same_log=is_same_log))
    return Joined(start, publications, gap)


def _follows(seen: Position, told: Subscribed, publications: tuple[Published, ...]) -> bool:
    """Whether nothing is missing; the server's word alone is not enough."""
    first = _first_offset(publications)
    if first is None:
        return told.is_recoverable and told.offset <= seen.offset
    return told.is_recoverable and first == seen.offset + 1


def _before(told: Subscribed, publications: tuple[Published, ...]) -> Position | None:
    if not told.is_recoverable:
        return None
    first = _first_offset(publications)
    if first is None:
        return Position(told.offset, told.epoch, told.last)
    return Position(max(0, first - 1), told.epoch)


def _first_offset(publications: tuple[Published, ...]) -> int | None:
    return next((each.offset for each in publications if each.offset is not None), None)


def _was_seen(publication: Published, seen: Position) -> bool:
    return publication.offset is not None and publication.offset <= seen.offset


def _reason(seen: Position, told: Subscribed, *, is_same_log: bool) -> GapReason:
    if told.reason == "trimmed":
        return "trimmed"
    if not is_same_log:
        return "epoch"
    if told.reason == "forked" or told.offset < seen.offset:
        return "forked"
    return "unavailable"
