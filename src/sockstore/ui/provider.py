"""Share code between the providers of all kits, and find the connection of a component."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from typing import Protocol, TypeVar

from sockstore.base.errors import ProviderNotFound
from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.scope.provider import WebSocketProvider, use_websocket

__all__ = ["ProvidesConnection", "find_source", "shows_options"]

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def shows_options(constructor: Constructor) -> Constructor:
    """Let `help` and the documentation show the options that a kit's provider passes on.

    Args:
        constructor: An ``__init__`` that takes what that of `WebSocketProvider` takes.
    """
    constructor.__dict__["__signature__"] = signature(WebSocketProvider.__init__)
    return constructor


class ProvidesConnection:
    """The part of a kit's provider that is the same in every kit."""

    _provider: WebSocketProvider
    """The provider of the connection; the constructor makes it."""

    @property
    def connection(self) -> Connection:
        """The connection; if it is shared, that of all holders once this one is mounted."""
        return self._provider.connection

    @property
    def url(self) -> PerAttempt[str]:
        """Where it connects to; setting it keeps stores and subscribers."""
        return self._provider.url

    @url.setter
    def url(self, url: PerAttempt[str]) -> None:
        self._provider.url = url


class Named(Protocol):
    """A provider that components are placed in."""

    @property
    def name(self) -> str | None:
        """The name by which components find it."""


P = TypeVar("P", bound=Named)


def find_source(name: str, around: Iterable[P]) -> P | Connection:
    """Return the provider of that name around a component, or the connection around the code.

    Args:
        name: The name of the provider.
        around: The providers that the component stands in, the nearest first.

    Raises:
        ProviderNotFound: If there is none.
    """
    providers = list(around)
    for provider in providers:
        if provider.name == name:
            return provider
    try:
        return use_websocket(name)
    except ProviderNotFound as error:
        names = dict.fromkeys((*(str(provider.name) for provider in providers), *error.in_scope))
        why = "place it inside `with WebSocketProvider(...)` of that name, or give it one"
        raise ProviderNotFound(name, tuple(names), why) from None
