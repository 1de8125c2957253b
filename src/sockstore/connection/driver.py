"""Perform the effects that the machine returns.

Only the driver has timers and tasks of a connection. The event loop refers to the driver and
its links only, and they refer weakly to what users can hold, so a forgotten connection is noticed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import Attempt, Hint
from sockstore.base.tasks import start_task
from sockstore.connection.frame_writer import FrameWriter
from sockstore.connection.inspection.observer import Observer
from sockstore.connection.link import Link
from sockstore.connection.own_loop import OwnLoop
from sockstore.connection.platform import sleepers_of
from sockstore.connection.receipts import Receipt
from sockstore.connection.sender import Sender
from sockstore.connection.user_tasks import Callables, as_attempt_error, forget_variables
from sockstore.machine import Machine
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import Event
from sockstore.transports import unwatch_platform, watch_platform

if TYPE_CHECKING:
    from sockstore.connection.user_side import UserSide

__all__ = ["Driver"]

logger: Final = logging.getLogger("sockstore.connection")


class Driver:
    """Carry out what a machine decides, on one event loop.

    Args:
        machine: Decides what happens.
        user_side: A weak reference to the user's side.
        where: Where the connection was created, for warnings.

    Attributes:
        own: The event loop and the thread that the connection belongs to.
        callables: Runs the user's callables.
        observer: Records what happens.
        writer: Writes frames, and settles receipts.
        sender: Sends what users send.
        shows_buffered: Whether anybody has asked for `buffered_amount`; set by the engine.
    """

    def __init__(
        self, machine: Machine, user_side: Callable[[], UserSide | None], where: str
    ) -> None:
        self.machine = machine
        self.own: Final = OwnLoop(self)
        self._user_side = user_side
        self._where = where
        # The links of transports that are not released, and the tasks of attempts under way, by
        # number: `start_attempt` adds; `link_released` and `_attempt_done` remove.
        self._links: dict[int, Link] = {}
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self.callables: Final = Callables(
            machine, self.dispatch, self._on_open_returned, self._callable_done
        )
        # The timer, and the deadline it was set for: set by `arm`.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = math.inf
        self._rest_waiters: list[asyncio.Future[None]] = []  # callers of `wait_for_rest`
        self._watches_platform = False  # set by `_watch_platform`
        self.shows_buffered = False
        # The loop whose turn's end is awaited; set by `_await_turn`, reset by `end_turn`.
        self._turn_of: asyncio.AbstractEventLoop | None = None
        report = self.report  # one bound method for all
        self.observer: Final = Observer(machine, report)
        self.writer: Final = FrameWriter(machine, self._links, self.observer, report)
        self.sender: Final = Sender(
            machine, self.own, self._links, self.writer, observer=self.observer, keeper=self
        )

    # Called by the connection

    @property
    def at_rest(self) -> bool:
        """Whether no task, timer or socket is left."""
        return self.machine.at_rest and not (self._attempts or self.callables.tasks or self._links)

    @property
    def _wait_is_over(self) -> bool:
        """Whether `wait_for_rest` may return: nothing is left, or it was connected again."""
        return self.at_rest or self.machine.state.phase not in {"closing", "closed", "failed"}

    @property
    def opening(self) -> int | None:
        """The transport whose ``on_open`` runs the calling code; None outside of it."""
        return self.callables.opening

    @property
    def buffered_amount(self) -> int:
        """Bytes in the outbox and in the live transport's send buffer."""
        link = self._live_link()
        waiting = self.machine.outbox.bytes
        return waiting if link is None else waiting + link.transport.buffered_amount

    async def wait_for_rest(self) -> None:
        """Wait until no task, timer or socket is left, or the connection was connected again.

        If the waiting task is cancelled, all transports are aborted.
        """
        while not self._wait_is_over:
            waiter = asyncio.get_running_loop().create_future()
            self._rest_waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not self._wait_is_over:
                    self.abort()
                raise

    def dispatch(self, event: Event, now: float | None = None) -> None:
        """Pass an event to the machine, carry out its effects, and show the new state."""
        now = self.own.now() if now is None else now
        effects = self.machine.handle(event, now)
        self.observer.saw(event, effects, now)
        for effect in effects:
            self._perform(effect)
        if self.sender.in_line:
            self.sender.admit()
        if self.callables.tasks:
            self.callables.cancel_obsolete()
        self.arm()
        is_in_use = not self.machine.at_rest
        if is_in_use is not self._watches_platform:
            self._watch_platform(is_in_use=is_in_use)
        if (user_side := self._user_side()) is not None:
            user_side.show(self.machine.state)
        if self.shows_buffered:
            self.buffered_changed()
        if self._rest_waiters:
            self._wake_rest_waiters()

    def queued(self) -> None:
        """A message waits, or does not any more."""
        if self.own.loop is not None:
            self.arm()
        is_lazy = self.machine.settings.linger is not None
        if is_lazy and (user_side := self._user_side()) is not None:
            user_side.look_at_users_soon()

    def give_up(self, receipt: Receipt, request: object) -> None:
        """Take back a request that still waits; else tell the conversation to forget it."""
        self.sender.withdraw(receipt)
        if self.machine.live_transport is not None:
            self.dispatch(fact.RequestGivenUp(request))

    def buffered_changed(self) -> None:
        """The amount that waits to be sent may have changed."""
        if (user_side := self._user_side()) is not None:
            user_side.show_buffered()

    def abort(self) -> None:
        """End everything at once."""
        self.dispatch(fact.CloseRequested())
        for number in list(self._links):
            self._abort(number)

    def report(self, error: Exception, where: str) -> None:
        """Give an error of a user's callable to the event loop's exception handler."""
        message = f"{where} raised (connection created at {self._where})"
        if self.own.loop is None:
            logger.error("%s", message, exc_info=error)
        else:
            self.own.loop.call_exception_handler({"message": message, "exception": error})

    def discard(self) -> None:
        """Discard tasks, timers and transports: their event loop was closed before them."""
        for link in self._links.values():
            link.retire()
        released: list[Event] = [fact.TransportReleased(number) for number in self._links]
        for event in (fact.CloseRequested(), *released):
            for effect in self.machine.handle(event, self.own.now()):
                if isinstance(effect, order.SettleReceipts):
                    self.writer.settle(effect)
        self._links.clear()
        self._attempts.clear()
        self.callables.tasks.clear()
        self._watches_platform = False
        self._timer, self._timer_for = None, math.inf
        if (user_side := self._user_side()) is not None:
            user_side.adopt()  # their thread may have ended with the loop
            user_side.show(self.machine.state)

    # Effects

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - a table
        match effect:
            case order.RecordDecision() | order.RecordState():
                pass  # they are for the observer
            case order.RetireTransport(transport=number):
                if (link := self._links.get(number)) is not None:
                    link.retire()
            case order.CloseTransport(transport=number, code=code, reason=reason):
                self._links[number].transport.close(code, reason)
            case order.AbortTransport(transport=number):
                self._abort(number)
            case order.SendPing(transport=number, payload=payload):
                self._links[number].transport.ping(payload)
            case order.SendHeartbeat(transport=number, heartbeat=heartbeat):
                self.writer.send_heartbeat(number, heartbeat)
            case order.ExpectReplies(transport=number, heartbeat=heartbeat):
                self._links[number].expect(heartbeat)
            case order.SendFrame(transport=number, frame=frame):
                self._links[number].transport.send(frame)
            case order.FlushOutbox():
                self.writer.flush(self.own.now())
            case order.SettleReceipts():
                self.writer.settle(effect)
            case order.Deliver(transport=number, received=received):
                self._links[number].take(received)
            case order.DeliverLeft(transport=number):
                self._links[number].deliver_left()
            case order.AwaitTurn():
                self._await_turn()
            case order.ReportError(error=error, name=name):
                self.report(error, name)
            case order.Warn(text=text):
                logger.warning("%s (connection created at %s)", text, self._where)
            case _:
                if (user_side := self._user_side()) is not None:
                    user_side.carry_out(effect)

    def _abort(self, number: int) -> None:
        attempt, link = self._attempts.get(number), self._links.get(number)
        if link is not None and link.has_opened:
            link.transport.abort()
        elif attempt is not None:
            attempt.cancel()

    def _await_turn(self) -> None:
        loop = self.own.loop
        if loop is not None and loop is not self._turn_of and not loop.is_closed():
            self._turn_of = loop
            loop.call_soon(self.end_turn)

    def end_turn(self) -> None:
        """Say what the program asked for in this turn of the loop."""
        self._turn_of = None
        if (user_side := self._user_side()) is not None:
            user_side.end_turn()
        self.dispatch(fact.TurnEnded())

    # Time and the platform

    def hint(self, hint: Hint) -> None:
        """Pass on what the platform says about the network: offline, online or resume."""
        self.dispatch(fact.Hinted(hint, self._heard_so_far))

    def _slept(self, seconds: float) -> None:
        self.dispatch(fact.Slept(seconds, self._heard_so_far))

    def _watch_platform(self, *, is_in_use: bool) -> None:
        """Start or stop watching the platform: it is watched while the connection is in use."""
        if self.own.loop is None:
            return
        self._watches_platform = is_in_use
        sleepers = sleepers_of(self.own.loop)
        if is_in_use:
            sleepers.add(self._slept)
            watch_platform(self.hint)
        else:
            sleepers.discard(self._slept)
            unwatch_platform(self.hint)

    # The one timer

    def arm(self) -> None:
        """Set the timer for the machine's deadline."""
        deadline = self.machine.deadline
        if deadline == self._timer_for or self.own.loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._timer_for = deadline
        if deadline != math.inf:
            # Pyodide's loop refuses the past, and `call_at` would read the clock once more.
            self._timer = self.own.loop.call_later(
                max(0.0, deadline - self.own.now()), self._time_has_come
            )

    def _time_has_come(self) -> None:
        deadline, self._timer, self._timer_for = self._timer_for, None, math.inf
        now = max(self.own.now(), deadline)  # the loop may be early by its clock's resolution
        link = self._live_link()
        event = fact.DeadlineReached() if link is None else link.at_deadline(now)
        self.dispatch(event, now)

    # Attempts

    def start_attempt(
        self, number: int, attempt: Attempt, dial: Callable[[Link], Coroutine[Any, Any, None]]
    ) -> None:
        """Open a transport in a task of its own."""
        if self.own.loop is None:
            return
        link = self._links[number] = Link(number, self, self.own.loop.time)
        task = start_task(dial(link), name=f"sockstore: attempt {attempt.number}")
        self._attempts[number] = task
        task.add_done_callback(lambda done: self._attempt_done(number, link, done))

    def _attempt_done(self, number: int, link: Link, task: asyncio.Task[None]) -> None:
        del self._attempts[number]
        if not self._attempts:
            self._attempts = {}  # a dict that was emptied keeps its memory
        if link.has_opened:
            self._wake_rest_waiters()
            return
        del self._links[number]
        error = HandshakeFailed("the server", "the attempt was cancelled")
        failure = error if task.cancelled() else task.exception()
        forget_variables(failure)
        self.dispatch(fact.AttemptFailed(number, as_attempt_error(failure or error)))

    def link_opened(self, link: Link, event: fact.TransportOpened) -> None:
        """A transport's handshake succeeded."""
        machine = self.machine
        if (user_side := self._user_side()) is not None:
            link.attend(user_side.receiver, machine)
        self.dispatch(event)
        if machine.live_transport != link.number:
            link.retire()

    def link_released(self, link: Link) -> None:
        """Forget a transport that is released, and tell the machine."""
        del self._links[link.number]
        link.retire()
        self.dispatch(fact.TransportReleased(link.number))

    def link(self, number: int) -> Link:
        """Return the link of a transport that is not released."""
        return self._links[number]

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call a function in the next turn of the loop, if there is one."""
        if self.own.loop is not None and not self.own.loop.is_closed():
            self.own.loop.call_soon(fn)

    def _on_open_returned(self, number: int) -> None:
        """A connection that the server closed meanwhile was never open."""
        if (link := self._links.get(number)) is not None:
            link.tell_end()

    def _callable_done(self) -> None:
        forget_variables(self.machine.state.exception)
        self._wake_rest_waiters()

    def _live_link(self) -> Link | None:
        number = self.machine.live_transport
        return None if number is None else self._links[number]

    @property
    def _heard_so_far(self) -> int:
        """Reads of the live transport so far, as in `DeadlineReached.heard`."""
        link = self._live_link()
        return 0 if link is None else link.transport.heard

    def _wake_rest_waiters(self) -> None:
        if self._wait_is_over:
            waiters, self._rest_waiters = self._rest_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
