"""Parse an HTTP answer as it arrives: status, headers and the beginning of the body.

It accepts what real servers and proxies send, not only valid answers: interim answers, HTTP/1.0,
no reason phrase, folded headers, lines that end with LF alone. `native.handshake` checks strictly
what a WebSocket needs.
"""

from __future__ import annotations

import re
from collections.abc import Container
from sys import intern, version_info

from sockstore.base.frozen import frozen

__all__ = ["LONGEST_BODY", "LONGEST_HEAD", "Answer", "AnswerReader", "NotAnAnswerError"]

LONGEST_HEAD = 256 * 2**10
"""Most bytes of all heads together, interim answers included."""

LONGEST_BODY = 4 * 2**10
"""Most bytes of a body to keep."""

LONGEST_CHUNK_LINE = 1024
"""Most bytes of a line that says the size of a chunk."""

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*))?", re.DOTALL)
_FOLD = re.compile(rb"\r?\n[ \t]+")
"""The end of a line, where a value goes on in the next one (RFC 9112 section 5.2)."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that become a space in a header (RFC 9110 section 5.5)."""

_BLANKS = " \t"

_SPEAKS_TLS = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
_SPEAKS_HTTP2 = re.compile(rb"\x00.{2}\x04[\x00\x01]\x00{4}", re.DOTALL)
"""Records of TLS, and the SETTINGS frame that begins HTTP/2 (RFC 9113 section 6.5)."""

_WITHOUT_BODY = {204, 205, 304}

_INTERNS_FOR_EVER = version_info[:2] == (3, 12)
"""Python 3.12 did not free interned strings; 3.11 and 3.13 do."""


class NotAnAnswerError(Exception):
    """The bytes are not an HTTP answer; the text says why, as the end of a sentence."""


@frozen(kw_only=True)
class Answer:
    """An HTTP answer of a server or a proxy.

    Args:
        status: The HTTP status.
        reason: The reason phrase; empty if there was none.
        headers: The headers, as (name, value) pairs.
        minor: The minor version of HTTP: 0 or 1.
        body: The first 4 KiB of the body, without the framing of chunks.
        is_whole: Whether `body` is the whole body.
    """

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    minor: int = 1
    body: bytes = b""
    is_whole: bool = True

    def values(self, name: str) -> list[str]:
        """Return the values of a header; its name is given in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str:
        """Return the values of a header in one line (RFC 9110 section 5.3)."""
        return ", ".join(self.values(name)).strip()


class AnswerReader:
    """Parses one final answer, however its bytes are cut.

    Args:
        successes: The statuses after whose head another protocol follows, not a body.

    Attributes:
        rest: The bytes after the head of a success; set by `take`.
        head: The answer without its body, once its head is complete; set by `take`.
    """

    __slots__ = ("_body", "_buffer", "_seen", "_start", "_successes", "head", "rest")

    def __init__(self, successes: Container[int]) -> None:
        self._successes = successes
        self._buffer = bytearray()  # the received bytes, until the head is complete
        self._start = 0  # where the head begins that is being read; moved by `_next_head`
        self._seen = 0  # where to look on for its end; moved by `_next_head`
        self._body: _Body | None = None  # set when a head promises a body
        self.head: Answer | None = None
        self.rest: bytes = b""

    @property
    def awaits_body(self) -> bool:
        """Whether only the rest of the body is missing."""
        return self._body is not None and not self._body.is_over

    def take(self, data: bytes) -> Answer | None:
        """Take received bytes; return the answer once it is complete.

        Raises:
            NotAnAnswerError: If it cannot become a valid answer.
        """
        if self._body is not None:
            self._body.take(data)
            return None if self.awaits_body else self.end()
        self._buffer += data
        while self.head is None:
            head = self._next_head()
            if head is None:
                return None
            if head.status >= 200 or head.status in self._successes:
                self.head = head
        rest = bytes(self._buffer[self._start :])
        self._buffer.clear()
        if self.head.status in self._successes:
            self.rest = rest
            return self.head
        self._body = _Body(self.head)
        return self.take(rest)

    def end(self) -> Answer | None:
        """Return the answer with as much of its body as came; None if its head is not complete."""
        head, body = self.head, self._body
        if head is None or body is None:
            return head
        return Answer(
            status=head.status,
            reason=head.reason,
            headers=head.headers,
            minor=head.minor,
            body=bytes(body.kept[:LONGEST_BODY]),
            is_whole=body.is_whole,
        )

    def judge_end(self) -> None:
        """Check an answer that ends within its head.

        Raises:
            NotAnAnswerError: If the bytes are not the beginning of an answer.
        """
        line, newline, _ = bytes(self._buffer[self._start :]).partition(b"\n")
        if newline:
            _parse_status_line(line.removesuffix(b"\r"))

    def _next_head(self) -> Answer | None:
        """Read the next head, if it is complete: an interim one, or the final one."""
        buffer = self._buffer
        if not _begins_like_http(bytes(buffer[self._start : self._start + 9])):
            return None
        end_of_head = _END_OF_HEAD.search(buffer, self._seen)
        size = len(buffer) if end_of_head is None else end_of_head.end()
        if size > LONGEST_HEAD:
            raise NotAnAnswerError(f"its head is longer than {LONGEST_HEAD >> 10} KiB")
        if end_of_head is None:
            self._seen = max(self._start, len(buffer) - 2)
            return None
        head = _parse_head(bytes(buffer[self._start : end_of_head.start()]))
        self._start = self._seen = end_of_head.end()
        return head


def _begins_like_http(data: bytes) -> bool:
    """Whether this is, as far as it goes, HTTP/1.1; False if more bytes will show the protocol."""
    if data[:7] == b"HTTP/1."[: len(data)]:
        return True
    if _SPEAKS_TLS.match(data):
        raise NotAnAnswerError("the other end speaks TLS; use wss:// (or https:// for a proxy)")
    if _SPEAKS_HTTP2.match(data) or data.startswith(b"HTTP/2"):
        raise NotAnAnswerError("the other end speaks HTTP/2 where HTTP/1.1 is needed")
    if len(data) < 9 and _could_be_named(data):
        return False
    raise NotAnAnswerError("it does not begin like HTTP/1.1")


def _could_be_named(data: bytes) -> bool:
    """Whether a few more bytes may show that this is TLS or HTTP/2."""
    tls = data[0] in range(0x14, 0x18) and b"\x03".startswith(data[1:2])
    http2 = data[:1] == b"\0" and (len(data) < 4 or data[3] == 4)
    return (tls and len(data) < 3) or http2 or b"HTTP/2".startswith(data)


def _parse_head(head: bytes) -> Answer:
    status_line, _, fields = head.partition(b"\n")
    minor, status, reason = _parse_status_line(status_line.removesuffix(b"\r"))
    # Interned: servers say much the same to every connection. A refusal is not kept for long.
    keep = intern if status == 101 and not _INTERNS_FOR_EVER else str
    headers: list[tuple[str, str]] = []
    # A fold becomes a control character: a value has a space in its place, a name must not have it.
    for line in _FOLD.sub(b"\r", fields).split(b"\n") if fields else ():
        name, colon, value = line.removesuffix(b"\r").decode("latin-1").partition(":")
        name = name.rstrip(_BLANKS)
        if not colon or not _NAME.fullmatch(name):
            if status < 400:
                raise NotAnAnswerError("a line of its head is not a header")
            continue  # a refusal counts, even if its headers are not valid
        headers.append((keep(name), keep(_CONTROLS.sub(" ", value).strip(_BLANKS))))
    return Answer(status=status, reason=reason, headers=tuple(headers), minor=minor)


def _parse_status_line(line: bytes) -> tuple[int, int, str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None or int(match[2]) >= 600:
        raise NotAnAnswerError("its first line has no HTTP status")
    return min(int(match[1]), 1), int(match[2]), _phrase(match[3] or b"")


def _phrase(value: bytes) -> str:
    """Return a reason phrase: UTF-8 if it can be, otherwise as headers are read."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return _CONTROLS.sub(" ", text).strip(_BLANKS)


