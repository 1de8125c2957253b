"""The driver: carries out what the machine decides.

It is the only place with timers and tasks of a connection. The loop refers to the driver only, and
the driver holds its connection weakly: a connection that nobody holds any more can be noticed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, assert_never
from weakref import ReferenceType

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import Attempt, Hint, SocketInfo
from sockstore.base.tasks import start_task
from sockstore.connection.inspection.observer import Observer
from sockstore.connection.owner import Owner
from sockstore.connection.platform import unwatch_sleep, watch_sleep
from sockstore.connection.receipts import Receipt
from sockstore.connection.sender import Sender
from sockstore.connection.threads import FOREIGN_THREAD
from sockstore.connection.user_tasks import Callables, as_attempt_error, forget_variables
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import Event
from sockstore.machine.machine import Machine
from sockstore.machine.session_frames import FrameError, Published, Said, read
from sockstore.transports import unwatch_platform, watch_platform
from sockstore.transports.base import Deliver, Transport

__all__ = ["Driver"]

logger = logging.getLogger("sockstore.connection")


class Driver:
    """Carry out what a machine decides, on one event loop.

    Args:
        machine: Decides.
        owner: A weak reference to the connection.
        where: Where the connection was created, for warnings.
    """

    def __init__(self, machine: Machine, owner: ReferenceType[Any], where: str) -> None:
        self.machine = machine
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._owner: Callable[[], Owner | None] = owner
        self._where = where
        self._links: dict[int, _Link] = {}
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._callables = Callables(machine, self.dispatch, self._opening_over, self._callable_done)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for: float | None = None
        self._rest_waiters: list[asyncio.Future[None]] = []
        self._slice_began_at = 0.0  # set by `begin_slice`
        # Set by `end_slice`; None since an attempt began.
        self._last_message_at: float | None = None
        self._last_word_at: float | None = None
        self._watches = False
        self.observer = Observer(machine, self.report)
        self.sender = Sender(machine, self._transport_of, self.observer)

    # What the connection calls

    def bind(self, action: str) -> None:
        """Belong to the running loop from now on.

        Raises:
            RuntimeError: If no loop runs here, or the connection lives on another one.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.check_thread()
            raise RuntimeError(
                f"{action}() needs a running event loop; call it from a coroutine, or from a "
                "callback of the loop"
            ) from None
        if self.loop is loop:
            return
        if self.loop is not None and self.loop.is_closed():
            self._bury()
        self.check_thread()
        if not self.at_rest:
            raise RuntimeError(f"{action}(): this connection is in use on another event loop")
        self.loop, self._thread = loop, threading.get_ident()
        # A loop on which time is virtual has a clock on its wall, too.
        self.observer.wall_clock = getattr(loop, "wall_clock", time.time)
        owner = self._owner()
        if owner is not None:
            owner.bound()

    def check_thread(self) -> None:
        """Refuse a change from another thread than the loop's (ST12)."""
        thread = self._thread
        if thread is not None and thread != threading.get_ident() and not self.at_rest:
            raise RuntimeError(FOREIGN_THREAD)

    @property
    def now(self) -> float:
        """The clock of the machine."""
        if self.loop is not None:
            return self.loop.time()
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    @property
    def at_rest(self) -> bool:
        """Whether no task, timer or socket is left."""
        return self.machine.at_rest and not (
            self._attempts or self._callables.running or self._links
        )

    @property
    def _has_ended(self) -> bool:
        return self.at_rest or self.machine.state.phase not in {"closing", "closed", "failed"}

    @property
    def buffered_amount(self) -> int:
        """Bytes in the outbox and in the live transport's send buffer."""
        transport = self._live_transport()
        return self.machine.outbox.bytes + (0 if transport is None else transport.buffered_amount)

    async def wait_for_rest(self) -> None:
        """Wait until no task, timer or socket is left, or a new life has begun.

        Who cannot wait so long and is cancelled ends everything at once.
        """
        while not self._has_ended:
            waiter = asyncio.get_running_loop().create_future()
            self._rest_waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not self._has_ended:
                    self.abort()
                raise

    def dispatch(self, event: Event, now: float | None = None) -> None:
        """Tell the machine a fact, carry out its orders, and show the outcome."""
        machine = self.machine
        live, before = machine.live_transport, machine.state
        now = self.now if now is None else now
        effects = machine.handle(event, now)
        self.observer.saw(event, before, effects, now)
        for effect in effects:
            self._perform(effect)
        owner = self._owner()
        if owner is not None and live is not None and live != machine.live_transport:
            owner.receiver.stop_slice()
            owner.receiver.drop_beginning(live)
        self._callables.cancel_obsolete()
        self._arm()
        self._watch()
        if owner is not None:
            owner.publish(machine.state)
            owner.buffered_changed()
        self._wake_if_ended()

    @property
    def opening(self) -> int | None:
        """For which transport ``on_open`` called the code that asks; None if it did not."""
        return self._callables.opening

    def send(self, data: str | bytes) -> Receipt:
        """Hand a message over, queue it, or refuse it."""
        self.check_thread()
        receipt = self.sender.send_now(data)
        if receipt is None:
            from_on_open = self.opening is not None
            receipt = self.sender.send(data, self.now, from_on_open=from_on_open)
            if receipt.is_pending and self.loop is not None:
                self._arm()
        if (owner := self._owner()) is not None:
            owner.buffered_changed()
        return receipt

    def abort(self) -> None:
        """End everything at once."""
        self.dispatch(fact.CloseRequested())
        for number in list(self._links):
            self._abort(number)

    def abandon(self) -> None:
        """End everything soon, from whatever thread the garbage collector runs in."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.abort)

    def report(self, error: Exception, where: str) -> None:
        """Tell the event loop's exception handler what a user's callable raised."""
        context = {
            "message": f"{where} raised (connection created at {self._where})",
            "exception": error,
        }
        if self.loop is None:
            logger.error("%s", context["message"], exc_info=error)
        else:
            self.loop.call_exception_handler(context)

    def _bury(self) -> None:
        """The loop was closed under a connection that was in use: nothing of it lives any more."""
        self.machine.handle(fact.CloseRequested(), self.now)
        for number in self._links:
            self.machine.handle(fact.TransportReleased(number), self.now)
        self._links.clear()
        self._attempts.clear()
        self._callables.forget()
        self._watches = False
        self._timer = self._timer_for = None

    # Orders

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - a table
        match effect:
            case order.OpenTransport(transport=number, attempt=attempt):
                self._start_attempt(number, attempt)
            case order.CloseTransport(transport=number, code=code, reason=reason):
                self._links[number].transport.close(code, reason)
            case order.AbortTransport(transport=number):
                self._abort(number)
            case order.SendPing(transport=number, payload=payload):
                self._links[number].transport.ping(payload)
            case order.SendHeartbeat(transport=number):
                self._send_heartbeat(number)
            case order.SendText(transport=number, text=text):
                self._links[number].transport.send(text)
            case order.FlushOutbox():
                self.sender.flush(self.now)
            case order.SettleReceipts():
                self.sender.settle(effect)
            case order.DeliverGap(gap=gap):
                if (owner := self._owner()) is not None:
                    owner.receiver.gap(gap)
            case order.DeliverMissed(transport=number, publications=publications):
                self._deliver(number, publications)
            case order.AwaitMessage(transport=number):
                if (owner := self._owner()) is not None:
                    owner.receiver.before_next_message(
                        partial(self.dispatch, fact.MessageComing(number))
                    )
            case order.RunOnOpen(transport=number, needs_state=needs_state):
                if (owner := self._owner()) is not None:
                    loaded = partial(self.dispatch, fact.SnapshotLoaded(number))
                    run = partial(owner.run_on_open, loaded if needs_state else None)
                    self._callables.run_on_open(number, run)
            case order.AskPredicate(question=question, outcome=outcome):
                if (owner := self._owner()) is not None:
                    self._callables.ask_predicate(question, owner.ask_predicate, outcome)
            case order.Warn(text=text):
                logger.warning("%s (connection created at %s)", text, self._where)
            case _:
                assert_never(effect)

    def _abort(self, number: int) -> None:
        attempt, link = self._attempts.get(number), self._links.get(number)
        if link is not None and link.has_opened:
            link.transport.abort()
        elif attempt is not None:
            attempt.cancel()

    def _send_heartbeat(self, number: int) -> None:
        heartbeat = self.machine.settings.heartbeat
        assert heartbeat is not None  # noqa: S101 - it is what the machine sends
        try:
            data = heartbeat.encode()
        except Exception as error:  # noqa: BLE001 - the user's callable may raise anything
            self.report(error, "the heartbeat's message")
        else:
            self._links[number].transport.send(data)

    # Time and the platform

    def hint(self, hint: Hint) -> None:
        """The platform says something about the network."""
        self.dispatch(fact.Hinted(hint, self._heard_so_far))

    def _slept(self, seconds: float) -> None:
        self.dispatch(fact.Slept(seconds, self._heard_so_far))

    def _watch(self) -> None:
        is_in_use = not self.machine.at_rest
        if is_in_use == self._watches or self.loop is None:
            return
        self._watches = is_in_use
        (watch_sleep if is_in_use else unwatch_sleep)(self.loop, self._slept)
        (watch_platform if is_in_use else unwatch_platform)(self.hint)

    # The one timer

    def _arm(self) -> None:
        deadline = self.machine.deadline
        if deadline == self._timer_for or self.loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._timer_for = deadline
        if deadline is not None and deadline != float("inf"):
            # Pyodide's loop refuses the past, and `call_at` would read the clock once more.
            self._timer = self.loop.call_later(max(0.0, deadline - self.now), self._time_has_come)

    def _time_has_come(self) -> None:
        deadline, self._timer, self._timer_for = self._timer_for, None, None
        transport = self._live_transport()
        event = fact.DeadlineReached(
            self._heard_so_far,
            transport is not None and transport.reading_paused,
            self._last_message_at,
            self._last_word_at,
        )
        # The loop may be early by its clock's resolution.
        self.dispatch(event, max(self.now, deadline or 0.0))

    # Attempts

    def _start_attempt(self, number: int, attempt: Attempt) -> None:
        owner = self._owner()
        if owner is None or self.loop is None:
            return
        self._last_message_at = self._last_word_at = None
        link = self._links[number] = _Link(self, number)
        connecting = _connect(owner, attempt, link)
        task = start_task(connecting, name=f"sockstore: attempt {attempt.number}")
        self._attempts[number] = task
        task.add_done_callback(lambda done: self._attempt_done(number, link, done))

    def _attempt_done(self, number: int, link: _Link, task: asyncio.Task[None]) -> None:
        del self._attempts[number]
        if not self._attempts:
            self._attempts = {}  # for one that had entries keeps their room
        if link.has_opened:
            self._wake_if_ended()
            return
        del self._links[number]
        error = HandshakeFailed("the server", "the attempt was cancelled")
        failure = error if task.cancelled() else task.exception()
        forget_variables(failure)
        self.dispatch(fact.AttemptFailed(number, as_attempt_error(failure or error)))

    def opened(self, event: fact.TransportOpened) -> None:
        """A transport's handshake succeeded."""
        if (owner := self._owner()) is not None and self.machine.settings.has_on_open:
            owner.receiver.keep_beginning(event.transport)
        self.dispatch(event)

    def _opening_over(self, number: int) -> None:
        if (owner := self._owner()) is not None:
            owner.receiver.drop_beginning(number)

    def _callable_done(self) -> None:
        forget_variables(self.machine.state.exception)
        self._wake_if_ended()

    # Observations

    def _transport_of(self, number: int) -> Transport:
        return self._links[number].transport

    def _live_transport(self) -> Transport | None:
        number = self.machine.live_transport
        return None if number is None else self._transport_of(number)

    @property
    def _heard_so_far(self) -> int:
        transport = self._live_transport()
        return 0 if transport is None else transport.heard

    def begin_slice(self, number: int) -> Deliver | None:
        """Return what takes the messages of this transport, if they count."""
        owner = self._owner()
        if owner is None or self.machine.live_transport != number:
            return None
        self._slice_began_at = self.now
        deliver = owner.receiver.begin_slice()
        return deliver if self.machine.session is None else _SessionSlice(self, number)

    def end_slice(self) -> None:
        """A slice is over; what it brought, not that there was one, is a sign of life."""
        if (owner := self._owner()) is not None:
            if owner.receiver.has_delivered:
                self._last_message_at = self._slice_began_at
            if owner.receiver.has_heard_a_word:
                self._last_word_at = self._slice_began_at
            owner.receiver.end_slice()
            owner.buffered_changed()

    def hear(self, number: int, frame: str | bytes) -> bool:
        """Take what the server of a session says; return whether the slice should end now."""
        try:
            is_over = False
            for said in read(frame):
                is_over = self._heard(number, said) or is_over
        except FrameError as error:
            self.dispatch(fact.SessionBroken(number, str(error)))
            return True
        return is_over

    def _heard(self, number: int, said: Said) -> bool:
        session, owner = self.machine.session, self._owner()
        if session is None or owner is None or self.machine.live_transport != number:
            return True
        if isinstance(said, Published) and (is_news := session.accept(said)) is not None:
            return is_news and owner.receiver.publish(said, session.epoch)
        self.dispatch(fact.SessionHeard(number, said))
        return self.machine.live_transport != number

    def _deliver(self, number: int, publications: Sequence[Published]) -> None:
        if (owner := self._owner()) is not None:
            owner.receiver.expect(len(publications))
        for publication in publications:
            if self._heard(number, publication) and self.machine.live_transport != number:
                return  # the position is that of the last one that was delivered

    def released(self, number: int) -> None:
        """Nothing is left of this transport."""
        del self._links[number]
        self.dispatch(fact.TransportReleased(number))

    def _wake_if_ended(self) -> None:
        if self._rest_waiters and self._has_ended:
            waiters, self._rest_waiters = self._rest_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


