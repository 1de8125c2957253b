"""Where a connection goes: values and callables for url, headers and subprotocols."""

import asyncio

import pytest

from sockstore import (
    Attempt,
    Classification,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Outcome,
    StopReconnecting,
    classify,
)
from sockstore.connection.endpoint import Endpoint, check_endpoint_url
from sockstore.transports.base import Target

URL = "ws://server.test/feed"


def ask(url=URL, headers=(), subprotocols=(), attempt=None):
    return asyncio.run(Endpoint(url, headers, subprotocols).target(attempt or Attempt()))


def raising(error):
    def answer(attempt):
        raise error

    return answer


def later(value):
    async def answer(attempt):
        await asyncio.sleep(0)
        return value

    return answer


def later_raising(error):
    async def answer(attempt):
        await asyncio.sleep(0)
        raise error

    return answer


in_each_option = pytest.mark.parametrize("option", ["url", "headers", "subprotocols"])


@pytest.mark.contract("CN11")
def test_values_are_used_as_they_are():
    target = ask(URL, {"X-A": "1"}, ["chat", "json"])
    assert target == Target(url=URL, headers=(("X-A", "1"),), subprotocols=("chat", "json"))


@pytest.mark.contract("CN11")
def test_sync_and_async_callables_are_asked():
    assert ask(lambda attempt: URL, lambda attempt: {"A": "1"}, lambda attempt: ["x"]) == ask(
        later(URL), later([("A", "1")]), later(("x",))
    )


@pytest.mark.contract("CN11")
@in_each_option
def test_each_callable_is_told_the_attempt_each_time(option):
    told = []
    values = {"url": URL, "headers": {}, "subprotocols": []}
    answers = {**values, option: lambda attempt: told.append(attempt) or values[option]}
    endpoint = Endpoint(**answers)
    attempts = [Attempt(), Attempt(1, refresh=True, previous=Outcome())]
    for attempt in attempts:
        asyncio.run(endpoint.target(attempt))
    assert told == attempts


@pytest.mark.contract("CN11")
def test_headers_that_can_be_read_once_are_good_for_every_attempt():
    endpoint = Endpoint(URL, iter([("A", "1")]), iter(["x"]))
    targets = [asyncio.run(endpoint.target(Attempt())) for _ in range(2)]
    assert targets[0] == targets[1] != ask()


@pytest.mark.contract("CN11")
def test_a_header_may_be_repeated():
    assert ask(headers=[("A", "1"), ("A", "2")]).headers == (("A", "1"), ("A", "2"))


@pytest.mark.contract("CN4")
def test_a_bad_static_url_is_refused_at_construction():
    with pytest.raises(InvalidURI):
        Endpoint("http://h/", (), ())
    with pytest.raises(InvalidURI):
        check_endpoint_url("h")


@pytest.mark.contract("CN4", "CN11")
def test_a_callable_url_is_checked_when_it_answers_and_a_bad_one_is_fatal():
    url = check_endpoint_url(lambda attempt: "http://h/")
    with pytest.raises(InvalidURI) as caught:
        ask(url)
    assert classify(Outcome(exception=caught.value)) is Classification.FATAL


@pytest.mark.contract("CN11")
@pytest.mark.parametrize("url", [None, lambda attempt: None, lambda attempt: b"ws://h/", later(3)])
def test_a_url_that_is_no_string_is_invalid(url):
    with pytest.raises(InvalidURI):
        ask(url)


@pytest.mark.contract("CN11")
@in_each_option
@pytest.mark.parametrize("error", [StopReconnecting("enough"), InvalidURI("x", "bad")])
def test_signals_of_a_callable_pass(option, error):
    with pytest.raises(type(error)) as caught:
        ask(**{option: raising(error)})
    assert caught.value is error


@pytest.mark.contract("CN11")
@in_each_option
@pytest.mark.parametrize("make", [raising, later_raising])
def test_any_other_exception_of_a_callable_is_a_failed_attempt(option, make):
    error = LookupError("no token")
    with pytest.raises(HandshakeFailed) as caught:
        ask(**{option: make(error)})
    assert caught.value.kind == "option"
    assert caught.value.__cause__ is error
    assert f"the {option} callable raised LookupError('no token')" in str(caught.value)
    assert classify(Outcome(exception=caught.value)) is Classification.RETRY


