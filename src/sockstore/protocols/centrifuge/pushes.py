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

    It is the `News` of the room: `CentrifugeConversation.news` yields it with each message.

    Args:
        subscription: The subscription.
        memory: How far the room has been read.
        decode: Reads a push; None if nothing reads it in one step.

    Attributes:
        subscription: The same.
        memory: The same.
        frame: The frame of the last message; set by the conversation, as is what follows.
        pub: What was read of it.
        data: Its data.
        more: Whether others follow in the same frame of the WebSocket.
    """

    __slots__ = (
        "_decode",
        "_epoch",
        "data",
        "frame",
        "memory",
        "more",
        "pub",
        "subscription",
    )

    def __init__(
        self, subscription: WireSubscription, memory: RoomMemory, decode: ReadPush | None
    ) -> None:
        self.subscription: WireSubscription = subscription
        self.memory: RoomMemory = memory
        self.frame: str = ""
        self.pub: Any = None
        self.data: Any = None
        self.more: bool = False
        self._epoch = memory.epoch
        self._decode = decode

    def place(self) -> Publication:
        """Return the place of the last message."""
        # Made for each message that somebody reads: so without another call.
        pub = self.pub
        tags, info = pub.tags, pub.info
        return Publication(
            pub.offset or None,
            self._epoch,
            None if tags is None else tags.id or None,
            None if info is None else info.user or None,
        )

    def again(self, frame: str) -> tuple[Any, Publication]:
        """Return the data and the place of a frame that was one of its messages."""
        assert self._decode is not None  # noqa: S101 - it has read the frame before
        old = Grant(self.subscription, self.memory, None)
        old.pub, old._epoch = self._decode(frame).push.pub, self._epoch
        return old.pub.data, old.place()
