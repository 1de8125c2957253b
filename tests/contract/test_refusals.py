"""The contract tests are tests: what breaks a promise is refused by them."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from test_transports import MemoryHarness

from sockstore import Close, writable
from sockstore.testing import check_store, check_transport
from sockstore.transports.memory import Accepted, MemoryTransport, Ping, Pong

# Stores


class Broken:
    """A store with one bug."""

    def __init__(self, bug: str) -> None:
        self.bug = bug
        self.value = 0
        self.runs: list = []

    def subscribe(self, run):
        if self.bug == "is silent at first":
            self.runs.append(run)
            return lambda: self.runs.remove(run) if run in self.runs else None
        run(self.value)
        if self.bug == "calls twice at first":
            run(self.value)
        if self.bug == "knows a function only once" and run in self.runs:
            return lambda: None
        entry = run if self.bug != "none" else [run]
        self.runs.append(entry)

        def unsubscribe() -> None:
            if self.bug == "keeps calling":
                return
            if self.bug == "removes twice" and not any(it is entry for it in self.runs):
                raise ValueError("it is not there")
            for index, other in enumerate(self.runs):
                if other is entry or (self.bug == "removes an equal one" and other == entry):
                    del self.runs[index]
                    return

        return unsubscribe

    def set(self, value) -> None:
        self.value = value
        told = list(self.runs)
        for entry in told:
            if self.bug == "none" and not any(it is entry for it in self.runs):
                continue
            (entry[0] if self.bug == "none" else entry)(value)


def making(bug: str):
    def make():
        store = Broken(bug)
        return store, store.set

    return make


@pytest.mark.contract("ST2", "ST3", "ST8")
@pytest.mark.parametrize(
    "bug",
    [
        "is silent at first",
        "calls twice at first",
        "knows a function only once",
        "keeps calling",
        "removes twice",
        "removes an equal one",
        "calls who has left",
    ],
)
def test_a_broken_store_is_refused(bug):
    with pytest.raises((AssertionError, ValueError)):
        check_store(making(bug), [1, 2, 3])


def test_the_same_store_without_a_bug_and_our_own_are_accepted():
    check_store(making("none"), [1, 2, 3])

    def make():
        store = writable(0)
        return store, store.set

    check_store(make, [1, 2, 3])


# Transports


class TellsFromInsideACall(MemoryTransport):
    def abort(self) -> None:
        self.end(Close(1006), "at once")


class ForgetsTheRestOfASlice(MemoryTransport):
    def take_slice(self, frames) -> None:
        super().take_slice(frames)
        frames.clear()


class DeliversWhatNobodyWants(MemoryTransport):
    def take_slice(self, frames) -> None:
        listener = self._listener
        if listener.begin_slice() is None:
            for message in frames:
                listener._deliver(message)
            frames.clear()
            return
        listener.end_slice()
        super().take_slice(frames)


class TellsAPongOutsideOfASlice(MemoryTransport):
    def take(self, frame, deliver) -> bool:
        if isinstance(frame, Pong):
            self._loop.call_soon(self._listener.pong_received, frame.payload)
            return False
        return super().take(frame, deliver)


class LeavesPingsUnanswered(MemoryTransport):
    def take(self, frame, deliver) -> bool:
        return not isinstance(frame, Ping) and super().take(frame, deliver)


class DeliversInTheTurnOfTheHandshake(MemoryTransport):
    def read(self, frames) -> None:
        if not isinstance(frames[0], Accepted):
            super().read(frames)
            return
        super().read(deque([frames.popleft()]))
        if frames:
            self.take_slice(frames)


class ForgetsWhatCameWithTheHandshake(MemoryTransport):
    def read(self, frames) -> None:
        super().read(deque([frames.popleft()]) if isinstance(frames[0], Accepted) else frames)


class SendsEverythingAsText(MemoryTransport):
    def send(self, data) -> None:
        super().send(data if isinstance(data, str) else data.decode("latin-1"))


class CountsNoLife(MemoryTransport):
    heard = property(lambda self: 0, lambda self, value: None)


class AnswersNoPing(MemoryTransport):
    def ping(self, payload: bytes) -> None:
        pass


class ClosesWithoutAHandshake(MemoryTransport):
    def close(self, code: int, reason: str) -> None:
        self.abort()


class EndsTwice(MemoryTransport):
    def end(self, close: Close, why: str) -> None:
        if not self._ended:
            self._listener.closed(close, why)
        super().end(close, why)


class NeverReleases(MemoryTransport):
    def _release(self) -> None:
        pass


class EndsWithoutWords(MemoryTransport):
    def end(self, close: Close, why: str) -> None:
        super().end(close, "")


class InventsACloseCode(MemoryTransport):
    def end(self, close: Close, why: str) -> None:
        super().end(Close(1000, clean=True) if close.code == 1006 else close, why)


class TakesAnySize(MemoryTransport):
    def _refuse_large_message(self) -> None:
        pass


class TellsAFailedHandshake(MemoryTransport):
    def refused(self, error) -> None:
        super().refused(error)
        self._listener.closed(Close(1006), "refused")


class SwallowsCancellation(MemoryTransport):
    async def open(self, target) -> None:
        try:
            await super().open(target)
        except asyncio.CancelledError:
            return


class RaisesWhatItLikes(MemoryTransport):
    async def open(self, target) -> None:
        try:
            await super().open(target)
        except Exception as error:
            raise OSError("no luck") from error


BUGS = [bug for bug in globals().values() if isinstance(bug, type) and bug is not MemoryTransport]


@pytest.mark.virtual_clock
@pytest.mark.contract("CN6", "CN12", "CN15", "TK1")
@pytest.mark.parametrize("bug", [bug for bug in BUGS if issubclass(bug, MemoryTransport)])
async def test_a_broken_transport_is_refused(bug):
    harness = MemoryHarness(latency=0.0)
    network = harness.make
    harness.make = lambda listener, options: bug(network, listener, options)
    with pytest.raises((AssertionError, TimeoutError, OSError)):
        await check_transport(harness)
