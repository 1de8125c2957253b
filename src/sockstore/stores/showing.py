"""Write the `repr` of a store: its value, short, without secrets; nothing is started for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from reprlib import Repr
from typing import Any, Final

from sockstore.base.urls import redact_url
from sockstore.stores.computed import Computed
from sockstore.stores.failures import NotWatched, full_name_of
from sockstore.stores.nodes import Node, dormant, look

__all__ = ["shorten", "show"]

LONGEST: Final = 80
"""Characters of a value that are shown (ST13)."""

_LOOKED_AT: Final = 4096
"""Characters of a text that are examined; the shown ones are among them."""

_PARTS: Final = 100
"""Parts of a value that are examined: a log may hold a million."""

_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s'\"<>\\]*")
_SECRET: Final = re.compile(
    r"(authorization|cookie)(\\?['\"]?\s*[:=,]\s*)((?:b?(['\"])(?:\\.|(?!\4).)*\4?)|.*)",
    re.IGNORECASE | re.DOTALL,
)


def show(node: Node[Any], kind: str) -> str:
    """Return the `repr` of a store.

    Args:
        node: The node of the store.
        kind: The name of its kind.
    """
    order = [] if node.live else dormant(node)
    try:
        value = look(node, _last_or_sample)
    except NotWatched:
        return f"<{kind} {_origin(node)}, not watched>"
    except Exception as error:  # noqa: BLE001 - a repr never raises
        return f"<{kind} {_origin(node)}: {shorten(error)}>"
    # Its `start` is the user's code, with effects, so it is not run to look at the value.
    stale = ", not watched" if any(each.has_effects() for each in order) else ""
    # The name of a function is shown, but not the type of a callable of this package.
    named = isinstance(node, Computed) and hasattr(node.fn, "__qualname__")
    by = f" {_origin(node)}" if named else ""
    return f"<{kind} {shorten(value)}{by}{stale}>"


def shorten(value: object) -> str:
    """Return what `repr` would, in at most 80 characters and without secrets (CN14).

    Example:
        >>> shorten({"url": "wss://me:secret@example.com/feed?token=abc"})
        "{'url': 'wss://***@example.com/feed?***'}"
    """
    try:
        text = _Shortened().repr(value)
    except Exception as error:  # noqa: BLE001 - a user's `__repr__` may raise anything
        text = f"a {type(value).__qualname__} whose repr raises {type(error).__qualname__}"
    text = _redact(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _last_or_sample(node: Node[Any], inputs: list[Any]) -> Any:
    return node.last_value() if node.has_effects() else node.sample(inputs)


def _origin(node: Node[Any]) -> str:
    if isinstance(node, Computed):
        return f"computed by {full_name_of(node.fn)}"
    return f"of a {type(getattr(node, 'store', None)).__qualname__}"


def _redact(text: str) -> str:
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    return _SECRET.sub(
        lambda match: f"{match[1]}{match[2]}{match[4] or ''}***{match[4] or ''}", text
    )


def _beginning(text: str) -> str:
    """Return the start of a text, redacted before it is cut, or half a secret is left."""
    if len(text) <= _LOOKED_AT:
        return _redact(text)
    start = text[:_LOOKED_AT]
    cut = next((match for match in _URL.finditer(start) if match.end() == _LOOKED_AT), None)
    return _redact(start if cut is None else start[: cut.start()]) + "..."


class _Shortened(Repr):
    """A `Repr` that examines only as much of a value as can be shown."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 4 * LONGEST
        """Characters that may still be collected; those that follow would be cut anyway."""
        self.maxlist = self.maxtuple = self.maxdeque = self.maxarray = self.maxother = _PARTS

    def repr1(self, x: Any, level: int) -> str:
        """Return the text of one part."""
        if self._left <= 0:
            return "..."
        text = self._part(x, level)
        self._left -= len(text)
        return text

    def _part(self, x: Any, level: int) -> str:
        if isinstance(x, (str, bytes, bytearray)):
            return self._text(x)
        if isinstance(x, int) and not isinstance(x, bool) and x.bit_length() > _LOOKED_AT:
            return f"an int of {x.bit_length()} bits"
        if isinstance(x, (list, tuple, dict, set, frozenset)) and not _is_plain(x):
            # Its own `repr` may name its fields; that of a large one would take long.
            return f"<{type(x).__qualname__} of {len(x)}>" if len(x) > _PARTS else self._whole(x)
        return super().repr1(x, level)

    # The base class sorts the members first, which takes long and calls the user's `__lt__`.

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Return the text of the first items, in their order."""
        if level <= 0:
            return "{...}"
        items = islice(x.items(), _PARTS)
        pieces = (f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in items)
        return "{" + ", ".join(pieces) + "}"

    def repr_set(self, x: set[Any], level: int) -> str:
        """Return the text of the first members."""
        return self._members(x, level) if x else "set()"

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        """Return the text of the first members."""
        return f"frozenset({self._members(x, level) if x else ''})"

    def _members(self, x: Iterable[Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        return "{" + ", ".join(self.repr1(member, level - 1) for member in islice(x, _PARTS)) + "}"

    def repr_instance(self, x: Any, level: int) -> str:
        """Return the text of an instance of any other class."""
        del level
        return self._whole(x)

    def _whole(self, x: object) -> str:
        return _beginning(repr(x))

    def _text(self, x: str | bytes | bytearray) -> str:
        if len(x) <= _LOOKED_AT:
            return _beginning(repr(x))
        start = x[: _LOOKED_AT + 1]
        return repr(_beginning(start)) if isinstance(start, str) else _beginning(repr(start))


def _is_plain(x: object) -> bool:
    return type(x) in {list, tuple, dict, set, frozenset}