class _Link:
    """What one transport tells its driver, stamped with the transport's number."""

    __slots__ = ("_driver", "_number", "has_opened", "token", "transport")

    transport: Transport

    def __init__(self, driver: Driver, number: int) -> None:
        self._driver = driver
        self._number = number
        self.has_opened = False
        self.token: str | None = None

    def opened(self, socket: SocketInfo) -> None:
        self.has_opened = True
        self._driver.opened(fact.TransportOpened(self._number, socket, self.token))

    def begin_slice(self) -> Deliver | None:
        return self._driver.begin_slice(self._number)

    def end_slice(self) -> None:
        self._driver.end_slice()

    def pong_received(self, payload: bytes) -> None:
        self._driver.dispatch(fact.PongReceived(self._number, payload))

    def writing_paused(self) -> None:
        self._driver.dispatch(fact.WritingPaused(self._number))

    def writing_resumed(self) -> None:
        self._driver.dispatch(fact.WritingResumed(self._number))

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        self._driver.dispatch(fact.TransportClosed(self._number, close, why, cause))

    def released(self) -> None:
        self._driver.released(self._number)


class _SessionSlice:
    """Takes what the server of a session says, for one slice."""

    __slots__ = ("_driver", "_number")

    def __init__(self, driver: Driver, number: int) -> None:
        self._driver = driver
        self._number = number

    def texts(self, messages: Iterator[str], /) -> bool:
        return any(self._driver.hear(self._number, frame) for frame in messages)

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        return any(self._driver.hear(self._number, frame) for frame in messages)


async def _connect(owner: Owner, attempt: Attempt, link: _Link) -> None:
    """Ask for the target, then do the opening handshake."""
    link.transport = owner.make_transport(link)
    asking = owner.make_target(attempt)
    del owner  # an attempt under way does not keep the connection alive
    target = await asking
    link.token = target.token
    await link.transport.open(target)
