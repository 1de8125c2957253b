"""Lead the conversations of one connection: subscriptions, requests, and calls by the server."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from sockstore.base.checks import require_text
from sockstore.base.errors import RequestFailed
from sockstore.base.plain_calls import name_of
from sockstore.connection.driver import Driver
from sockstore.connection.receiver import Receiver
from sockstore.connection.requests import Requests
from sockstore.connection.subscriptions import Subscriptions
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.protocols.base import Ask, BaseProtocol, Called, CallFailure, Received
from sockstore.stores import Readable

__all__ = ["TalkEffect", "Talks"]

TalkEffect: TypeAlias = (
    order.DeliverGapTo
    | order.ShowSubscription
    | order.AnswerRequest
    | order.TakeCall
    | order.AskProgram
)
"""The orders that only a protocol gives."""

MOST_CALLS = 100
"""Calls of the server that are answered at once; more are refused."""


class Talks:
    """The program's side of a protocol.

    Args:
        protocol: The protocol.
        driver: Sends, and takes events.
        requests: The requests under way.
        stores: The stores that belong to the thread of the loop.
        thread_of: One of them.

    Attributes:
        subscriptions: All subscriptions.
    """

    def __init__(
        self,
        protocol: BaseProtocol,
        driver: Driver,
        requests: Requests,
        stores: set[Readable[Any]],
        thread_of: Readable[Any],
    ) -> None:
        self.protocol = protocol
        self.subscriptions = Subscriptions(
            protocol,
            driver.dispatch,
            driver.report,
            call_soon=driver.own.call_soon,
            stores=stores,
            thread_of=thread_of,
        )
        self._driver = driver
        self._requests = requests
        # The functions that answer calls, by name; and how many calls are being answered.
        self._handlers: dict[str, Callable[..., object]] = {}
        self._calls = 0

    def handle(self, name: str, fn: Callable[..., object]) -> Callable[[], None]:
        """Answer the server's calls of this name; return how to stop."""
        require_text("name", name, "the name of a method or event")
        if not callable(fn):
            raise TypeError(f"handle({name!r}): {fn!r} is not a function")
        if name in self._handlers:
            raise ValueError(f"{name!r} is answered already, by {name_of(self._handlers[name])}")
        self._handlers[name] = fn

        def stop() -> None:
            if self._handlers.get(name) is fn:
                del self._handlers[name]

        return stop

    def carry_out(self, effect: TalkEffect, receiver: Receiver) -> None:
        """Carry out an order of the protocol."""
        match effect:
            case order.DeliverGapTo(subscription=wire, gap=gap):
                self.subscriptions.tell_gap(wire, gap)
            case order.ShowSubscription(subscription=wire, state=state, answer=answer):
                self.subscriptions.show(wire, state, answer)
            case order.AnswerRequest(request=number, data=data, error=error):
                self._requests.answered(number, data, error)
            case order.TakeCall(transport=number, called=called):
                self._take(number, called, receiver)
            case order.AskProgram(transport=number, question=question):
                self._ask(number, question)

    # Calls

    def _take(self, transport: int, called: Called, receiver: Receiver) -> None:
        fn = self._handlers.get(called.name)
        if fn is None:
            if called.call is None:
                receiver.receive(Received(called.message))
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
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._failed(transport, called, error)
            return
        if not inspect.isawaitable(result):
            self._reply(transport, called, result)
            return
        self._calls += 1
        machine = self._driver.machine
        self._driver.callables.run(
            self._await(transport, called, result), lambda: machine.live_transport == transport
        )

    async def _await(self, transport: int, called: Called, result: Awaitable[object]) -> None:
        try:
            answer = await result
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._failed(transport, called, error)
        else:
            self._reply(transport, called, answer)
        finally:
            self._calls -= 1

    def _failed(self, transport: int, called: Called, error: Exception) -> None:
        if isinstance(error, RequestFailed):
            self._reply(transport, called, failure=error)
            return
        self._driver.report(error, f"the handler of {called.name!r}")
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
        value = self.protocol.parameters()[question.what]
        machine = self._driver.machine
        self._driver.callables.run(
            self._answer(transport, question, value), lambda: machine.live_transport == transport
        )

    async def _answer(self, transport: int, question: Ask, value: Any) -> None:
        try:
            answer = value(question) if callable(value) else value
            answer = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._driver.report(error, f"the callable for {question.what!r}")
            why = f"the callable for {question.what!r} raised"
            self._driver.dispatch(fact.LossDeclared(why))
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
