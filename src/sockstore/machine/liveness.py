"""Check that the peer is still there: pings, heartbeats, and a loop that was blocked.

`Liveness` and `check` are for the pings of RFC 6455, `Pulse` and `check_pulse` for the heartbeat of
the application.

Any inbound byte proves life, not only a pong (LV1): a pong may queue behind a long download. The
driver counts reads, so a peer that answers within one tick of the clock is believed too.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sockstore.base.frozen import frozen
from sockstore.machine.events import DeadlineReached

__all__ = [
    "Beat",
    "Checked",
    "Liveness",
    "Pulse",
    "beat_at_once",
    "check",
    "check_pulse",
    "next_beat",
    "next_check",
    "probe",
    "started",
    "started_pulse",
    "tolerance",
]

BLOCKED_SHARE = 0.5
"""A check that comes later than this share of the ping timeout finds a loop that was blocked."""

SHORTEST_BLOCK = 0.25
"""Seconds; a shorter delay is ordinary scheduling, however short the ping timeout is."""


@frozen
class Liveness:
    """The signs of life of the peer.

    Args:
        ping_interval: Seconds between pings; None for no pings.
        ping_timeout: Seconds an inbound byte may take after a ping.
        idle_timeout: Seconds without a data message that end the connection; None for never.
        next_ping_at: When to ping next.
        unanswered_since: When the oldest ping was sent after which nothing was heard, or None.
        heard: The driver's count of reads when that ping was sent.
        pings: Pings sent so far; the last one's payload.
        probed: Whether the extra probe after a blocked loop is under way.
        quiet_since: When the last data message came, or the connection opened.
    """

    ping_interval: float | None
    ping_timeout: float
    idle_timeout: float | None
    next_ping_at: float | None = None
    unanswered_since: float | None = None
    heard: int = 0
    pings: int = 0
    probed: bool = False
    quiet_since: float = 0.0

    @property
    def payload(self) -> bytes:
        """The last ping's payload: its number."""
        return self.pings.to_bytes(4, "big")


@frozen
class Checked:
    """The result of `check`.

    Args:
        liveness: The new state.
        ping: Whether to send a ping with the payload of `liveness`.
        lost: Why the connection is given up, or None.
        blocked_for: Seconds this program blocked its own loop, or None.
    """

    liveness: Liveness
    ping: bool = False
    lost: str | None = None
    blocked_for: float | None = None


def started(
    now: float,
    *,
    ping_interval: float | None,
    ping_timeout: float,
    idle_timeout: float | None,
) -> Liveness:
    """Return the state when a connection opens."""
    return Liveness(
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        idle_timeout=idle_timeout,
        next_ping_at=None if ping_interval is None else now + ping_interval,
        quiet_since=now,
    )


def next_check(liveness: Liveness) -> float:
    """Return when to check again; infinite for never."""
    soonest = math.inf if liveness.next_ping_at is None else liveness.next_ping_at
    if liveness.unanswered_since is not None:
        soonest = min(soonest, _answer_due(liveness))
    if liveness.idle_timeout is not None:
        soonest = min(soonest, liveness.quiet_since + liveness.idle_timeout)
    return soonest


def check(liveness: Liveness, observed: DeadlineReached, now: float) -> Checked:
    """Judge the observations, and return the result."""
    liveness = _credit(liveness, observed, now)
    if _is_idle(liveness, now):
        return Checked(liveness, lost=f"no message for {liveness.idle_timeout:g} s")
    if _is_overdue(liveness, now):
        late = now - _answer_due(liveness)
        if not liveness.probed and late >= tolerance(liveness.ping_timeout):
            probing = replace(probe(liveness, observed.heard, now), probed=True)
            return Checked(probing, ping=True, blocked_for=late)
        return Checked(liveness, lost="no answer to ping")
    if liveness.next_ping_at is not None and now >= liveness.next_ping_at:
        return Checked(_ping(liveness, observed.heard, now), ping=True)
    return Checked(liveness)


def probe(liveness: Liveness, heard: int, now: float) -> Liveness:
    """Return the state after another ping with a full timeout; earlier silence is not counted."""
    return _ping(replace(liveness, unanswered_since=None), heard, now)