@pytest.mark.contract("CN8", "CN12")
def test_cancelling_passes_through_a_callable():
    async def main():
        task = asyncio.create_task(Endpoint(URL, hang, ()).target(Attempt()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def hang(attempt):
        await asyncio.Event().wait()

    asyncio.run(main())


BAD_HEADERS = [
    {"": "SECRET"},
    {"A B": "SECRET"},
    {"A:": "SECRET"},
    {"A\r\nB": "SECRET"},
    {"Ä": "SECRET"},
    {3: "SECRET"},
    {b"A": "SECRET"},
    {"A": "SECRET\r\nB: x"},
    {"A": "SECRET\n"},
    {"A": "SECRET\0"},
    {"A": b"SECRET"},
    {"A": ["SECRET"]},
    {"A": None},
    {"A": "SECRET\u200b"},
    {"A": "SECRET\x1b"},
    {"A": "SECRET €"},
    {"A": "SECRET\ud800"},
    {"Authorization: Bearer SECRET": ""},
    {"Bearer SECRET=": "Authorization"},
    {"SECRET=": "Authorization"},
    [("Host", "SECRET"), ("host", "b")],
    [("A", "SECRET", "SECRET")],
    [("A",), ("B", "SECRET")],
    "A: SECRET",
    ["A: SECRET"],
    3,
    None,
]


@pytest.mark.contract("CN11", "CN14")
@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_bad_headers_are_refused_at_construction_without_showing_a_value(headers):
    with pytest.raises(InvalidOption, match="headers=") as caught:
        Endpoint(URL, headers, ())
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.contract("CN11", "CN14")
@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_bad_headers_of_a_callable_are_terminal_without_showing_a_value(headers):
    with pytest.raises(InvalidOption, match="headers=") as caught:
        ask("ws://h/?SECRET", lambda attempt: headers)
    assert classify(Outcome(exception=caught.value)) is Classification.FATAL
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(caught.value)


BAD_SUBPROTOCOLS = [
    "chat",
    b"chat",
    ["a b"],
    [""],
    ["a,b"],
    ["a\r\nb"],
    [3],
    [None],
    ["ä"],
    3,
    None,
]


@pytest.mark.contract("CN11")
@pytest.mark.parametrize("subprotocols", BAD_SUBPROTOCOLS)
def test_bad_subprotocols_are_refused(subprotocols):
    with pytest.raises(InvalidOption, match="subprotocols="):
        Endpoint(URL, (), subprotocols)
    with pytest.raises(InvalidOption, match="subprotocols=") as caught:
        ask(subprotocols=lambda attempt: subprotocols)
    assert classify(Outcome(exception=caught.value)) is Classification.FATAL


@pytest.mark.contract("CN11")
@in_each_option
@pytest.mark.parametrize("answer", [None, 3, object(), "é", b"\xff", [[]], {"\n": "\n"}])
def test_whatever_a_callable_returns_ends_in_a_target_or_in_an_error_of_ours(option, answer):
    try:
        target = ask(**{option: lambda attempt: answer})
    except (HandshakeFailed, InvalidOption, InvalidURI):
        return
    assert isinstance(target, Target)


@pytest.mark.contract("CN11")
def test_a_subprotocol_that_is_named_twice_is_refused():
    with pytest.raises(InvalidOption, match="only once"):
        Endpoint("ws://h", (), ["chat", "chat"])


@pytest.mark.contract("CN14")
def test_the_header_that_cannot_be_sent_is_named():
    with pytest.raises(InvalidOption, match=r"'X-Token'.*zero-width") as caught:
        Endpoint(URL, {"X-Token": "SECRET\u200b"}, ())
    assert caught.value.value == "X-Token"


@pytest.mark.contract("CN14")
@pytest.mark.parametrize("value", ["", "a\tb", "caf\xe9", "\xa0", " padded "])
def test_what_a_header_can_carry_is_taken(value):
    assert ask(headers={"X-A": value}).headers == (("X-A", value),)


@pytest.mark.contract("CN14")
@pytest.mark.parametrize(
    "names", [["SECRET\u200b"], ["a", "SECRET SECRET"], ["SECRET"] * 2, "SECRET"]
)
def test_a_subprotocol_may_be_a_token_and_is_never_shown(names):
    for attempt in (lambda: Endpoint(URL, (), names), lambda: ask(subprotocols=lambda _: names)):
        with pytest.raises(InvalidOption, match="subprotocols=") as caught:
            attempt()
        assert "SECRET" not in str(caught.value) + repr(caught.value)
    assert "SECRET" not in repr(Target(url=URL, subprotocols=("SECRET",)))


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("Sec-WebSocket-Protocol", "subprotocols="),
        ("sec-websocket-extensions", "compression="),
        ("SEC-WEBSOCKET-KEY", "its own"),
        ("Sec-WebSocket-Version", "the handshake sends it"),
        ("Sec-WebSocket-Accept", "only servers"),
        ("Upgrade", "the handshake sends it"),
        ("Connection", "the handshake sends it"),
        ("Content-Length", "no body"),
        ("Transfer-Encoding", "no body"),
    ],
)
def test_a_header_of_the_handshake_itself_is_refused_and_says_what_to_do(name, instead):
    with pytest.raises(InvalidOption, match=instead):
        Endpoint(URL, {name: "SECRET"}, ())
    with pytest.raises(InvalidOption, match=instead):
        ask(headers=lambda attempt: {name: "SECRET"})


@pytest.mark.contract("CN14")
@pytest.mark.parametrize("option", ["url", "headers", "subprotocols"])
def test_a_callables_error_about_text_does_not_show_the_text(option):
    def answer(attempt):
        return "SECRET\u200b".encode("latin-1")

    with pytest.raises(HandshakeFailed, match="UnicodeEncodeError") as caught:
        ask(**{option: answer})
    assert "SECRET" not in str(caught.value)
