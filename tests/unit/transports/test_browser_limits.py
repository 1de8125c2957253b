"""What a browser cannot do is refused when it is asked for; nothing is silently left out."""

import ssl

import pytest

from sockstore import Heartbeat, InvalidOption, WebSocketStore, transports
from sockstore.testing import FakeServer
from sockstore.transports.base import TransportOptions
from sockstore.transports.browser_limits import refuse_in_browser, sendable

pytestmark = pytest.mark.contract("LV1", "CN11", "CN13")


@pytest.fixture
def _in_a_browser(monkeypatch):
    monkeypatch.setattr(transports, "IN_BROWSER", True)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"headers": {"Authorization": "secret"}}, "send the token in a subprotocol"),
        ({"headers": lambda attempt: {"Authorization": "secret"}}, "send the token"),
        ({"ping_interval": 20.0}, "give heartbeat=Heartbeat"),
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
def test_what_can_be_done_is_accepted():
    WebSocketStore(
        "wss://example.com",
        ping_interval=None,
        headers=(),
        subprotocols=["chat"],
        compression=True,
        heartbeat=Heartbeat({"type": "ping"}),
    )


@pytest.mark.usefixtures("_in_a_browser")
def test_another_transport_may_do_everything():
    WebSocketStore("ws://fake", headers={"A": "b"}, ping_interval=1.0, transport=FakeServer())


def test_nothing_is_refused_elsewhere():
    WebSocketStore("ws://localhost", headers={"A": "b"}, proxy=None)
    refuse_in_browser(TransportOptions(), (), None)


@pytest.mark.parametrize("code", [1000, 3000, 3999, 4000, 4999])
def test_the_codes_of_applications_are_sent_as_they_are(code):
    assert sendable(code) == code


@pytest.mark.parametrize("code", [1001, 1002, 1007, 1009, 1011, 2999])
def test_other_codes_are_sent_as_ones_that_a_browser_sends(code):
    assert 4000 <= sendable(code) <= 4999
    assert sendable(code) % 1000 == code % 1000
