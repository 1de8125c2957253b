"""Decode received frames into data, and encode data into frames.

JSON is read and written by msgspec, or, where its wheel is missing (some browsers), by the standard
library with the same results. Either is loaded at its first use, or earlier by the thread that
loads the native transport, as loading takes a while.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import UnionType
from typing import (
    Any,
    Protocol,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
    runtime_checkable,
)

from sockstore.base.checks import require_callable
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen

__all__ = [
    "Codec",
    "CodecLike",
    "Unreadable",
    "converter_of",
    "decode_json",
    "encode",
    "encode_json",
    "encode_with",
    "json_decoder",
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
    Codec
    | type[Any]
    | UnionType
    | tuple[Callable[[str | bytes], Any], Callable[[Any], str | bytes]]
)
"""A codec, a type (or union) to decode JSON into, or a pair of functions (decode, encode)."""


def make_codec(codec: CodecLike | None) -> Codec | None:
    """Turn the value of ``codec=`` into a codec; None stays None (JSON or text)."""
    match codec:
        case None:
            return None
        case (decode, encode_):
            require_callable("codec", decode)
            require_callable("codec", encode_)
            return _FunctionPair(decode, encode_)
        case type():
            return _typed_codec(codec)
        case _ if get_origin(codec) in {Union, UnionType}:
            return _typed_codec(codec)
        case Codec():
            require_callable("codec", codec.decode)
            require_callable("codec", codec.encode)
            return codec
        case _:
            raise InvalidOption("codec", codec, "give a type, a (decode, encode) pair or a codec")


def make_encoder(codec: Codec | None, *, only_json: bool) -> Callable[[Any], str | bytes]:
    """Return a function that turns users' data into frames; it raises `TypeError` if it cannot.

    With `only_json` each frame is JSON on one line, in which text becomes a JSON string.
    """
    if not only_json:
        return _text_or_json if codec is None else partial(encode_with, codec.encode)
    return _encode_as_json if codec is None else partial(_encode_as_checked_json, codec)


def _encode_as_json(data: Any) -> str | bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("bytes cannot be sent here: this protocol carries JSON")
    return encode_with(encode_json, data) if not isinstance(data, str) else encode_json(data)


def _encode_as_checked_json(codec: Codec, data: Any) -> str | bytes:
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        return _encode_as_json(data)
    text = encode_with(codec.encode, data)
    try:
        decode_json(text if isinstance(text, str) else text.decode())
    except ValueError:
        raise TypeError("the codec did not write JSON, which this protocol carries") from None
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


@frozen
class _FunctionPair:
    decode: Callable[[str | bytes], Any]
    encode: Callable[[Any], str | bytes]


@frozen
class _JsonOf:
    """JSON decoded into a type; text and binary frames alike."""

    decode: Callable[[str | bytes], Any]

    def encode(self, data: Any) -> str:
        return encode_json(data)


@frozen
class _PydanticModel:
    model: Any

    def decode(self, frame: str | bytes) -> Any:
        return self.model.model_validate_json(frame)

    def encode(self, data: Any) -> str:
        dump = getattr(data, "model_dump_json", None)
        return cast("str", dump()) if dump is not None else encode_json(data)


def converter_of(wanted: Any) -> Callable[[Any], Any]:
    """Return a function that converts decoded JSON into a type, or into one of a union's types.

    Raises:
        InvalidOption: If data cannot be converted into it.
    """
    if hasattr(wanted, "model_validate_json"):
        return _through_text(_PydanticModel(wanted))
    try:
        import msgspec  # noqa: PLC0415 - see `_json`

        msgspec.json.Decoder(wanted)  # refuses types that it does not support
    except ImportError:
        raise InvalidOption("type", wanted, "types need the msgspec package") from None
    except TypeError as error:
        if get_origin(wanted) not in {Union, UnionType}:
            raise InvalidOption(
                "type", wanted, f"msgspec cannot decode into it: {error}"
            ) from error
        return _first_of([converter_of(each) for each in get_args(wanted)])
    return partial(msgspec.convert, type=wanted, str_keys=True)


def _through_text(codec: Codec) -> Callable[[Any], Any]:
    return lambda data: codec.decode(encode_json(data))


def _first_of(converters: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return a function that makes of data the first of several types that fits."""

    def convert(data: Any) -> Any:
        errors = []
        for each in converters:
            try:
                return each(data)
            except ValueError as error:  # also that of msgspec, and of pydantic
                errors.append(str(error))
        raise ValueError(f"none of the types fits: {'; '.join(errors)}")

    return convert


def _typed_codec(wanted: Any) -> Codec:
    if hasattr(wanted, "model_validate_json"):
        return _PydanticModel(wanted)
    try:
        import msgspec  # noqa: PLC0415 - see `_json`

        return _JsonOf(msgspec.json.Decoder(wanted).decode)
    except ImportError:
        raise InvalidOption("codec", wanted, "typed codecs need the msgspec package") from None
    except TypeError as error:
        if get_origin(wanted) not in {Union, UnionType}:
            why = f"msgspec cannot decode into it: {error}"
            raise InvalidOption("codec", wanted, why) from error
        return _JsonOf(_first_of([_typed_codec(each).decode for each in get_args(wanted)]))


# JSON


@frozen
class _Json:
    decode: Callable[[str], Any]
    encode: Callable[[Any], bytes]


@cache
def _json() -> _Json:
    """Load the functions that read and write JSON."""
    try:
        import msgspec  # noqa: PLC0415 - it is as large as the rest of the import
    except ImportError:
        from sockstore.base import json_stdlib  # noqa: PLC0415 - only some browsers need it

        return _Json(json_stdlib.decode_json, json_stdlib.encode_json)
    return _Json(msgspec.json.Decoder().decode, msgspec.json.Encoder(enc_hook=_plain).encode)


def _plain(data: Any) -> Any:
    """Return JSON data for a value that msgspec does not support."""
    from sockstore.base.json_stdlib import plain  # noqa: PLC0415 - few programs need it

    return plain(data)


@frozen
class Unreadable:
    """A part of a JSON text that cannot be decoded.

    Args:
        text: The text in its place.
        error: Why it cannot be decoded.
    """

    text: str
    error: Exception


def decode_json(text: str) -> Any:
    """Return the value of a JSON text (RFC 8259).

    Raises:
        ValueError: If it is not valid JSON, or its numbers or texts cannot be represented.
        RecursionError: If it is nested too deeply.
    """
    return _json().decode(text)


def json_decoder() -> Callable[[str], Any]:
    """Return the function behind `decode_json`, for callers that use it for every message."""
    return _json().decode


def encode_json(data: Any) -> str:
    """Return the JSON text of a value; raise `TypeError` or `ValueError` if there is none."""
    return _json().encode(data).decode()


_text_or_json = partial(encode_with, encode_json)  # one for all connections
