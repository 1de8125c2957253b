"""Explore the machine, and write a diagram of its phases and events into the design.

A machine handles every kind of event in every phase that can be reached. Run it to rewrite the
diagram; `tests/unit/machine/test_phases.py` fails if the one in the design is outdated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed, StopReconnecting
from sockstore.base.options import Reconnect
from sockstore.base.state import SocketInfo
from sockstore.machine import Machine, Settings, phases
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.protocols import Centrifuge, Failed, Opened

DESIGN = Path(__file__).parents[1] / "docs/explanation/design.md"
BEGIN, END = "<!-- phases: written by tools/phases.py -->", "<!-- end of phases -->"

URL = "ws://localhost/"
RETRIES = Reconnect.linear(attempts=2, after_goodbye=False)
ROOMS = Centrifuge()
SITUATIONS = [
    {"reconnect": RETRIES},
    {"reconnect": None},
    {"reconnect": RETRIES, "has_predicate": True},
    {"reconnect": RETRIES, "has_on_open": True},
    {"reconnect": RETRIES, "protocol": ROOMS, "can_refresh": True},
    {"reconnect": RETRIES, "protocol": ROOMS, "has_on_open": True, "can_refresh": True},
    {"reconnect": RETRIES, "protocol": ROOMS, "has_on_open": True, "has_predicate": True},
]

Transitions = dict[tuple[str, str], set[str]]


def explore() -> tuple[Transitions, dict[str, str]]:
    """Return the events that lead from one phase to another, and how each phase is shown."""
    transitions: Transitions = defaultdict(set)
    shown_as = {"Idle": "idle"}
    for settings in SITUATIONS:
        reached: set[object] = set()
        histories: list[tuple[Event, ...]] = [()]
        while histories:
            history = histories.pop(0)
            before = _played(settings, history)
            for event in _events(before):
                after = _played(settings, (*history, event))
                names = type(before.phase).__name__, type(after.phase).__name__
                if names[0] != names[1] or _transport(before) != _transport(after):
                    transitions[names].add(type(event).__name__)
                    shown_as[names[1]] = after.state.phase
                liveness = getattr(after.phase, "liveness", None)
                is_pinged = liveness is not None and liveness.unanswered_since is not None
                key = after.state.phase, names[1], after.state.attempt, is_pinged
                if key not in reached:
                    reached.add(key)
                    histories.append((*history, event))
    return transitions, shown_as


def _played(settings: dict[str, Any], history: tuple[Event, ...]) -> Machine:
    """Return a machine that has handled these events; a deadline event comes at its deadline."""
    machine, now = Machine(Settings(**settings), URL), 0.0
    for event in history:
        if isinstance(event, fact.DeadlineReached) and math.isfinite(machine.deadline):
            now = max(now, machine.deadline)
        machine.handle(event, now)
    return machine


def _transport(machine: Machine) -> int:
    return getattr(machine.phase, "transport", 0)


def _events(machine: Machine) -> Iterator[Event]:
    """Yield every kind of event, for the current transport and predicate call."""
    transport, question = _transport(machine), getattr(machine.phase, "question", 0)
    failed = HandshakeFailed("the server", "refused")
    yield from (fact.ConnectRequested(URL), fact.ConnectRequested("ws://other/"))
    yield from (fact.ReconnectRequested(URL), fact.CloseRequested())
    yield fact.TransportOpened(transport, SocketInfo(URL))
    for exception in (failed, StopReconnecting("enough"), HandshakeFailed("", "", status=401)):
        yield fact.AttemptFailed(transport, exception)
        yield fact.OnOpenFinished(transport, exception)
    yield fact.OnOpenFinished(transport)
    if machine.settings.protocol is not None:
        for output in (Opened(), Failed("busy"), Failed("no such user", "fatal")):
            yield fact.ConversationSaid(transport, (output,))
        yield fact.ConversationRaised(transport, LookupError("a bug"))
    for code in (1000, 1006, 1002, 4401):
        yield fact.TransportClosed(transport, Close(code, clean=True), "it ended")
    yield from (fact.TransportReleased(transport), fact.PongReceived(transport, b""))
    yield from (fact.WritingPaused(transport), fact.WritingResumed(transport))
    yield fact.PredicateAnswered(question, allowed=True)
    yield fact.PredicateAnswered(question, allowed=False)
    yield from (fact.DeadlineReached(), fact.Slept(60.0))
    yield from (fact.Hinted("online"), fact.Hinted("offline"))


def diagram() -> str:
    """Return the diagram as text: the phases in the order of their definition."""
    transitions, shown_as = explore()
    order = [name for name, each in vars(phases).items() if each in phases.AnyPhase.__args__]
    width = max(map(len, order))
    lines = []
    for before in order:
        lines.append(f"{shown_as[before]} ({before})")
        lines += [
            f"  -> {after:<{width}}  {', '.join(sorted(transitions[before, after]))}"
            for after in order
            if (before, after) in transitions
        ]
    return "\n".join(lines)


def written(text: str) -> str:
    """Return the page with the current diagram."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n```text\n{diagram()}\n```\n{END}{after}"


if __name__ == "__main__":
    DESIGN.write_text(written(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
