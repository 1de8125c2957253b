"""JSON texts: read and written by msgspec, or where its wheel is missing by the standard library.

It is loaded by `sockstore.base.codecs` only, when JSON is needed first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockstore.base.errors import InvalidOption

try:
    import msgspec
except ImportError:  # pragma: no cover - exercised by tests that hide msgspec
    msgspec = None  # type: ignore[assignment]

__all__ = ["decode_json", "decoder_of", "encode_json"]


def decoder_of(wanted: type[Any]) -> Callable[[str | bytes], Any]:
    """Return what decodes JSON into a type.

    Raises:
        InvalidOption: If nothing does.
    """
    if msgspec is None:
        raise InvalidOption("codec", wanted, "typed codecs need the msgspec package")
    try:
        return msgspec.json.Decoder(wanted).decode
    except TypeError as error:
        raise InvalidOption("codec", wanted, f"msgspec cannot decode into it: {error}") from error


def _plain(data: Any) -> Any:
    """Return JSON data for what msgspec does not know; it knows nearly all, so this comes late."""
    from sockstore.base.json_stdlib import plain  # noqa: PLC0415

    return plain(data)


def _encode_with_msgspec(data: Any) -> str:
    text: str = _encode(data).decode()
    return text


decode_json: Callable[[str], Any]
encode_json: Callable[[Any], str]

if msgspec is None:
    from sockstore.base.json_stdlib import decode_json, encode_json
else:
    _encode = msgspec.json.Encoder(enc_hook=_plain).encode
    decode_json, encode_json = msgspec.json.Decoder().decode, _encode_with_msgspec
