"""What a browser cannot do is refused when it is asked for; nothing is silently left out."""

import asyncio
import ssl

import pytest

from sockstore import InvalidOption, WebSocketStore, transports
from sockstore.protocols import Heartbeat, Plain
from sockstore.testing import FakeServer
from sockstore.transports.browser_limits import sendable

pytestmark = pytest.mark.contract("LV1", "CN11", "CN13")


@pytest.fixture
def _in_a_browser(monkeypatch):
    monkeypatch.setattr(transports, "IN_BROWSER", True)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"headers": {"Authorization": "secret"}}, "send the token in a subprotocol"),
        ({"headers": lambda attempt: {"Authorization": "secret"}}, "send the token"),
        ({"ping_interval": 20.0}, "heartbeat=Heartbeat"),
        ({"ssl": ssl.create_default_context()}, "leave this out"),
        ({"proxy": "http://user:secret@localhost:3128"}, "leave this out"),
        ({"proxy": None}, "leave this out"),
    ],
)
@pytest.mark.usefixtures("_in_a_browser")
def test_what_is_asked_for_and_cannot_be_done_is_refused_with_a_remedy(options, remedy):
    wanted = {"ping_interval": None, **options}
    with pytest.raises(InvalidOption, match=remedy) as caught:
        WebSocketStore("wss://example.com", **wanted)
    assert caught.value.option in options
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("_in_a_browser")
def test_each_option_alone_is_what_is_refused():
    """Without the one option, what is left is accepted: the refusals are about it."""
    possible = {
        "ping_interval": None,
        "headers": (),
        "subprotocols": ["chat"],
        "compression": True,
        "protocol": Plain(heartbeat=Heartbeat({"type": "ping"})),
    }
    connection = WebSocketStore("wss://example.com", **possible)
    assert connection.status.value == "disconnected"
    for impossible in ({"headers": {"A": "b"}}, {"ping_interval": 1.0}, {"proxy": False}):
        with pytest.raises(InvalidOption) as caught:
            WebSocketStore("wss://example.com", **possible | impossible)
        assert caught.value.option in impossible


@pytest.mark.asyncio
async def test_another_transport_in_a_browser_gets_the_headers_and_the_pings(monkeypatch):
    server = FakeServer()
    options = {"headers": {"A": "b"}, "ping_interval": 0.01, "transport": server}
    with monkeypatch.context() as page:
        page.setattr(transports, "IN_BROWSER", True)
        connection = WebSocketStore("ws://fake", **options)
    async with connection, asyncio.timeout(10):  # without a page that it could watch
        await connection.ready()
        assert ("A", "b") in server.connection.target.headers
        while not server.connection.pings:
            await asyncio.sleep(0.01)


def test_the_same_options_are_accepted_outside_a_browser(monkeypatch):
    options = {"headers": {"A": "b"}, "proxy": None, "ssl": ssl.create_default_context()}
    connection = WebSocketStore("wss://localhost", **options)
    assert connection.status.value == "disconnected"
    monkeypatch.setattr(transports, "IN_BROWSER", True)
    with pytest.raises(InvalidOption):
        WebSocketStore("wss://localhost", **options)


@pytest.mark.parametrize("code", [1000, 3000, 3999, 4000, 4999])
def test_the_codes_of_applications_are_sent_as_they_are(code):
    assert sendable(code) == code


@pytest.mark.parametrize("code", [1001, 1002, 1007, 1009, 1011, 2999])
def test_other_codes_are_sent_as_ones_that_a_browser_sends(code):
    assert 4000 <= sendable(code) <= 4999
    assert sendable(code) % 1000 == code % 1000
