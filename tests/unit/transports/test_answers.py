"""HTTP answers as servers and proxies send them in the field, however their bytes are cut."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockstore.transports.answers import (
    LONGEST_BODY,
    LONGEST_HEAD,
    Answer,
    AnswerReader,
    NotAnAnswerError,
)

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def reader() -> AnswerReader:
    return AnswerReader({101})


def read(*parts: bytes) -> tuple[Answer | None, bytes]:
    """Return the answer and what follows its head."""
    reading = reader()
    for at, part in enumerate(parts):
        answer = reading.take(part)
        if answer is not None:
            return answer, reading.rest + b"".join(parts[at + 1 :]) * (answer.status == 101)
    return reading.end(), b""


def head_of(data: bytes) -> Answer:
    answer, _ = read(data)
    assert answer is not None
    return answer


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("line", "status", "reason", "minor"),
    [
        (b"HTTP/1.1 404 Not Found", 404, "Not Found", 1),
        (b"HTTP/1.1 404 ", 404, "", 1),
        (b"HTTP/1.1 404", 404, "", 1),
        (b"HTTP/1.1  404  Not Found ", 404, "Not Found", 1),
        (b"HTTP/1.0 503 Busy", 503, "Busy", 0),
        (b"HTTP/1.1 400 caf\xe9", 400, "caf\xe9", 1),
        (b"HTTP/1.1 400 a\x1b[31mb", 400, "a [31mb", 1),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_status_line_is_read_as_it_is_sent_in_the_field(
    line: bytes, status: int, reason: str, minor: int, end: bytes
) -> None:
    answer = head_of(line + end + b"Content-Length: 0" + end + end)
    assert (answer.status, answer.reason, answer.minor) == (status, reason, minor)
    assert answer.values("content-length") == ["0"]


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        (b"", ()),
        (b"A: b\r\n", (("A", "b"),)),
        (b"a:b  \t\r\n", (("a", "b"),)),
        (b"A : b\r\n", (("A", "b"),)),
        (b"A:\r\nA: 2\r\n", (("A", ""), ("A", "2"))),
        (b"A: b\r\n c\r\n\td \r\nB: 1\r\n", (("A", "b c d"), ("B", "1"))),
        (b"A:\r\n b\r\n", (("A", "b"),)),
        (b"A: b\0c\rd\r\n", (("A", "b c d"),)),
        (b"A: " + b"b" * 200_000 + b"\r\n", (("A", "b" * 200_000),)),
        (b"A: b\r\n" * 2000, (("A", "b"),) * 2000),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_headers_are_read_as_they_are_sent_in_the_field(
    lines: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    assert head_of(b"HTTP/1.1 101 x\r\n" + lines + b"\r\n").headers == headers


def bytes_allocated_by(function: Callable[[bytes], object], data: bytes) -> int:
    """Return how many bytes a function allocates in all its lines, those that it frees included."""
    total = before = 0

    def trace(_frame: FrameType, _event: str, _: object) -> object:
        nonlocal total, before
        now, peak = tracemalloc.get_traced_memory()
        total += peak - before
        before = now
        tracemalloc.reset_peak()
        return trace

    earlier = sys.gettrace()
    tracemalloc.start()
    sys.settrace(trace)
    try:
        function(data)
    finally:
        sys.settrace(earlier)
        tracemalloc.stop()
    return total


@pytest.mark.contract("CN18")
def test_a_header_folded_over_many_lines_is_copied_a_few_times_not_once_a_line() -> None:
    data = b"HTTP/1.1 101 x\r\nA: b\r\n" + b" c\r\n" * 10_000 + b"\r\n"
    assert head_of(data).headers == (("A", "b" + " c" * 10_000),)
    assert bytes_allocated_by(head_of, data) < 400 * len(data)


@pytest.mark.contract("CN18")
def test_the_headers_of_former_connections_are_not_kept() -> None:
    tracemalloc.start()
    try:
        for number in range(300):
            head_of(b"HTTP/1.1 101 x\r\nSet-Cookie: %d%s\r\n\r\n" % (number, b"x" * 1000))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
    b"HTTP/1.0 100\n\n",
]


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("interim", [*INTERIM, b"".join(INTERIM)])
def test_interim_answers_are_passed_over(interim: bytes) -> None:
    answer, rest = read(interim + SWITCH + b"\x81\x02hi")
    assert answer is not None
    assert (answer.status, rest) == (101, b"\x81\x02hi")
    assert answer.headers == (("Upgrade", "websocket"),)


@pytest.mark.contract("CN18")
def test_interim_answers_without_end_are_not_read_without_end() -> None:
    reading = reader()
    with pytest.raises(NotAnAnswerError, match="longer than 256 KiB"):
        for _ in range(LONGEST_HEAD):
            assert reading.take(INTERIM[0]) is None


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not begin like HTTP/1.1"),
        (b" HTTP/1.1 101 x\r\n\r\n", "does not begin like HTTP/1.1"),
        (b"HTTP/9.9 101 x\r\n\r\n", "does not begin like HTTP/1.1"),
        (b"HTTP/2 101 x\r\n\r\n", "HTTP/2"),
        (b"\0\0\x12\x04\0\0\0\0\0" + b"x" * 18, "HTTP/2"),
        (b"\x15\x03\x01\0\x02\x02\x50", "TLS; use wss://"),
        (b"\0" * 20, "does not begin like HTTP/1.1"),
        (b"HTTP/1.1\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 abc\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 099 x\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 600 x\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 1010 x\r\n\r\n", "no HTTP status"),
        (b"HTTP/1.1 101 x\r\nUpgrade websocket\r\n\r\n", "not a header"),
        (b"HTTP/1.1 101 x\r\n folded: x\r\n\r\n", "not a header"),
        (b"HTTP/1.1 101 x\r\nA B: x\r\n\r\n", "not a header"),
        (b"HTTP/1.1 101 x\r\nUpgrade\r\n : websocket\r\n\r\n", "not a header"),
        (b"HTTP/1.1 101 x\r\n: x\r\n\r\n", "not a header"),
        (b"HTTP/1.1 101 x\r\nA: " + b"b" * LONGEST_HEAD, "longer than 256 KiB"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_an_answer_is_said_so(data: bytes, why: str) -> None:
    for parts in ([data], [data[at : at + 1] for at in range(min(len(data), 99))] + [data[99:]]):
        with pytest.raises(NotAnAnswerError, match=why):
            read(*parts)


# Bodies


@pytest.mark.contract("CN17")
@pytest.mark.parametrize(
    ("rest", "body", "is_over"),
    [
        (b"Content-Length: 3\r\n\r\nwhy and more", b"why", True),
        (b"Content-Length: 3, 3\r\n\r\nwhy", b"why", True),
        (b"Content-Length: 0\r\n\r\n", b"", True),
        (b"Content-Length: 100\r\n\r\nbecau", b"becau", False),
        (b"Content-Length: soon\r\n\r\nwhy", b"why", False),
        (b"\r\nwhy", b"why", False),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nwhy\r\n1;x=y\r\n?\r\n0\r\n\r\n", b"why?", True),
        (b"Transfer-Encoding: gzip, Chunked\r\n\r\n3\nwhy\n0\n\n", b"why", True),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nwhy\r\nnonsense\r\n", b"why", True),
        (b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 2000, b"", True),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3\r\nwhy", b"why", False),
        (b"\r\n" + b"x" * 9000, b"x" * LONGEST_BODY, True),
        (b"Content-Length: 9000\r\n\r\n" + b"x" * 9000, b"x" * LONGEST_BODY, True),
        (
            b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + b"x" * 5000,
            b"x" * LONGEST_BODY,
            True,
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_is_read_by_its_framing_and_only_its_beginning(
    rest: bytes, body: bytes, is_over: bool
) -> None:
    data = b"HTTP/1.1 401 x\r\n" + rest
    for step in (1, 7, len(data)):
        reading, done = reader(), None
        for at in range(0, len(data), step):
            done = done or reading.take(data[at : at + step])
        assert (done is not None) is is_over
        answer = done or reading.end()
        assert answer is not None
        assert answer.body == body


@pytest.mark.contract("CN17")
@pytest.mark.parametrize("status", [204, 205, 304])
def test_some_answers_have_no_body(status: int) -> None:
    answer = reader().take(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\n" % status)
    assert answer is not None
    assert answer.is_whole


# However it is cut

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.0 404\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Upgrade: websocket\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"3\r\nwhy\r\n0\r\n",
        b"\x15\x03",
        b"\0\0\0\x04",
        b"HTTP/2",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=6), max_size=8).map(b"".join)


def outcome(parts: list[bytes]) -> object:
    """Say what came of it, in a form that can be compared."""
    reading, after = reader(), b""
    done: Answer | None = None
    try:
        for part in parts:
            if done is not None:
                after += part
            else:
                done = reading.take(part)
        reading.judge_end()
    except NotAnAnswerError as error:
        return str(error)
    answer = done or reading.end()
    if answer is not None and answer.status == 101:
        return answer, reading.rest + after
    return done is not None, answer


@pytest.mark.contract("CN18")
@given(STREAMS, st.lists(st.integers(1, 5), min_size=1, max_size=30))
@example(b"HTTP/1.1 401 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwhy\r\n0\r\n\r\n", [1])
@example(b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 101 x\r\n\r\nrest", [1])
@example(b"\0\0\0\x04\r\n\r\nHTTP/1.1 101 x\r\n", [1])
def test_an_answer_is_the_same_however_it_is_cut(data: bytes, steps: list[int]) -> None:
    parts, at = [], 0
    while at < len(data):
        step = steps[len(parts) % len(steps)]
        parts.append(data[at : at + step])
        at += step
    assert outcome(parts) == outcome([data])


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("line", [b"no colon", b" folded: x", b"A B: x", b": x", b"\xe4: x"])
def test_a_refusal_counts_with_a_line_that_is_not_a_header(line: bytes) -> None:
    reader = AnswerReader(successes={101})
    data = b"HTTP/1.1 401 No\r\n" + line + b"\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
    answer = reader.take(data)
    assert answer is not None
    assert (answer.status, answer.value("retry-after")) == (401, "5")


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_reason_phrase_is_read_in_either_encoding(encoding: str) -> None:
    reader = AnswerReader(successes={101})
    line = "HTTP/1.1 403 Zugriff unmöglich\r\nContent-Length: 0\r\n\r\n"
    answer = reader.take(line.encode(encoding))
    assert answer is not None
    assert answer.reason == "Zugriff unmöglich"
