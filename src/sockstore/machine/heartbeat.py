"""The heartbeat of the application: when to send it, and whether it was answered (LV2).

Any message proves that the server's program lives, not only the reply, which may queue behind a
long answer; a ping or a pong does not, for a WebSocket layer sends them by itself. A loop that this
program blocked is not taken for a dead server (LV4).
"""

from __future__ import annotations

from dataclasses import replace

from sockstore.frozen import frozen
from sockstore.machine.events import DeadlineReached

__all__ = ["Beat", "Pulse", "beat_at_once", "check_pulse", "next_beat", "started_pulse"]


@frozen
class Pulse:
    """What is known of the heartbeat.

    Args:
        interval: Seconds between heartbeats.
        timeout: Seconds a message may take after one; None if no reply is expected.
        next_at: When to send the next one.
        unanswered_since: When the oldest one was sent after which nothing came, or None.
        probed: Whether one more was sent because the loop was blocked.
    """

    interval: float
    timeout: float | None
    next_at: float
    unanswered_since: float | None = None
    probed: bool = False


@frozen
class Beat:
    """What a check found.

    Args:
        pulse: What is known now.
        send: Whether to send a heartbeat.
        lost: Why the connection is given up, or None.
    """

    pulse: Pulse
    send: bool = False
    lost: str | None = None


def started_pulse(now: float, *, interval: float, timeout: float | None) -> Pulse:
    """Return what is known when a connection opens."""
    return Pulse(interval, timeout, now + interval)


def next_beat(pulse: Pulse) -> float:
    """Return when to check again."""
    if pulse.unanswered_since is None or pulse.timeout is None:
        return pulse.next_at
    return min(pulse.next_at, pulse.unanswered_since + pulse.timeout)


def check_pulse(pulse: Pulse, observed: DeadlineReached, now: float, *, tolerance: float) -> Beat:
    """Judge what was observed, and say what to do.

    Args:
        pulse: What was known.
        observed: What the driver saw.
        now: Seconds, in the machine's clock.
        tolerance: How late a check may be before the loop counts as blocked, in seconds.
    """
    pulse = _credit(pulse, observed)
    since, timeout = pulse.unanswered_since, pulse.timeout
    if since is not None and timeout is not None and now >= since + timeout:
        if pulse.probed or now - since - timeout < tolerance:
            return Beat(pulse, lost="no answer to heartbeat")
        return Beat(replace(beat_at_once(pulse, now), probed=True), send=True)
    if now >= pulse.next_at:
        return Beat(_sent(pulse, now), send=True)
    return Beat(pulse)


def beat_at_once(pulse: Pulse, now: float) -> Pulse:
    """Return what is known after one more heartbeat, which has all its time."""
    return _sent(replace(pulse, unanswered_since=None), now)


def _credit(pulse: Pulse, observed: DeadlineReached) -> Pulse:
    since = pulse.unanswered_since
    if since is None:
        return pulse
    heard_at = observed.last_word_at
    if observed.reading_paused or (heard_at is not None and heard_at >= since):
        return replace(pulse, unanswered_since=None, probed=False)
    return pulse


def _sent(pulse: Pulse, now: float) -> Pulse:
    awaited = pulse.unanswered_since
    if awaited is None and pulse.timeout is not None:
        awaited = now
    return replace(pulse, next_at=now + pulse.interval, unanswered_since=awaited)
