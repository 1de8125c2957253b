"""Quote servers in error messages: one short line, without the secrets that were sent."""

from __future__ import annotations

import codecs
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sockstore.base.characters import one_line
from sockstore.base.errors import HandshakeFailed
from sockstore.base.urls import redact_url
from sockstore.transports.answers import Answer
from sockstore.transports.base import Target

__all__ = [
    "Hide",
    "cause_without_secrets",
    "clean",
    "hide_nothing",
    "hiding",
    "quoted",
    "refusal",
    "words_in",
    "words_of",
]

MOST_CHARACTERS = 200
"""Most characters of a quotation."""

SHORT = 4
"""Characters; a shorter secret is hidden only as a whole word, not within others."""

LONG = 32
"""Characters of a long secret that are enough to recognise it."""

HIDDEN = "***"

_LIKE_A_TOKEN = re.compile(r"auth|bearer|token|.{33}", re.IGNORECASE)
"""A subprotocol that may be a secret: some servers take tokens there."""

_NAMES_A_TOKEN = re.compile(r"(auth|bearer|token)\w*$", re.IGNORECASE)

_QUOTED = re.compile(r'"([^"]+)"')

PUBLIC_HEADERS = {
    "accept", "accept-encoding", "accept-language", "cache-control", "host", "origin", "pragma",
    "referer", "user-agent",
}  # fmt: skip
"""Headers of a request without secrets, which servers quote in their refusals."""

Hide = Callable[[str], str]
"""Replaces the secrets in a text."""


def hide_nothing(text: str) -> str:
    """Return a text as it is: no secret was sent."""
    return text


def hiding(secrets: Iterable[str]) -> Hide:
    """Return a function that hides these secrets.

    Example:
        >>> hiding(["s3cret"])("the token s3cret has expired")
        'the token *** has expired'
    """
    longest_first = sorted({secret.strip() for secret in secrets} - {""}, key=len, reverse=True)
    if not longest_first:
        return hide_nothing
    pattern = re.compile("|".join(map(_pattern, longest_first)), re.IGNORECASE)
    return lambda text: pattern.sub(HIDDEN, text)


def _pattern(secret: str) -> str:
    if len(secret) < SHORT:
        return rf"(?<!\w){re.escape(secret)}(?!\w)"
    # The end of a long one may be missing where a body was cut.
    return re.escape(secret) if len(secret) <= LONG else rf"{re.escape(secret[:LONG])}\S*"


