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
    Received,
    Subscribed,
    WireSubscription,
)


def news(talk, frame):
    (item,) = talk.conversation.news([frame], talk.now)
    return None if item == frame else item


def text(*args, **more):
    return json.dumps(push(*args, **more))


@pytest.mark.contract("SE1", "SE8")
def test_news_are_the_messages_of_rooms():
    talk = Talk.opened()
    one, other = talk.room("a"), talk.room("b")
    frame = text("a", 1, {"n": 1}, info={"user": "Ann"}, tags={"id": "x"})
    first = news(talk, frame)
    assert (first.subscription, first.data) == (one, {"n": 1})
    assert first.place() == Publication(1, "e", "x", "Ann")
    assert talk.protocol.position(one) == Position(1, "e", "x")
    second = news(talk, text("b", 1, []))
    assert (second.subscription, second.data) == (other, [])
    third = news(talk, text("a", 2, None))
    assert third.place() == Publication(2, "e")
    assert third.again(frame) == ({"n": 1}, Publication(1, "e", "x", "Ann"))


@pytest.mark.contract("SE1")
@pytest.mark.parametrize(
    "frame",
    [
        text("a", 1),
        text("a", 3),
        text("b", 2),
        text("a", 2, epoch="other"),
        '{"id":5,"rpc":{}}',
        "{}",
        "no JSON",
        '{"push":{"channel":"a","pub":{"offset":2,"data":1e400}}}',
    ],
)
def test_nothing_else_is_news(frame):
    talk = Talk.opened()
    room = talk.room("a", history(1))
    assert news(talk, frame) is None
    assert talk.protocol.position(room) == Position(1, "e")
    assert news(talk, text("a", 2)).data == 2


@pytest.mark.contract("SE1", "SE0")
def test_news_end_with_the_subscription():
    talk = Talk.opened(STOCK)
    talk.room("a", history(0, ""))
    talk.hear(push("a", 1, epoch="e"))
    first = news(talk, text("a", 2))
    assert first.place() == Publication(2, "e"), "its epoch was told by the first message"
    talk.hear(ended("a", 2500))
    assert news(talk, text("a", 3)) is None
    talk.hear({"id": talk.commands()[-1]["id"], "subscribe": recovered(2)})
    assert news(talk, text("a", 3)).data == 3
    assert talk.hear_text("[]")[0].kind == "retry"
    assert news(talk, text("a", 4)) is None
    assert talk.hear(push("a", 4)) == []


@pytest.mark.contract("SE1")
def test_messages_of_a_room_without_a_history_are_news_without_a_place():
    talk = Talk.opened(STOCK)
    room = talk.room("b", {})
    first = news(talk, text("b", 0))
    assert (first.subscription, first.data, first.place()) == (room, 0, Publication(None))
    assert talk.protocol.position(room) is None


@pytest.mark.contract("SE0")
def test_news_are_a_sign_of_life():
    talk = Talk.opened(OURS)
    talk.room("a")
    talk.now += 30
    news(talk, text("a", 1))
    assert talk.tick() == []
    assert talk.conversation.deadline == talk.now - 5 + 35


@pytest.mark.contract("SE1")
def test_without_msgspec_the_careful_path_reads_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    pushes = sys.modules["sockstore.protocols.centrifuge.pushes"]
    monkeypatch.setattr(pushes, "push_reader", pushes.push_reader.__wrapped__)
    for module in ("conversation", "rooms"):
        name = f"sockstore.protocols.centrifuge.{module}.push_reader"
        monkeypatch.setattr(name, pushes.push_reader)
    talk = Talk.opened()
    room = talk.room("a")
    assert news(talk, text("a", 1)) is None
    assert talk.hear(push("a", 1)) == [Received(1, room, Publication(1, "e"))]
    uncounted = talk.room("b", {})
    assert talk.hear(push("b", 0)) == [Received(0, uncounted, Publication(None))]


@pytest.mark.contract("SE5")
def test_broken_payloads_in_a_list_concern_themselves():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(0))
    talk.ask_for(room)
    deep = "[" * 100_000 + "]" * 100_000
    said = talk.hear_text(
        '{"id":2,"subscribe":{"recoverable":true,"recovered":true,"epoch":"e","publications":'
        f'[{{"offset":1,"data":1e400}},{{"offset":2,"data":{deep}}},{{"offset":3,"data":3}}]}}}}'
    )
    assert said[0] == Subscribed(room, recovered=True, missed=3)
    unreadable = [each.data for each in said[1:3]]
    assert [each.text for each in unreadable] == ["1e400", deep]
    assert all(isinstance(each.error, ValueError | RecursionError) for each in unreadable)
    assert said[3].data == 3


@pytest.mark.contract("SE3")
def test_what_the_server_still_has_follows_a_gap():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(2, "e", "x"))
    talk.ask_for(room)
    answer = history(9, data={"reason": "trimmed"}, publications=[publication(8), publication(9)])
    said = talk.hear({"id": 2, "subscribe": answer})
    assert said[:2] == [
        Missed(room, "trimmed", 2, 7),
        Subscribed(room, {"reason": "trimmed"}, recovered=False, missed=2),
    ]
    assert [each.data for each in said[2:]] == [8, 9]


@pytest.mark.contract("SE1")
def test_a_hole_in_what_was_missed_is_asked_for_again():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(1, "e"))
    talk.ask_for(room)
    talk.commands()
    said = talk.hear({"id": 2, "subscribe": recovered(1, *map(publication, (2, 5, 6)))})
    assert said == [
        Subscribed(room, recovered=True, missed=1),
        Received(2, room, Publication(2, "e")),
    ]
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
