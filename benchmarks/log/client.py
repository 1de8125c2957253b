"""Append to one kind of log: ``python -m benchmarks.log.client sockstore``.

Prints nanoseconds of CPU time for each appended message, with one callback that is called for each,
for logs that have some length already. Every kind first decodes the smallest JSON text, with the
same codec, because a connection's log takes texts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
STRETCH = 1_000
"""Appends that are timed together."""

STRETCHES = 15
SECONDS_FOR_A_LENGTH = 0.2
TEXT = "7"
AT_ONCE = 64
"""Messages that a transport hands over together, at most."""

Append: TypeAlias = Callable[[list[str]], None]
"""Append these texts, and call the callback for each."""

Told: TypeAlias = Callable[[object], object]

decode = msgspec.json.Decoder().decode


def sockstore(told: Told, length: int) -> Append:
    """The log of a connection, unbounded; fed in batches, as its transport does it."""
    from sockstore.messages.writer import LogWriter

    writer = LogWriter(None, report=_fail)

    def append(texts: list[str]) -> None:
        writer.begin_slice()
        for start in range(0, len(texts), AT_ONCE):
            writer.extend(iter(texts[start : start + AT_ONCE]), decode, _fail)
        writer.end_slice()

    append([TEXT] * length)
    writer.on_append(told)
    return append


def bare_deque(told: Told, length: int) -> Append:
    """`deque.append` and a call."""
    log: deque[object] = deque([decode(TEXT)] * length)

    def append(texts: list[str]) -> None:
        for text in texts:
            data = decode(text)
            log.append(data)
            told(data)

    return append


def copied_list(told: Told, length: int) -> Append:
    """The guide's way: each message makes a new list, for a store that is set."""
    from sockstore import writable

    log = writable([decode(TEXT)] * length)
    log.subscribe(told)

    def append(texts: list[str]) -> None:
        for text in texts:
            data = decode(text)
            log.update(lambda messages: [*messages, data])  # noqa: B023 - called at once

    return append


def evented_list(told: Told, length: int) -> Append:
    """An `EventedList` of psygnal, which signals each insertion."""
    from psygnal.containers import EventedList

    log: EventedList[Any] = EventedList([decode(TEXT)] * length)
    log.events.inserted.connect(lambda _, value: told(value))

    def append(texts: list[str]) -> None:
        for text in texts:
            log.append(decode(text))

    return append


def _fail(*what: object) -> None:
    raise AssertionError(what)


KINDS: dict[str, tuple[Callable[[Told, int], Append], int]] = {
    "sockstore": (sockstore, LENGTHS[-1]),
    "deque": (bare_deque, LENGTHS[-1]),
    "copied list": (copied_list, LENGTHS[-1]),
    "psygnal": (evented_list, 10_000),  # a longer one is not slower, and takes long to fill
}
"""The function that makes each log, and the greatest length at which it is measured."""


def main() -> None:
    """Measure one kind at each length, until that takes too long."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="messages at most")
    options = parser.parse_args()
    make, longest = KINDS[options.kind]
    figures = {}
    for length in (each for each in LENGTHS if each <= min(longest, options.longest)):
        figures[f"at {length:,}"] = _nanoseconds(make, length)
    print(json.dumps(figures))


def _nanoseconds(make: Callable[[Told, int], Append], length: int) -> float:
    calls = 0

    def tell(_: object) -> None:
        nonlocal calls
        calls += 1

    append = make(tell, length)
    texts, figures, calls = [TEXT], list[float](), 0
    ends = time.monotonic() + SECONDS_FOR_A_LENGTH
    while len(figures) < STRETCHES and (time.monotonic() < ends or not figures):
        begun = time.process_time_ns()
        append(texts)
        figures.append((time.process_time_ns() - begun) / len(texts))
        if len(texts) == 1:  # the first figure says how many to time
            many = max(1, min(STRETCH, int(1e8 / max(1.0, figures.pop()))))
            texts = [TEXT] * many
    if calls < len(texts):
        raise AssertionError("the callback was not told")
    return statistics.median(figures)


if __name__ == "__main__":
    main()