class _Body:
    """The beginning of a body (RFC 9112 section 6.3).

    Attributes:
        kept: Its first bytes, a little more than 4 KiB at most; grown by `take`.
        is_over: Whether no more bytes are needed; set by `take`.
        is_whole: Whether the whole body came and was kept; set by `take`.
    """

    __slots__ = ("_in_chunks", "_left", "_undecoded", "is_over", "is_whole", "kept")

    def __init__(self, head: Answer) -> None:
        self.kept = bytearray()
        self.is_over = self.is_whole = False
        self._undecoded = b""  # the beginning of a line between chunks; set by `_take_chunks`
        self._left: int | None = None  # bytes until the end, or the end of a chunk
        codings = head.value("transfer-encoding").lower()
        has_body = head.status not in _WITHOUT_BODY
        self._in_chunks = has_body and codings.rpartition(",")[2].strip() == "chunked"
        if not has_body or self._in_chunks:
            self._left = 0
        elif not codings:
            self._left = _length(head)

    def take(self, data: bytes) -> None:
        """Take received bytes of it."""
        (self._take_chunks if self._in_chunks else self._take_plain)(data)
        if len(self.kept) > LONGEST_BODY:
            self.is_over, self.is_whole = True, False

    def _take_plain(self, data: bytes) -> None:
        if self._left is None:
            self.kept += data[: LONGEST_BODY + 1]
            return
        part = data[: self._left]
        self.kept += part[: LONGEST_BODY + 1]
        self._left -= len(part)
        self.is_over = self.is_whole = not self._left

    def _take_chunks(self, data: bytes) -> None:
        data = self._undecoded + data
        while not self.is_over:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self.kept += part
                self._left -= len(part)
            line, newline, rest = data.partition(b"\n")
            if self._left or not newline:
                self.is_over = len(self.kept) > LONGEST_BODY or len(data) > LONGEST_CHUNK_LINE
                break
            data = rest
            self._begin_chunk(line.strip())
        self._undecoded = data

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        if not size:
            return  # the end of the line behind a chunk
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            self.is_over = True
            return
        self._left = int(size, 16)
        self.is_over = self.is_whole = not self._left


def _length(head: Answer) -> int | None:
    """Return Content-Length; None if it is missing or not clear: the body lasts until the end."""
    lengths = {value.strip() for value in head.value("content-length").split(",")}
    (length,) = lengths if len(lengths) == 1 else ("",)
    return int(length) if re.fullmatch("[0-9]{1,15}", length) else None
