"""Codecs: what a received text means, and how data is written. Pure, and the same everywhere.

JSON is read and written by msgspec; where its wheel is missing (some browsers) by the standard
library, with the same results.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from sockstore.errors import InvalidOption
from sockstore.options import require_callable
from sockstore.records import record

try:
    import msgspec
except ImportError:  # pragma: no cover - exercised by tests that hide msgspec
    msgspec = None  # type: ignore[assignment]

__all__ = [
    "Codec",
    "CodecLike",
    "decode_json",
    "encode",
    "encode_json",
    "encode_with",
    "make_codec",
    "make_encoder",
]


@runtime_checkable
class Codec(Protocol):
    """Turns frames into data and data into frames."""

    def decode(self, frame: str | bytes, /) -> Any:
        """Return the data of a text (`str`) or binary (`bytes`) frame; raise if it is invalid."""
        ...

    def encode(self, data: Any, /) -> str | bytes:
        """Return the frame for data that is neither `str` nor `bytes`."""
        ...


CodecLike: TypeAlias = (
    Codec | type[Any] | tuple[Callable[[str | bytes], Any], Callable[[Any], str | bytes]]
)
"""A codec, a type to decode JSON into, or a pair of functions (decode, encode)."""


def make_codec(codec: CodecLike | None) -> Codec | None:
    """Turn what users give for ``codec=`` into a codec; None stays None (JSON or text)."""
    match codec:
        case None:
            return None
        case (decode, encode_):
            require_callable("codec", decode)
            require_callable("codec", encode_)
            return _FunctionPair(decode, encode_)
        case type():
            return _typed_codec(codec)
        case Codec():
            return codec
        case _:
            raise InvalidOption("codec", codec, "give a type, a (decode, encode) pair or a codec")


def make_encoder(codec: Codec | None, *, only_json: bool) -> Callable[[Any], str | bytes]:
    """Return what turns what users send into frames.

    Args:
        codec: The user's codec, or None.
        only_json: Whether what is sent must be JSON on one line: text becomes a JSON text then.

    Returns:
        A callable that raises `TypeError` if the data cannot be encoded.
    """
    if not only_json:
        return partial(encode_with, encode_json if codec is None else codec.encode)
    return _encode_as_json if codec is None else partial(_encode_as_checked_json, codec)


def _encode_as_json(data: Any) -> str | bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("bytes cannot be sent with a session, which carries JSON")
    return encode_with(encode_json, data) if not isinstance(data, str) else encode_json(data)


def _encode_as_checked_json(codec: Codec, data: Any) -> str | bytes:
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        return _encode_as_json(data)
    text = encode_with(codec.encode, data)
    try:
        decode_json(text if isinstance(text, str) else text.decode())
    except ValueError:
        raise TypeError("the codec wrote no JSON, which is what a session carries") from None
    text = text if isinstance(text, str) else text.decode()
    return text.replace("\r", " ").replace("\n", " ")


def encode(data: Any) -> str | bytes:
    """Return the frame for `data`: text for `str`, binary for bytes, JSON for everything else.

    Raises:
        TypeError: If it cannot be encoded.
    """
    return encode_with(encode_json, data)


def encode_with(encoder: Callable[[Any], str | bytes], data: Any) -> str | bytes:
    """Return the frame for `data`, made by `encoder` if it is neither `str` nor bytes."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    try:
        return _checked_text(data) if isinstance(data, str) else encoder(data)
    except RecursionError:
        raise TypeError("this data is nested too deeply to be sent as JSON") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{type(data).__name__} data cannot be sent: {error}") from error


def _checked_text(text: str) -> str:
    if not text.isascii():
        text.encode()  # refuses lone surrogates
    return text


@record
class _FunctionPair:
    decode: Callable[[str | bytes], Any]
    encode: Callable[[Any], str | bytes]


@record
class _JsonOf:
    """JSON decoded into a type; text and binary frames alike."""

    decode: Callable[[str | bytes], Any]

    def encode(self, data: Any) -> str:
        return encode_json(data)


@record
class _PydanticModel:
    model: Any

    def decode(self, frame: str | bytes) -> Any:
        return self.model.model_validate_json(frame)

    def encode(self, data: Any) -> str:
        dump = getattr(data, "model_dump_json", None)
        return cast("str", dump()) if dump is not None else encode_json(data)


def _typed_codec(wanted: type[Any]) -> Codec:
    if hasattr(wanted, "model_validate_json"):
        return _PydanticModel(wanted)
    if msgspec is None:
        raise InvalidOption("codec", wanted, "typed codecs need the msgspec package")
    try:
        return _JsonOf(msgspec.json.Decoder(wanted).decode)
    except TypeError as error:
        raise InvalidOption("codec", wanted, f"msgspec cannot decode into it: {error}") from error


# The two implementations of JSON


def _decode_with_json(text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


def _encode_with_json(data: Any) -> str:
    text = json.dumps(
        _null_for_nan(data), ensure_ascii=False, separators=(",", ":"), default=_plain
    )
    text.encode()
    return text


def _null_for_nan(data: Any) -> Any:
    """Return data as JSON has it: no NaN, no infinity, keys that are text."""
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
        return cast("str", _plain(key))
    raise TypeError("Only dicts with str-like or number-like keys are supported")


def _plain(data: Any) -> Any:
    """Return JSON data for what an encoder does not know."""
    match data:
        case enum.Enum():
            return data.value
        case str():  # msgspec knows no subclasses of str and of numbers
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


def _encode_with_msgspec(data: Any) -> str:
    return msgspec.json.encode(data, enc_hook=_plain).decode()


decode_json: Callable[[str], Any]
"""Return the value of a JSON text (RFC 8259).

It raises `ValueError` if the text is no JSON or its numbers or texts cannot be represented, and
`RecursionError` if it is nested too deeply.
"""

encode_json: Callable[[Any], str]
"""Return the JSON text of a value; it raises `TypeError` or `ValueError` if there is none."""

if msgspec is None:
    decode_json, encode_json = _decode_with_json, _encode_with_json
else:
    decode_json, encode_json = msgspec.json.Decoder().decode, _encode_with_msgspec
