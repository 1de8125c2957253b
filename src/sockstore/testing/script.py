"""Write the script of a fake server, one step after the other."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from sockstore.base.codecs import encode
from sockstore.testing.fake_client import Handler

__all__ = [
    "Accept",
    "Close",
    "Pause",
    "Refuse",
    "Repeat",
    "Send",
    "Simple",
    "Slow",
    "Step",
    "accept",
    "checked",
    "close",
    "drop",
    "echo",
    "freeze",
    "hang",
    "pause",
    "receive",
    "refuse",
    "repeat",
    "send",
    "slow",
    "unrolled",
]


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer a handshake with 101."""

    subprotocol: str | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse a handshake."""

    status: int | None
    retry_after: float | None
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Simple(Enum):
    """Steps without arguments."""

    HANG = auto()
    DROP = auto()
    FREEZE = auto()
    RECEIVE = auto()
    ECHO = auto()


@dataclass(frozen=True, slots=True)
class Send:
    """Send messages that arrive together."""

    messages: tuple[str | bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Close with a closing handshake."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a time, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Slow:
    """Delay everything by a latency, in seconds."""

    latency: float


@dataclass(frozen=True, slots=True)
class Repeat:
    """Play steps repeatedly."""

    steps: tuple[Step, ...]


Step: TypeAlias = Accept | Refuse | Simple | Send | Close | Pause | Slow | Repeat | Handler
"""One step of a script: made by the functions of this module, or a handler."""

MADE_STEPS = (Accept, Refuse, Simple, Send, Close, Pause, Slow, Repeat)


def accept(subprotocol: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Step:
    """Accept the next handshake; messages of a `send` right after it come with the answer."""
    return Accept(subprotocol, headers)


def refuse(
    status: int | None = None,
    *,
    retry_after: float | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    body: str | bytes = b"",
) -> Step:
    """Wait for the next handshake and refuse it.

    Args:
        status: The HTTP status; None refuses the TCP connection.
        retry_after: Seconds for the Retry-After header.
        headers: Headers of the answer.
        body: Its body; text and JSON are shown in the error of the connection.
    """
    content = body.encode() if isinstance(body, str) else body
    return Refuse(status, retry_after, headers, content)


def hang() -> Step:
    """Wait for the next handshake and never answer it."""
    return Simple.HANG


def send(*messages: Any) -> Step:
    """Send messages that arrive together: `str`, bytes, or data that becomes JSON."""
    return Send(tuple(encode(message) for message in messages))


def close(code: int = 1000, reason: str = "") -> Step:
    """Close the connection with a closing handshake."""
    return Close(code, reason)


def drop(code: int = 1006) -> Step:
    """Break the connection; with another code than 1006, close it with a close frame."""
    return Simple.DROP if code == 1006 else Close(code, "")


def freeze() -> Step:
    """Stop answering, like a machine whose cable was pulled."""
    return Simple.FREEZE


def pause(seconds: float) -> Step:
    """Do nothing for this many seconds."""
    return Pause(seconds)


def receive() -> Step:
    """Wait for a message from the client."""
    return Simple.RECEIVE


def echo() -> Step:
    """Send back every message that arrives on this connection from now on."""
    return Simple.ECHO


def slow(latency: float = 1.0) -> Step:
    """Delay everything by this many seconds from now on, in each direction; 0 ends it."""
    return Slow(latency)


def repeat(*steps: Step) -> Step:
    """Play these steps repeatedly, without end."""
    return Repeat(checked(steps))


def checked(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps.

    Raises:
        TypeError: If one is neither a step nor an async function.
    """
    for step in steps:
        is_async = inspect.iscoroutinefunction(step) or inspect.iscoroutinefunction(
            getattr(step, "__call__", None)  # noqa: B004 - an object with an async `__call__`
        )
        if not (is_async or isinstance(step, MADE_STEPS)):
            raise TypeError(
                f"a FakeServer takes steps, such as accept(), and async functions; {step!r} is "
                "neither"
            )
    return steps


def unrolled(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield the steps, those of `repeat` without end."""
    for step in steps:
        if isinstance(step, Repeat):
            while True:
                yield from unrolled(step.steps)
        else:
            yield step
