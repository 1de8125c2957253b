"""Decode a frame in which a payload cannot be decoded; the rest of the frame counts.

A server passes on payloads of its users unchanged, also one that is not valid JSON, or that
Python cannot hold. `sockstore.protocols.centrifuge.frames` loads this module when a frame cannot be
decoded as a whole.
"""

from __future__ import annotations

import re
from typing import Any

from sockstore.base.codecs import Unreadable, decode_json

__all__ = ["decode_frame"]

_PAYLOADS = frozenset({'"data"', '"conn_info"', '"chan_info"'})
"""Keys, as they are written, whose values come from users and their programs."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{}\],:]', re.DOTALL)


def decode_frame(text: str) -> Any:
    """Return the value of a JSON text, with `Unreadable` for each payload that cannot be decoded.

    Raises:
        ValueError: If the text around the payloads cannot be decoded.
        RecursionError: If that is nested too deeply.
    """
    frame, payloads = _without_payloads(text)
    return _with_payloads(decode_json(frame), [_decoded(payload) for payload in payloads])


def _decoded(text: str) -> Any:
    try:
        return decode_json(text)
    except RecursionError:
        return Unreadable(text, ValueError("the JSON text is nested too deeply"))
    except ValueError as error:
        return Unreadable(text, error)


def _without_payloads(text: str) -> tuple[str, list[str]]:
    """Return the text with a number in place of each payload, and the payloads."""
    kept: list[str] = []
    payloads: list[str] = []
    depth, copied, before = 0, 0, ""
    begun: tuple[int, int] | None = None  # where a payload begins, and how deep
    for token in _TOKEN.finditer(text):
        what = token[0]
        if begun is not None and depth == begun[1] and what in {",", "}"}:
            kept += (text[copied : begun[0]], str(len(payloads)))
            payloads.append(text[begun[0] : token.start()].strip())
            copied, begun = token.start(), None
        if what == ":" and begun is None and before in _PAYLOADS:
            begun = (token.end(), depth)
        depth += (what in {"[", "{"}) - (what in {"]", "}"})
        before = what
    return "".join((*kept, text[copied:])), payloads


def _with_payloads(value: Any, payloads: list[Any]) -> Any:
    match value:
        case dict():
            return {
                key: payloads[each] if f'"{key}"' in _PAYLOADS else _with_payloads(each, payloads)
                for key, each in value.items()
            }
        case list():
            return [_with_payloads(each, payloads) for each in value]
        case _:
            return value