def tolerance(timeout: float) -> float:
    """Return how late a check may be, in seconds, before the loop counts as blocked."""
    return max(SHORTEST_BLOCK, timeout * BLOCKED_SHARE)


def _credit(liveness: Liveness, observed: DeadlineReached, now: float) -> Liveness:
    """Take note of every sign of life."""
    if observed.last_message_at is not None and observed.last_message_at > liveness.quiet_since:
        liveness = replace(liveness, quiet_since=observed.last_message_at)
    if observed.reading_paused:
        # This side has paused reading, so silence says nothing about the peer (MS2).
        liveness = replace(liveness, quiet_since=now)
    if observed.reading_paused or observed.heard != liveness.heard:
        liveness = replace(liveness, unanswered_since=None, probed=False)
    return liveness


def _is_idle(liveness: Liveness, now: float) -> bool:
    timeout = liveness.idle_timeout
    return timeout is not None and now >= liveness.quiet_since + timeout


def _is_overdue(liveness: Liveness, now: float) -> bool:
    return liveness.unanswered_since is not None and now >= _answer_due(liveness)


def _answer_due(liveness: Liveness) -> float:
    return (liveness.unanswered_since or 0.0) + liveness.ping_timeout


def _ping(liveness: Liveness, heard: int, now: float) -> Liveness:
    awaited = liveness.unanswered_since
    interval = liveness.ping_interval
    return replace(
        liveness,
        next_ping_at=None if interval is None else now + interval,
        unanswered_since=now if awaited is None else awaited,
        heard=heard if awaited is None else liveness.heard,
        pings=(liveness.pings + 1) % 2**32,
    )


@frozen
class Pulse:
    """The state of the heartbeat.

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
    """The result of `check_pulse`.

    Args:
        pulse: The new state.
        send: Whether to send a heartbeat.
        lost: Why the connection is given up, or None.
    """

    pulse: Pulse
    send: bool = False
    lost: str | None = None


def started_pulse(now: float, *, interval: float, timeout: float | None) -> Pulse:
    """Return the state when a connection opens."""
    return Pulse(interval, timeout, now + interval)


def next_beat(pulse: Pulse) -> float:
    """Return when to check again."""
    if pulse.unanswered_since is None or pulse.timeout is None:
        return pulse.next_at
    return min(pulse.next_at, pulse.unanswered_since + pulse.timeout)


def check_pulse(pulse: Pulse, observed: DeadlineReached, now: float, *, tolerance: float) -> Beat:
    """Judge the observations, and return the result.

    Args:
        pulse: The former state.
        observed: The driver's observations.
        now: Seconds, in the machine's clock.
        tolerance: How late a check may be before the loop counts as blocked, in seconds.
    """
    pulse = _credit_pulse(pulse, observed)
    since, timeout = pulse.unanswered_since, pulse.timeout
    if since is not None and timeout is not None and now >= since + timeout:
        if pulse.probed or now - since - timeout < tolerance:
            return Beat(pulse, lost="no answer to heartbeat")
        return Beat(replace(beat_at_once(pulse, now), probed=True), send=True)
    if now >= pulse.next_at:
        return Beat(_sent(pulse, now), send=True)
    return Beat(pulse)


def beat_at_once(pulse: Pulse, now: float) -> Pulse:
    """Return the state after another heartbeat with a full timeout; earlier silence is ignored."""
    return _sent(replace(pulse, unanswered_since=None), now)


def _credit_pulse(pulse: Pulse, observed: DeadlineReached) -> Pulse:
    since = pulse.unanswered_since
    if since is None:
        return pulse
    heard_at = observed.last_data_at
    if observed.reading_paused or (heard_at is not None and heard_at >= since):
        return replace(pulse, unanswered_since=None, probed=False)
    return pulse


def _sent(pulse: Pulse, now: float) -> Pulse:
    awaited = pulse.unanswered_since
    if awaited is None and pulse.timeout is not None:
        awaited = now
    return replace(pulse, next_at=now + pulse.interval, unanswered_since=awaited)
