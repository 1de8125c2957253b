"""Read the push of a message in one step, where it looks as servers write it: the hot path.

Whatever is not exactly that is an exception here, and read again by the careful path, `frames`. So
both must agree only about the messages that this one takes; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple

__all__ = ["BEGINS", "PushReader", "push_reader"]

BEGINS = '{"push"'
"""How such a frame begins; others need not be tried."""


class PushReader(NamedTuple):
    """Two functions that read a push.

    Args:
        envelope: Returns a frame with the fields ``push.channel`` and ``push.pub``; the latter with
            ``data`` (undecoded), ``offset``, ``tags``, ``info`` and ``epoch``.
        payload: Decodes ``data``.
    """

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
    publication = define(
        "Publication",
        [
            ("data", msgspec.Raw),
            ("offset", Annotated[int, msgspec.Meta(ge=0)], 0),
            ("tags", tags | none, None),
            ("info", info | none, None),
            ("epoch", str, ""),
        ],
        gc=False,
    )
    push = define("Push", [("channel", str), ("pub", publication)], gc=False)
    frame = define("Frame", [("push", push)], gc=False)
    return PushReader(msgspec.json.Decoder(frame).decode, msgspec.json.Decoder().decode)
