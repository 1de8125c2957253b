"""Read and write JSON by the standard library, with the same results as msgspec."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import uuid
from typing import Any, cast

__all__ = ["decode_json", "encode_json", "plain"]


DEEPEST = 1000
"""Levels of arrays and objects within each other, as many as msgspec reads."""

_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]')
"""Brackets, and whole strings, whose brackets do not count."""


def decode_json(text: str) -> Any:
    """Return the value of a JSON text, as `sockstore.base.codecs.decode_json` says."""
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_depth(text)
    value = _decoder.decode(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    return value


def _refuse_depth(text: str) -> None:
    """Refuse data that is nested too deeply: in a browser it would crash Python."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        first = bracket[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > DEEPEST:
            raise RecursionError(f"more than {DEEPEST} arrays and objects within each other")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


# Made once: `json.loads` would make one for each text.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)


def encode_json(data: Any) -> bytes:
    """Return the JSON text of a value in UTF-8, as msgspec does."""
    text = json.dumps(_null_for_nan(data), ensure_ascii=False, separators=(",", ":"), default=plain)
    return text.encode()


def _null_for_nan(data: Any) -> Any:
    """Return data that JSON can express: None for NaN and infinity, text for keys."""
    match data:
        case float():
            return data if math.isfinite(data) else None
        case dict():
            return {_key(key): _null_for_nan(value) for key, value in data.items()}
        case list() | tuple() | set() | frozenset():
            return [_null_for_nan(item) for item in data]
        case _ if dataclasses.is_dataclass(data) and not isinstance(data, type):
            names = (field.name for field in dataclasses.fields(data))
            return {name: _null_for_nan(getattr(data, name)) for name in names}
        case _:
            return data


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        return _key(key.value)
    if isinstance(key, (str, int, float)) and not isinstance(key, bool):
        return str(key)
    if isinstance(key, (dt.date, dt.time, uuid.UUID, decimal.Decimal, bytes)):
        return cast("str", plain(key))
    raise TypeError("Only dicts with str-like or number-like keys are supported")


def plain(data: Any) -> Any:
    """Return JSON data for a value that an encoder does not support."""
    match data:
        case enum.Enum():
            return data.value
        case str():  # msgspec does not support subclasses of str and numbers
            return str(data)
        case int() if not isinstance(data, bool):
            return int(data)
        case float():
            return float(data)
        case dt.datetime() | dt.date() | dt.time():
            return data.isoformat().replace("+00:00", "Z")
        case uuid.UUID() | decimal.Decimal():
            return str(data)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(data).decode()
        case _:
            raise TypeError(f"Encoding objects of type {type(data).__name__} is unsupported")
