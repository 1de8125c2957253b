"""Read the pushes of messages in one step, where they look as servers write them: the hot path.

Whatever is not exactly that is left to the careful path, `frames`. So both must agree only about
the messages that this one takes; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeAlias

from sockstore.base.records import Publication
from sockstore.protocols.centrifuge.memory import RoomMemory
from sockstore.protocols.outputs import WireSubscription

__all__ = ["BEGINS", "Grant", "ReadPush", "push_reader"]

BEGINS = '{"push"'
"""How such a frame begins; others need not be tried."""

ReadPush: TypeAlias = Callable[[str], Any]
"""Returns the ``push`` of a frame: its ``channel`` and its ``pub``, which has ``data``, ``offset``
(0 if it is left out), ``tags``, ``info`` and ``epoch``."""


@cache
def push_reader() -> ReadPush | None:
    """Return what reads a push; None without msgspec, which some browsers lack."""
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
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("data", Any),
        ("offset", Annotated[int, msgspec.Meta(ge=0)], 0),
        ("tags", tags | none, None),
        ("info", info | none, None),
        ("epoch", str, ""),
    ]
    push = define("Push", [("channel", str), ("pub", define("Pub", fields, gc=False))], gc=False)
    decode: ReadPush = msgspec.json.Decoder(define("Frame", [("push", push)], gc=False)).decode
    return decode


class Grant:
    """That the server has let us into a room, from its answer on until it ends.

    It is the `News` of the room: what `read` takes is a message of it.

    Args:
        subscription: The subscription.
        memory: How far the room has been read.
        decode: Reads a push; None if nothing reads it in one step.

    Attributes:
        subscription: The same.
        data: The data of the last message; set by `read`.
    """

    __slots__ = ("_decode", "_epoch", "_memory", "_pub", "data", "subscription")

    def __init__(
        self, subscription: WireSubscription, memory: RoomMemory, decode: ReadPush | None
    ) -> None:
        self.subscription: WireSubscription = subscription
        self.data: Any = None
        self._memory = memory
        self._epoch = memory.epoch
        self._decode = decode
        self._pub: Any = None  # the last message, set by `read`

    def read(self, pub: Any) -> bool:
        """Return whether a publication is the next message of the room, and note that it came."""
        memory, data = self._memory, pub.data
        last = memory.offset
        # A text is a message of another kind, and an epoch is told by the first message of a log.
        if pub.epoch or data.__class__ is str or pub.offset != (0 if last is None else last + 1):
            return False
        if last is not None:
            tags = pub.tags
            memory.offset, memory.last_id = last + 1, None if tags is None else tags.id or None
        self._pub, self.data = pub, data
        return True

    def place(self) -> Publication:
        """Return the place of the last message."""
        return _place(self._pub, self._epoch)

    def again(self, frame: str) -> tuple[Any, Publication]:
        """Return the data and the place of a frame that `read` took at any time."""
        assert self._decode is not None  # noqa: S101 - it has read the frame before
        pub = self._decode(frame).push.pub
        return pub.data, _place(pub, self._epoch)


def _place(pub: Any, epoch: str) -> Publication:
    tags, info = pub.tags, pub.info
    return Publication(
        pub.offset or None,
        epoch,
        None if tags is None else tags.id or None,
        None if info is None else info.user or None,
    )
