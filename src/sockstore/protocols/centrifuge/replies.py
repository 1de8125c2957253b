"""Read the results of replies: what the server announces, a subscription, a page, the members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sockstore.base.frozen import frozen
from sockstore.protocols.centrifuge.frames import (
    FrameError,
    Published,
    member_of,
    number_in,
    offset_in,
    published_by,
    text_in,
)
from sockstore.protocols.outputs import Member

__all__ = [
    "Announced",
    "Granted",
    "announced_by",
    "granted_by",
    "members_in",
    "offset_of",
    "page_in",
    "ttl_in",
]

LIMITS = ("rate", "burst", "max_message_bytes", "remembers")


@frozen
class Announced:
    """The server's facts about itself in its reply to ``connect``; None for those it leaves out.

    Args:
        stores_once: Whether it knows the method ``send`` (P29).
        rate: Commands a second that it takes in the long run.
        burst: Commands that it takes at once.
        max_message_bytes: The largest WebSocket message it takes.
        remembers: Seconds for which it knows the id of a message again.
        ping: Seconds between its pings.
        wants_pong: Whether it wants an answer to each of them.
        ttl: Seconds until the token of the connection expires.
    """

    stores_once: bool = False
    rate: float | None = None
    burst: int | None = None
    max_message_bytes: int | None = None
    remembers: float | None = None
    ping: float | None = None
    wants_pong: bool = False
    ttl: float | None = None


@frozen
class Granted:
    """The answer to a subscription.

    Args:
        epoch: The room's log.
        offset: The offset that was asked from if all is recovered, otherwise the newest.
        is_recoverable: Whether the room keeps a history.
        recovered: Whether everything since the asked position comes: `publications`, then pushes.
        publications: The missed messages, by rising offset.
        last: The id of the message at `offset`, if the server says it.
        reason: Why it could not recover, if the server says it.
        ttl: Seconds until the token of the subscription expires.
        data: What else the server says to the program.
    """

    epoch: str
    offset: int
    is_recoverable: bool
    recovered: bool
    publications: tuple[Published, ...] = ()
    last: str | None = None
    reason: str | None = None
    ttl: float | None = None
    data: Any = None


def announced_by(result: Mapping[str, Any]) -> Announced:
    """Return what the reply to ``connect`` says of the server (P30).

    Raises:
        FrameError: If it cannot be understood.
    """
    if text_in(result, "client") is None:
        raise FrameError("a reply to connect that names no client, as an echo does")
    facts: dict[str, Any] = {
        "ping": number_in(result, "ping"),
        "wants_pong": result.get("pong") is True,
        "ttl": ttl_in(result),
    }
    data = result.get("data")
    limits = data.get("sockstore") if isinstance(data, dict) else None
    if not isinstance(limits, dict):
        return Announced(**facts)
    numbers = {name: number_in(limits, name) for name in LIMITS}
    if None in numbers.values():
        raise FrameError("a reply to connect without the server's limits")
    return Announced(stores_once=True, **cast("dict[str, Any]", numbers), **facts)


def granted_by(channel: str, result: Mapping[str, Any]) -> Granted:
    """Return what the reply to ``subscribe`` says.

    Raises:
        FrameError: If it cannot be understood.
    """
    data = result.get("data")
    details: Mapping[str, Any] = data if isinstance(data, dict) else {}
    try:
        return Granted(
            str(result.get("epoch", "")),
            offset_in(result, "offset"),
            bool(result.get("recoverable") or result.get("recovered")),
            bool(result.get("recovered")),
            tuple(published_by(channel, each) for each in result.get("publications") or ()),
            text_in(details, "last"),
            text_in(details, "reason"),
            ttl_in(result),
            data,
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FrameError("a reply to subscribe that cannot be understood") from None


def page_in(channel: str, result: Mapping[str, Any]) -> list[Published]:
    """Return the messages of a page that was asked for in reverse, the oldest first.

    Raises:
        FrameError: If it cannot be understood.
    """
    try:
        page = [published_by(channel, each) for each in result.get("publications") or ()]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FrameError("a reply to history that cannot be understood") from None
    return page[::-1]


def members_in(result: Mapping[str, Any]) -> list[Member]:
    """Return who is in a room.

    Raises:
        FrameError: If it cannot be understood.
    """
    try:
        return [member_of(info) for info in (result.get("presence") or {}).values()]
    except (KeyError, TypeError, AttributeError):
        raise FrameError("a reply to presence that cannot be understood") from None


def ttl_in(result: Mapping[str, Any]) -> float | None:
    """Return in how many seconds a token expires; None if it does not."""
    return number_in(result, "ttl") if result.get("expires") is True else None


def offset_of(result: Mapping[str, Any]) -> int | None:
    """Return where a message was stored, if the reply to ``rpc`` says it."""
    data = result.get("data")
    offset = data.get("offset") if isinstance(data, dict) else None
    return offset if type(offset) is int else None
