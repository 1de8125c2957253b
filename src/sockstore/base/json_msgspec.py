"""Read and write JSON by msgspec, or by the standard library where msgspec's wheel is missing.

Only `sockstore.base.codecs` loads this, at the first use of JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockstore.base.errors import InvalidOption

try:
    import msgspec
except ImportError:  # pragma: no cover - exercised by tests that hide msgspec
    msgspec = None  # type: ignore[assignment]  # the code below checks for None

__all__ = ["decode_json", "decoder_of", "encode_json"]


def decoder_of(wanted: type[Any]) -> Callable[[str | bytes], Any]:
    """Return a function that decodes JSON into a type.

    Raises:
        InvalidOption: If msgspec is missing, or does not support the type.
    """
    if msgspec is None:
        raise InvalidOption("codec", wanted, "typed codecs need the msgspec package")
    try:
        return msgspec.json.Decoder(wanted).decode
    except TypeError as error:
        raise InvalidOption("codec", wanted, f"msgspec cannot decode into it: {error}") from error


def _plain(data: Any) -> Any:
    """Return JSON data for a value that msgspec does not support."""
    from sockstore.base.json_stdlib import plain  # noqa: PLC0415 - few programs need it

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