def secrets_of(target: Target) -> Iterator[str]:
    """Yield the secrets of a handshake, in the forms in which a server may quote them."""
    from urllib.parse import quote, unquote, urlsplit  # noqa: PLC0415 - only for a refusal

    parts = urlsplit(target.url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if password:
        yield b64encode(f"{user}:{password}".encode()).decode()
    secrets = (
        *(secret for name, value in target.headers for secret in _in_header(name.lower(), value)),
        *_in_query(parts.query),
        *(parts.username or "", parts.password or "", user, password),
        *_in_subprotocols(target.subprotocols),
    )
    for secret in filter(None, secrets):
        # Servers decode it, or encode it for a url.
        yield from {secret, unquote(secret), quote(secret, safe=""), secret.strip("\"'")}


def _in_header(name: str, value: str) -> Iterator[str]:
    if name in PUBLIC_HEADERS:
        return
    yield value
    if name in {"authorization", "proxy-authorization"}:
        scheme, _, credentials = value.strip().partition(" ")
        yield credentials
        yield from _QUOTED.findall(credentials)
        if scheme.lower() == "basic":
            user, _, password = _decoded(credentials).partition(":")
            yield from (f"{user}:{password}", user, password)
    elif name == "cookie":
        yield from (cookie.partition("=")[2].strip() for cookie in value.split(";"))


def _decoded(credentials: str) -> str:
    try:
        return b64decode(credentials).decode()
    except ValueError:
        return ""


def _in_query(query: str) -> Iterator[str]:
    for parameter in re.split("[&;]", query):
        name, _, value = parameter.partition("=")
        for secret in (value or name, value.rpartition("=")[2]):
            yield from (secret, secret.replace("+", " "))


def _in_subprotocols(names: Sequence[str]) -> Iterator[str]:
    for before, name in zip(("", *names), names, strict=False):
        # Kubernetes, Supabase and others write a token's kind first, and then the token.
        if _LIKE_A_TOKEN.search(name) or _NAMES_A_TOKEN.search(before):
            yield name


def clean(text: str) -> str:
    """Return a foreign text as one short line without control characters.

    Example:
        >>> clean(f"no  entry{chr(0x2028)}here")
        'no entry here'
    """
    line = " ".join(one_line(text).split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def quoted(target: Target, error: Exception) -> str:
    """Return the text of a foreign error, cleaned and without the target's secrets."""
    return clean(hiding(secrets_of(target))(str(error)))


def cause_without_secrets(target: Target, error: Exception) -> Exception | None:
    """Return an error if its text has no secret: logs show the text of an error's cause, too."""
    text = str(error)
    return error if hiding(secrets_of(target))(text) == text else None


def refusal(
    target: Target, answer: Answer, retry_after: float | None, why: str = ""
) -> HandshakeFailed:
    """Return the error for an answer that refuses a handshake; `why` if a proxy gave it."""
    return HandshakeFailed(
        redact_url(target.url),
        why or f"the server {words_of(answer, hiding(secrets_of(target)))}",
        kind="http",
        status=answer.status,
        retry_after=retry_after,
        headers=answer.headers,
        body=answer.body,
    )


def words_of(answer: Answer, hide: Hide = hide_nothing) -> str:
    """Return an answer as the end of a sentence, with the answer's own words.

    Example:
        >>> words_of(Answer(status=404, reason="Not Found", body=b"There is no such room."))
        'answered HTTP 404 Not Found: There is no such room.'
    """
    head = f"answered HTTP {answer.status} {clean(hide(answer.reason))}".rstrip()
    body = clean(hide(_said_in_body(answer)))
    return f"{head}: {body}" if body and body.casefold() != answer.reason.casefold() else head


def words_in(message: str | bytes, target: Target | None) -> str:
    """Return what a server's message says, as the end of a sentence; empty if it is no text.

    Example:
        >>> words_in('{"type": "auth_invalid", "message": "Invalid password"}', None)
        'Invalid password'
    """
    if isinstance(message, bytes) or message.lstrip()[:1] == "<":
        return ""
    hide = hide_nothing if target is None else hiding(secrets_of(target))
    said = _said_in_json(message.encode()) if message.lstrip()[:1] == "{" else ""
    return clean(hide(said or message))


def _said_in_body(answer: Answer) -> str:
    """Return the first readable line of a body, or an empty string."""
    kind = answer.value("content-type").lower()
    media = kind.partition(";")[0].strip()
    if answer.value("content-encoding").lower() not in {"", "identity"}:
        return ""
    body = answer.body.removeprefix(codecs.BOM_UTF8).strip()
    if media.endswith(("/json", "+json")) or body[:1] == b"{":
        return _said_in_json(body)
    if media not in {"", "text/plain"} or body[:1] == b"<":
        return ""
    line, newline, _ = body.partition(b"\n")
    is_whole = bool(newline) or answer.is_whole  # a cut body may end within a character
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(line, is_whole)
    except UnicodeDecodeError:
        return line.decode("latin-1") if "8859-1" in kind else ""


def _said_in_json(body: bytes) -> str:
    import json  # noqa: PLC0415 - only for a refusal

    try:
        return _message(json.loads(body))
    except (ValueError, RecursionError):
        return ""


def _message(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    error = value.get("error")
    nested = error.get("message") if isinstance(error, dict) else error
    for text in (value.get("message"), nested, value.get("detail")):
        if isinstance(text, str) and text.strip():
            return text
    return ""
