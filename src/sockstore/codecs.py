"""Codecs: what a received text means, and how data is written. Pure, and the same everywhere.

JSON is read and written by msgspec; where its wheel is missing (some browsers) by the standard
library, with the same results.
"""

from __future__ import annotations

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


# JSON: msgspec's, or where its wheel is missing the standard library's


def _plain(data: Any) -> Any:
    """Return JSON data for what msgspec does not know; it knows nearly all, so this comes late."""
    from sockstore.standard_json import plain  # noqa: PLC0415

    return plain(data)


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
    from sockstore.standard_json import decode_json, encode_json
else:
    decode_json, encode_json = msgspec.json.Decoder().decode, _encode_with_msgspec
