"""A provider passes on every option of the connection, and no other."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

from sockstore import InvalidOption, Opening, WebSocketProvider, WebSocketStore
from sockstore.protocols import BaseProtocol
from sockstore.scope.provider import ConnectionOptions, ProviderOptions
from sockstore.ui.browser import WebSocketProvider as BrowserProvider
from sockstore.ui.nicegui import WebSocketProvider as NiceGUIProvider
from sockstore.ui.textual import WebSocketProvider as TextualProvider

OWN = {"linger", "self", "url", "reconnect"}


@pytest.mark.contract("PV1")
def test_it_names_exactly_the_options_of_the_connection_but_url_and_reconnect():
    options = set(inspect.signature(WebSocketStore.__init__).parameters) - OWN
    assert set(ConnectionOptions.__annotations__) == options


@pytest.mark.contract("PV1")
def test_each_option_has_the_type_that_it_has_there():
    # The package loads no protocol and no opening, so its own module does not know these names.
    names = {"BaseProtocol": BaseProtocol, "Opening": Opening}
    there = get_type_hints(WebSocketStore.__init__, localns=names)
    here = get_type_hints(ConnectionOptions)
    assert here == {name: there[name] for name in here}


@pytest.mark.contract("PV1", "UI1")
def test_the_provider_of_each_kit_takes_and_shows_the_same_options():
    parameters = inspect.signature(WebSocketProvider).parameters
    named = set(parameters) - {"url", "options"} | set(ConnectionOptions.__annotations__)
    assert set(ProviderOptions.__annotations__) == named
    hints = get_type_hints(WebSocketProvider.__init__)
    assert (
        hints.items()
        >= {
            name: kind
            for name, kind in get_type_hints(ProviderOptions).items()
            if name in parameters
        }.items()
    )
    for provider in (BrowserProvider, NiceGUIProvider, TextualProvider):
        assert inspect.signature(provider).parameters == parameters


@pytest.mark.contract("PV1")
def test_the_five_names_and_defaults_are_the_guides():
    parameters = inspect.signature(WebSocketProvider).parameters
    defaults = {name: parameters[name].default for name in list(parameters)[1:6]}
    assert defaults == {
        "name": "default",
        "auto_connect": True,
        "reconnect": True,
        "max_reconnect_attempts": 5,
        "reconnect_interval": 3.0,
    }


@pytest.mark.contract("PV1")
def test_making_one_needs_no_loop_and_connects_nothing():
    provider = WebSocketProvider("ws://localhost", history=5)
    assert provider.url == "ws://localhost"
    assert not provider.scope.closed


@pytest.mark.contract("PV1")
def test_an_option_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="retries"):
        WebSocketProvider("ws://localhost", retries=5)
    with pytest.raises(InvalidOption, match="connect_timeout"):
        WebSocketProvider("ws://localhost", connect_timeout=-1)
