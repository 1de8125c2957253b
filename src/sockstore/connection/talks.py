"""Lead the conversations of one connection: subscriptions, requests, and calls by the server."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sockstore.base.errors import RequestFailed, said
from sockstore.base.options import Reconnect
from sockstore.base.outcomes import Outcome
from sockstore.base.tasks import as_exception, is_cancelled
from sockstore.connection.driver import Driver
from sockstore.connection.feed import Feed, Gate, Handlers, add_handler
from sockstore.connection.receipts import Receipt
from sockstore.connection.requests import Requests
from sockstore.connection.snapshots import SnapshotLoader
from sockstore.connection.subscriptions import Subscriptions
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.snapshots import OwedSnapshot
from sockstore.messages.writer import LogWriter
from sockstore.protocols.base import (
    Ask,
    BaseProtocol,
    Called,
    CallFailure,
    Conversation,
    Frame,
    Received,
    WireSubscription,
    how_to_say,
)

if TYPE_CHECKING:
    from sockstore.base.positions import Position
    from sockstore.base.records import MessageKind
    from sockstore.base.sending import SendOptions
    from sockstore.connection.user_side import TalkEffect

__all__ = ["Talks"]

MOST_CALLS = 100
"""Calls of the server that are answered at once; more are refused."""

_NEEDED_IN_SUBSCRIPTIONS: Final = {"request": ("has_requests",), "handle": ("has_calls",)}
"""What a protocol needs for a method of a subscription, beside addresses."""


class Talks:
    """The program's side of a protocol.

    Args:
        protocol: The protocol.
        driver: Sends, and takes events.
        requests: The requests under way.
        encoder: Makes the frame of the user's data.
        log: The log of the connection.

    Attributes:
        subscriptions: All subscriptions.
    """

    def __init__(
        self,
        protocol: BaseProtocol,
        driver: Driver,
        requests: Requests,
        encoder: Callable[[Any], str | bytes],
        log: LogWriter,
    ) -> None:
        self.protocol: Final = protocol
        loader = SnapshotLoader(
            driver.callables.run,
            driver.callables.cancel_obsolete,
            self._tell_of_snapshot,
            driver.machine.settings.connect_timeout,
        )
        self.subscriptions: Final = Subscriptions(
            protocol, driver.dispatch, driver.report, loader, log
        )
        self._encoder = encoder
        self._driver = driver
        self._requests = requests
        # The functions that answer calls, by name; and how many calls are being answered.
        self._handlers: Handlers = {}
        self._calls = 0

    # For subscriptions

    def refuse_in_opening(self, action: str, instead: str) -> None:
        """Refuse to wait inside ``on_open`` for what comes when it is over.

        Raises:
            RuntimeError: If the calling code is ``on_open``, or a task that it started.
        """
        self._driver.callables.refuse_in_opening(action, instead)

    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any],
        *,
        owner: object,
        gate: Gate,
        convert: Callable[[Any], tuple[Any, MessageKind]] | None,
        read: Callable[[Any], tuple[Any, MessageKind]],
        history: int | None,
        limit: int,
        snapshot: Callable[[], object] | None,
        linger: float,
        token: object,
        since: Position | None,
    ) -> Feed:
        """Return what a new handle reads, as `Connection.subscribe` says."""
        log = LogWriter(history, self._driver.report, key=key, fresh=self.subscriptions.fresh)
        feed = Feed(
            key,
            params,
            owner=owner,
            gate=gate,
            log=log,
            convert=convert,
            read=read,
            limit=limit,
            linger=linger,
            token=token,
            since=since,
        )
        if snapshot is not None:
            policy = self._driver.machine.settings.reconnect or Reconnect.exponential()
            feed.load = snapshot
            feed.owed = OwedSnapshot(limit, lambda n: policy.wait(n, Outcome(n - 1)))
        self.subscriptions.hold(feed)
        return feed

    def _tell_of_snapshot(self, feed: Feed, error: Exception | None) -> None:
        """Report that a snapshot could not be loaded, and show it until one was."""
        if error is not None:
            self._driver.report(error, f"the snapshot of the subscription {feed.key!r}")
            self._driver.observer.snapshot_failed(feed.key, said(error))
        self.subscriptions.show_snapshot(feed, None if error is None else said(error))

    def check_thread(self) -> None:
        """Refuse a change from another thread than the loop's."""
        self._driver.own.check_thread()

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread; at once if there was no loop yet.

        It is not called on a loop that is closed.
        """
        own = self._driver.own
        if own.loop is None:
            fn()
        elif not own.is_closed():
            own.call_soon(fn)

    def check_addressed(self, action: str) -> None:
        """Refuse what cannot be done in a subscription of this protocol.

        Raises:
            RuntimeError: If it cannot.
        """
        protocol = self.protocol
        needed = ("addresses_subscriptions", *_NEEDED_IN_SUBSCRIPTIONS.get(action, ()))
        missing = [flag for flag in needed if not getattr(protocol, flag)]
        if missing:
            name = type(protocol).__name__
            instead = f"or a protocol whose subscriptions are rooms{how_to_say(protocol, *missing)}"
            raise RuntimeError(
                f"subscription.{action}(): the subscriptions of {name} have none; "
                f"use connection.{action}(), {instead}"
            )

    def check_has(self, what: str, flag: str) -> None:
        """Refuse what this protocol does not have.

        Raises:
            RuntimeError: If it does not.
        """
        if not getattr(self.protocol, flag):
            name = type(self.protocol).__name__
            raise RuntimeError(
                f"subscription.{what} cannot be used with {name}, which has none; use protocol="
                f"Centrifuge(), or another one that has it{how_to_say(self.protocol, flag)}"
            )

    @property
    def takes_ids(self) -> bool:
        """Whether the program may give a message an id, by which the server stores it once."""
        return self._driver.machine.repeats

    def send(
        self,
        data: Any,
        holder: object,
        subscription: WireSubscription,
        options: SendOptions | None,
    ) -> Receipt:
        """Send a message to what is subscribed to, or queue it."""
        data = self._encoder(data)
        self._ask_for(subscription)
        return self._driver.sender.send(data, holder, options, subscription)

    async def asend(
        self, data: Any, holder: object, subscription: WireSubscription, options: SendOptions
    ) -> Receipt:
        """Send a message to what is subscribed to; wait while there is no room for it."""
        data = self._encoder(data)
        self._ask_for(subscription)
        return await self._driver.sender.asend(data, holder, options, subscription)

    async def history(
        self,
        limit: int,
        before: int | None,
        holder: object,
        subscription: WireSubscription,
        seconds: float | None,
    ) -> list[Received]:
        """Return older messages of what is subscribed to."""
        self._ask_for(subscription)

        def say(talk: Conversation, name: object) -> Iterable[Frame]:
            return talk.history(subscription, limit, before, name)

        answer: list[Received] = await self._requests.ask_by(
            say, holder, subscription, seconds=seconds
        )
        return answer

    async def request(
        self,
        data: Any,
        holder: object,
        subscription: WireSubscription,
        *,
        seconds: float | None,
        is_idempotent: bool,
    ) -> Any:
        """Send a request to what is subscribed to, and return its answer."""
        self._ask_for(subscription)
        return await self._requests.ask(
            data, holder, subscription, seconds=seconds, is_idempotent=is_idempotent
        )

    def _ask_for(self, subscription: WireSubscription) -> None:
        """Ask the server before the turn is over: what is said in a subscription comes after it."""
        if self._driver.machine.will_ask_for(subscription):
            self._driver.end_turn()

    def handle(self, name: str, fn: Callable[..., object]) -> Callable[[], None]:
        """Answer the server's calls of this name; return how to stop."""
        return add_handler(self._handlers, name, fn)

    def carry_out(self, effect: TalkEffect) -> None:
        """Carry out an order of the protocol."""
        match effect:
            case order.DeliverGapTo(subscription=wire, gap=gap, transport=number):
                if number in {None, self._driver.machine.live_transport}:
                    self.subscriptions.tell_gap(wire, gap)
                else:
                    self._driver.machine.not_delivered((effect,))
            case order.ShowSubscription(subscription=wire, state=state, answer=answer):
                if self._driver.machine.still_holds(effect):
                    self.subscriptions.show(wire, state, answer, effect.missed)
            case order.ShowMembers(subscription=wire, members=members):
                self.subscriptions.show_members(wire, members)
            case order.ForgetSubscription(subscription=wire):
                self.subscriptions.forget(wire)
            case order.AnswerRequest(request=number, data=data, error=error):
                self._requests.answered(number, data, error)
            case order.TakeCall(transport=number, called=called):
                self._take(number, called)
            case order.AskProgram(transport=number, question=question):
                self._ask(number, question)

    # Calls

    def _take(self, transport: int, called: Called) -> None:
        if called.subscription is None:
            fn = self._handlers.get(called.name)
        else:
            fn = self.subscriptions.handler(called.subscription, called.name)
        if fn is None:
            if called.call is None:
                message = Received(called.message, called.subscription)
                self._driver.link(transport).take(message)
            else:
                self._reply(transport, called, failure="unknown")
            return
        args, kwargs = _arguments(called.data)
        if not _fits(fn, args, kwargs):
            self._reply(transport, called, failure="arguments")
        elif self._calls >= MOST_CALLS:
            self._reply(transport, called, failure="busy")
        else:
            self._call(transport, called, partial(fn, *args, **kwargs))

    def _call(self, transport: int, called: Called, call: Callable[[], object]) -> None:
        try:
            result = call()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it may raise anything
            self._failed(transport, called, error)
            return
        if not inspect.isawaitable(result):
            self._reply(transport, called, result)
            return
        self._calls += 1
        machine = self._driver.machine
        self._driver.callables.run(
            self._await(transport, called, result),
            lambda: machine.live_transport == transport,
            result,
        )

    async def _await(self, transport: int, called: Called, result: Awaitable[object]) -> None:
        try:
            answer = await result
        except BaseException as error:
            if is_cancelled(error):
                raise  # its connection has gone
            self._failed(transport, called, error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
        else:
            self._reply(transport, called, answer)
        finally:
            self._calls -= 1

    def _failed(self, transport: int, called: Called, error: BaseException) -> None:
        if isinstance(error, RequestFailed):
            self._reply(transport, called, failure=error)
            return
        self._driver.report(as_exception(error), f"the handler of {called.name!r}")
        self._reply(transport, called, failure="raised")

    def _reply(
        self,
        transport: int,
        called: Called,
        result: object = None,
        failure: CallFailure | None = None,
    ) -> None:
        if called.call is not None:
            self._driver.dispatch(fact.CallAnswered(transport, called.call, result, failure))

    # Questions

    def _ask(self, transport: int, question: Ask) -> None:
        machine = self._driver.machine
        self._driver.callables.run(
            self._answer(transport, question), lambda: machine.live_transport == transport
        )

    async def _answer(self, transport: int, question: Ask) -> None:
        try:
            subscription = question.subscription
            parameters = {} if subscription is not None else self.protocol.parameters()
            value = subscription.token if subscription is not None else parameters[question.what]
            answer = value(question) if callable(value) else value
            answer = await answer if inspect.isawaitable(answer) else answer
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled(error):
                raise  # its connection has gone
            of = "" if question.subscription is None else f" of {question.subscription.key!r}"
            name = f"the callable for {question.what!r}{of}"
            self._driver.report(as_exception(error), name)
            why = f"{name} raised {said(error)}"
            self._driver.dispatch(fact.ProgramAnswered(transport, question, failure=why))
        else:
            self._driver.dispatch(fact.ProgramAnswered(transport, question, answer))


def _arguments(data: object) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Return the arguments that a call has: by position, by name, one, or none."""
    match data:
        case None:
            return (), {}
        case list():
            return tuple(data), {}
        case dict():
            return (), data
        case _:
            return (data,), {}


def _fits(fn: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(fn).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:
        return True  # a function in C has no signature
    return True
