"""How the pushes of a Centrifugo server are read: fast, in a row, and where a payload is broken."""

import json
import sys

import pytest

from centrifuge_kit import OURS, STOCK, Talk, ended, history, publication, push, recovered
from sockstore import Position
from sockstore.protocols import (
    Centrifuge,
    Missed,
    Publication,
    Raised,
    Received,
    Subscribed,
    WireSubscription,
)


def run_of(talk, room):
    return talk.conversation.run_of(room, talk.now)


def text(*args, **more):
    return json.dumps(push(*args, **more))


@pytest.mark.contract("SE1")
def test_a_run_reads_messages_in_a_row():
    talk = Talk.opened()
    room = talk.room("a")
    run = run_of(talk, room)
    frame = text("a", 1, {"n": 1}, info={"user": "Ann"}, tags={"id": "x"})
    assert run.advance(frame) == {"n": 1}
    assert run.place() == Publication(1, "e", "x", "Ann")
    assert talk.protocol.position(room) == Position(1, "e", "x")
    assert run.advance(text("a", 2, [])) == []
    assert run.place() == Publication(2, "e")
    assert run.again(frame) == ({"n": 1}, Publication(1, "e", "x", "Ann"))


@pytest.mark.contract("SE1")
@pytest.mark.parametrize(
    "frame",
    [
        text("a", 1),
        text("a", 3),
        text("b", 2),
        text("a", 2, "text"),
        text("a", 2, epoch="other"),
        text("a", 2) + "\n" + text("a", 3),
        '{"id":5,"rpc":{}}',
        "{}",
        "no JSON",
        '{"push":{"channel":"a","pub":{"offset":2,"data":1e400}}}',
    ],
)
def test_a_run_takes_nothing_else(frame):
    talk = Talk.opened()
    room = talk.room("a", history(1))
    run = run_of(talk, room)
    with pytest.raises(ValueError, match=r".*"):
        run.advance(frame)
    assert talk.protocol.position(room) == Position(1, "e")
    assert run.advance(text("a", 2)) == 2


@pytest.mark.contract("SE1", "SE0")
def test_a_run_ends_with_its_subscription():
    talk = Talk.opened(STOCK)
    room, plain = talk.room("a", history(0, "")), talk.room("b", {})
    assert run_of(talk, plain) is None, "its messages are not counted"
    assert run_of(talk, WireSubscription("a")) is None
    assert run_of(talk, WireSubscription("c")) is None
    run = run_of(talk, room)
    talk.hear(push("a", 1, epoch="e"))
    with pytest.raises(ValueError, match=r".*"):
        run.advance(text("a", 2))
    run = run_of(talk, room)
    talk.hear(ended("a", 2500))
    with pytest.raises(ValueError, match=r".*"):
        run.advance(text("a", 2))
    assert run_of(talk, room) is None
    talk.hear({"id": talk.commands()[-1]["id"], "subscribe": recovered(1)})
    run = run_of(talk, room)
    assert run.advance(text("a", 2)) == 2
    assert talk.hear_text("[]")[0].kind == "retry"
    with pytest.raises(ValueError, match=r".*"):
        run.advance(text("a", 3))
    assert talk.hear(push("a", 3)) == []


@pytest.mark.contract("SE0")
def test_a_run_is_a_sign_of_life():
    talk = Talk.opened(OURS)
    room = talk.room("a")
    talk.now += 30
    run_of(talk, room)
    assert talk.tick() == []
    assert talk.conversation.deadline == talk.now - 5 + 35


@pytest.mark.contract("SE1")
def test_without_msgspec_the_careful_path_reads_all(monkeypatch):
    talk = Talk()
    monkeypatch.setitem(sys.modules, "msgspec", None)
    pushes = sys.modules["sockstore.protocols.centrifuge.pushes"]
    pushes.push_reader.cache_clear()
    talk.hear({"id": 1, "connect": OURS})
    pushes.push_reader.cache_clear()
    room = talk.room("a")
    assert run_of(talk, room) is None
    assert talk.hear(push("a", 1)) == [Received(1, room, Publication(1, "e"))]
    uncounted = talk.room("b", {})
    assert talk.hear(push("b", 0)) == [Received(0, uncounted, Publication(None))]


@pytest.mark.contract("SE5")
def test_broken_payloads_in_a_list_concern_themselves():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(0))
    talk.ask_for(room)
    deep = "[" * 5000 + "]" * 5000
    said = talk.hear_text(
        '{"id":2,"subscribe":{"recoverable":true,"recovered":true,"epoch":"e","publications":'
        f'[{{"offset":1,"data":1e400}},{{"offset":2,"data":{deep}}},{{"offset":3,"data":3}}]}}}}'
    )
    assert said[0] == Subscribed(room, recovered=True)
    assert [each.data for each in said if isinstance(each, Received)] == ["1e400", deep, 3]
    assert sum(isinstance(each, Raised) for each in said) == 2


@pytest.mark.contract("SE3")
def test_what_the_server_still_has_follows_a_gap():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(2, "e", "x"))
    talk.ask_for(room)
    answer = history(9, data={"reason": "trimmed"}, publications=[publication(8), publication(9)])
    said = talk.hear({"id": 2, "subscribe": answer})
    assert said[:2] == [
        Missed(room, "trimmed", 2, 7),
        Subscribed(room, {"reason": "trimmed"}, recovered=False),
    ]
    assert [each.data for each in said[2:]] == [8, 9]


@pytest.mark.contract("SE1")
def test_a_hole_in_what_was_missed_is_asked_for_again():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(1, "e"))
    talk.ask_for(room)
    talk.commands()
    said = talk.hear({"id": 2, "subscribe": recovered(1, *map(publication, (2, 5, 6)))})
    assert said == [Subscribed(room, recovered=True), Received(2, room, Publication(2, "e"))]
    leave, join = talk.commands()
    assert "unsubscribe" in leave
    assert join["subscribe"]["offset"] == 2


@pytest.mark.contract("SE3")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (history(1), "forked"),
        (history(9, data={"reason": "forked"}), "forked"),
        (history(9), "unavailable"),
        (history(9, "other"), "epoch"),
        ({"epoch": "e"}, "forked"),
        (recovered(2, publication(4)), "unavailable"),
    ],
)
def test_why_something_is_missing(answer, reason):
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(2, "e"))
    talk.ask_for(room)
    missed, subscribed = talk.hear({"id": 2, "subscribe": answer})[:2]
    assert missed.reason == reason
    assert subscribed.recovered is False


def test_the_protocol_says_what_it_needs():
    assert Centrifuge().parameters() == {}
    assert Centrifuge(token="t").parameters() == {"token": "t"}
    memory = Centrifuge().make_memory()
    assert Centrifuge().sent_messages(memory) is memory
    assert Centrifuge().sent_messages(None) is None
