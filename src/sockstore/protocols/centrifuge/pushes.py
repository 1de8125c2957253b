"""Read the pushes of messages in one step, where they look as servers write them: the hot path.

Whatever is not exactly that is left to the careful path, `frames`. So both must agree only about
the messages that this one takes; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from sockstore.base.positions import Publication

if TYPE_CHECKING:
    from sockstore.protocols.centrifuge.room import Room

__all__ = ["BEGINS", "PushReader", "RunReader", "place_of", "push_reader"]

BEGINS = '{"push"'
"""How such a frame begins; others need not be tried."""


class PushReader(NamedTuple):
    """Functions that read a push.

    A push has the fields ``push.channel`` and ``push.pub``, and that ``data``, ``offset`` (0 if it
    is left out), ``tags``, ``info`` and ``epoch``.

    Args:
        whole: Returns a push.
        envelope: Returns a push whose ``data`` are not decoded.
        payload: Decodes such ``data``.
    """

    whole: Callable[[str], Any]
    envelope: Callable[[str], Any]
    payload: Callable[[Any], Any]


@cache
def push_reader() -> PushReader | None:
    """Return the functions; None without msgspec, which some browsers lack."""
    try:
        import msgspec  # noqa: PLC0415 - it is as large as the rest of the import
    except ImportError:
        return None
    # `defstruct` and not classes, which would have to stand at the top. `gc=False`: none of them
    # refers to itself, and the garbage collector would look at each.
    define = msgspec.defstruct
    none = type(None)
    tags = define("Tags", [("id", str, "")], gc=False)
    info = define("Info", [("user", str, "")], gc=False)

    def reader(data: Any) -> Callable[[str], Any]:
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("data", data),
            ("offset", Annotated[int, msgspec.Meta(ge=0)], 0),
            ("tags", tags | none, None),
            ("info", info | none, None),
            ("epoch", str, ""),
        ]
        pub = define("Pub", fields, gc=False)
        push = define("Push", [("channel", str), ("pub", pub)], gc=False)
        frame = define("Frame", [("push", push)], gc=False)
        decode: Callable[[str], Any] = msgspec.json.Decoder(frame).decode
        return decode

    return PushReader(reader(Any), reader(msgspec.Raw), msgspec.json.Decoder().decode)


def place_of(pub: Any, epoch: str) -> Publication:
    """Return the place of a message that was read here."""
    tags, info = pub.tags, pub.info
    return Publication(
        pub.offset or None,
        epoch,
        None if tags is None else tags.id or None,
        None if info is None else info.user or None,
    )


class RunReader:
    """Reads messages of one room that come one after the other, for a log that keeps their frames.

    It is good for one subscription of the server's: `advance` refuses all once that has ended.

    Args:
        room: The room; the server has let us in.
        read: Returns a push.
    """

    __slots__ = ("_channel", "_epoch", "_grant", "_last", "_memory", "_read", "_room")

    def __init__(self, room: Room, read: Callable[[str], Any]) -> None:
        self._room = room
        self._memory = room.memory
        self._channel = room.channel
        self._epoch = room.memory.epoch
        self._grant = room.grant
        self._read = read
        self._last: Any = None  # what `advance` has read last; set by it

    def advance(self, frame: str) -> Any:
        """Return the data of the next message, and note that it has come.

        Raises:
            ValueError, RecursionError: If a frame is not just that; then nothing is noted, and it
                is for `Conversation.hear`.
        """
        push = self._read(frame).push
        pub, memory = push.pub, self._memory
        offset, data = pub.offset, pub.data
        if (
            self._room.grant is not self._grant
            or offset != memory.offset + 1  # type: ignore[operator]  # it counts while we are in
            or push.channel != self._channel
            or pub.epoch
            or data.__class__ is str  # a message of another kind
        ):
            raise ValueError
        tags = pub.tags
        memory.offset, memory.last_id = offset, None if tags is None else tags.id or None
        self._last = pub
        return data

    def place(self) -> Publication:
        """Return the place of the message that `advance` has returned last."""
        return place_of(self._last, self._epoch)

    def again(self, frame: str) -> tuple[Any, Publication]:
        """Return the data and the place of a message whose frame `advance` took at any time."""
        pub = self._read(frame).push.pub
        return pub.data, place_of(pub, self._epoch)
