"""Decide when a lazy connection connects, and when it is idle again: by who uses it (CN20)."""

from __future__ import annotations

import math

from sockstore.machine.effects import Effect
from sockstore.machine.memory import Memory
from sockstore.machine.phases import Connecting, Idle, Joining, Open, Preparing, Waiting

__all__ = ["LASTING", "end_if_unused", "should_begin"]

LASTING = (Connecting, Joining, Preparing, Open, Waiting)
"""The phases that an unused connection leaves."""


def should_begin(memory: Memory, *, has_users: bool) -> bool:
    """Whether it should connect now; only if it is lazy."""
    is_idle = memory.lazy is not None and isinstance(memory.phase, Idle)
    return is_idle and _is_wanted(memory, has_users=has_users)


def end_if_unused(memory: Memory, now: float) -> list[Effect]:
    """Retire the transport if it was not used for so long; called after each event."""
    lazy = memory.lazy
    if lazy is None or not isinstance(memory.phase, LASTING):
        return []
    if _is_wanted(memory, has_users=lazy.has_users):
        lazy.was_used, lazy.until = True, math.inf
    elif lazy.was_used and lazy.until == math.inf:
        lazy.until = now + lazy.linger
    if lazy.until > now:
        return []
    retiring = memory.retire(now)
    memory.phase = Idle()
    return retiring


def _is_wanted(memory: Memory, *, has_users: bool) -> bool:
    """Whether anybody uses the connection, or anything waits for it."""
    sent = memory.sending.sent
    return bool(has_users or memory.sending.outbox or memory.sending.line or memory.book or sent)
