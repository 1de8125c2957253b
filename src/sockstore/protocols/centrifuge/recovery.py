"""Compare what a reader of a room has seen with what the server answers."""

from __future__ import annotations

from sockstore.base.frozen import frozen
from sockstore.base.positions import Gap, GapReason, Position
from sockstore.protocols.centrifuge.frames import Published
from sockstore.protocols.centrifuge.replies import Granted

__all__ = ["Joined", "joined_at"]


@frozen
class Joined:
    """Where a reader of a room is once its subscription was answered.

    Args:
        start: Its position before `publications`; None in a room that keeps no history.
        publications: The messages it missed, in order, without those it has seen already.
        gap: The messages missing before `publications`, if any are.
    """

    start: Position | None
    publications: tuple[Published, ...]
    gap: Gap | None = None


def joined_at(seen: Position | None, answer: Granted) -> Joined:
    """Return where a reader is now, and what it missed.

    The answer's `offset` is not where the reader is: if all is recovered it repeats the offset
    that was asked from, and the publications carry the rest; otherwise it is the newest.

    Args:
        seen: The last position of the reader; None if it has no position.
        answer: The answer.
    """
    if seen is None:
        return Joined(_before(answer, answer.publications), answer.publications)
    is_same_log = not seen.epoch or seen.epoch == answer.epoch
    publications = answer.publications
    if is_same_log:
        publications = tuple(each for each in publications if not _was_seen(each, seen))
    if answer.recovered and is_same_log and _follows(seen, answer, publications):
        last = answer.last if seen.id is None and not publications else seen.id
        return Joined(Position(seen.offset, answer.epoch, last), publications)
    start = _before(answer, publications)
    until = answer.offset if start is None else start.offset
    gap = Gap(seen.offset, until, _reason(seen, answer, is_same_log=is_same_log))
    return Joined(start, publications, gap)


def _follows(seen: Position, answer: Granted, publications: tuple[Published, ...]) -> bool:
    """Whether nothing is missing; the server's claim alone is not enough."""
    first = _first_offset(publications)
    if first is None:
        return answer.is_recoverable and answer.offset <= seen.offset
    return answer.is_recoverable and first == seen.offset + 1


def _before(answer: Granted, publications: tuple[Published, ...]) -> Position | None:
    if not answer.is_recoverable:
        return None
    first = _first_offset(publications)
    if first is None:
        return Position(answer.offset, answer.epoch, answer.last)
    return Position(max(0, first - 1), answer.epoch)


def _first_offset(publications: tuple[Published, ...]) -> int | None:
    return next((each.offset for each in publications if each.offset is not None), None)


def _was_seen(publication: Published, seen: Position) -> bool:
    return publication.offset is not None and publication.offset <= seen.offset


def _reason(seen: Position, answer: Granted, *, is_same_log: bool) -> GapReason:
    if answer.reason == "trimmed":
        return "trimmed"
    if not is_same_log:
        return "epoch"
    if answer.reason == "forked" or answer.offset < seen.offset:
        return "forked"
    return "unavailable"
