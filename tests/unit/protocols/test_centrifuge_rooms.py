"""Rooms of a Centrifugo server: each has its own position, and its own trouble."""

import json

import pytest

from centrifuge_kit import OURS, STOCK, Talk, ended, history, publication, push, recovered
from sockstore import Position
from sockstore.protocols import (
    Ask,
    Centrifuge,
    Ended,
    Missed,
    Publication,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
)


def numbers(outputs, subscription=None):
    """The payloads of messages, of one room or of all."""
    return [
        output.data
        for output in outputs
        if isinstance(output, Received) and subscription in {None, output.subscription}
    ]


def error(code, message="no", **more):
    return {"code": code, "message": message, **more}


@pytest.mark.contract("SE0", "SU1")
def test_several_rooms_are_asked_for_in_one_frame():
    talk = Talk.opened()
    rooms = [WireSubscription("a"), WireSubscription("b", {"join_leave": True})]
    assert talk.ask_for(*rooms) == []
    assert len(talk.frames) == 1
    assert talk.commands() == [
        {"id": 2, "subscribe": {"channel": "a"}},
        {"id": 3, "subscribe": {"channel": "b", "join_leave": True}},
    ]
    said = talk.hear(
        {"id": 2, "subscribe": history()}, push("a", 1), {"id": 3, "subscribe": history(5, "f")}
    )
    assert said == [
        Subscribed(rooms[0]),
        Received(1, rooms[0], Publication(1, "e")),
        Subscribed(rooms[1]),
    ]
    assert talk.protocol.position(rooms[0]) == Position(1, "e")
    assert talk.protocol.position(rooms[1]) == Position(5, "f")


@pytest.mark.contract("SE0")
@pytest.mark.parametrize("key", [5, "", ("a", "b"), None])
def test_a_key_is_the_name_of_a_room(key):
    talk = Talk.opened()
    subscription = WireSubscription(key)
    (refused,) = talk.ask_for(subscription)
    assert refused.subscription is subscription
    assert "name of a room" in refused.why


@pytest.mark.contract("SE0")
def test_what_cannot_be_asked_is_refused():
    talk = Talk.opened()
    for params in ({"data": object()}, {"data": "x" * 70000}):
        subscription = WireSubscription("a", params)
        (refused,) = talk.ask_for(subscription)
        assert refused.subscription is subscription
        assert not refused.is_temporary
    talk.room("a")
    (refused,) = talk.ask_for(WireSubscription("a", {"join_leave": True}))
    assert "with other parameters" in refused.why


@pytest.mark.contract("SE1")
def test_a_new_connection_asks_from_the_position_of_each_room():
    talk = Talk.opened()
    a, b = talk.room("a"), talk.room("b", history(7, "f"))
    talk.hear(push("a", 1, tags={"id": "x"}), push("a", 2, tags={"id": "y"}))
    again = Talk.opened(OURS, memory=talk.memory)
    again.ask_for(a, b)
    first, second = again.commands()
    recover = {"recover": True, "epoch": "e", "offset": 2, "data": {"last": "y"}}
    assert first["subscribe"] == {"channel": "a", **recover}
    assert second["subscribe"] == {"channel": "b", "recover": True, "epoch": "f", "offset": 7}
    said = again.hear({"id": 2, "subscribe": recovered(2, publication(3), publication(4))})
    assert said[0] == Subscribed(a, recovered=True, missed=2)
    assert numbers(said) == [3, 4]
    assert again.hear({"id": 3, "subscribe": history(20, "g")}) == [
        Missed(b, "epoch", 7, 20),
        Subscribed(b, recovered=False),
    ]


@pytest.mark.contract("SE1")
def test_since_is_where_a_room_begins():
    talk = Talk.opened()
    room = WireSubscription("a", since=Position(3, "e", "x"))
    assert talk.protocol.position(room) == Position(3, "e", "x")
    talk.ask_for(room)
    (command,) = talk.commands()
    assert command["subscribe"]["data"] == {"last": "x"}
    said = talk.hear({"id": 2, "subscribe": recovered(3, publication(4))})
    assert said[0] == Subscribed(room, recovered=True, missed=1)


@pytest.mark.contract("SE1")
def test_the_id_of_the_last_message_joins_the_data_of_the_program():
    talk = Talk.opened()
    mine = WireSubscription("a", {"data": {"mine": 1}}, since=Position(3, "e", "x"))
    odd = WireSubscription("b", {"data": [1]}, since=Position(3, "e", "x"))
    talk.ask_for(mine, odd)
    first, second = talk.commands()
    assert first["subscribe"]["data"] == {"mine": 1, "last": "x"}
    assert second["subscribe"]["data"] == [1]


@pytest.mark.contract("SE4")
def test_a_room_without_history_says_that_something_may_be_missing():
    talk = Talk.opened(STOCK)
    room = talk.room("a", {})
    assert numbers(talk.hear(push("a", 0, {"n": 1}))) == [{"n": 1}]
    assert talk.protocol.position(room) is None
    again = Talk.opened(STOCK, memory=talk.memory)
    again.ask_for(room)
    assert again.hear({"id": 2, "subscribe": {}}) == [
        Missed(room, "reconnected"),
        Subscribed(room, recovered=False),
    ]


@pytest.mark.contract("SE5")
def test_pushes_before_the_answer_are_kept():
    talk = Talk.opened()
    room = WireSubscription("a")
    talk.ask_for(room)
    assert talk.hear(push("a", 4), push("a", 5)) == []
    said = talk.hear({"id": 2, "subscribe": history(4)})
    assert said == [Subscribed(room, missed=1), Received(5, room, Publication(5, "e"))]


@pytest.mark.contract("SE5")
def test_the_first_message_brings_the_epoch():
    talk = Talk.opened(STOCK)
    room = talk.room("a", history(0, ""))
    talk.hear(push("a", 1, epoch="new"))
    assert talk.protocol.position(room) == Position(1, "new")


TROUBLE = {
    "a hole": ([push("a", 9)], ["unsubscribe", "subscribe"]),
    "another epoch": ([push("a", 2, epoch="other")], ["unsubscribe", "subscribe"]),
    "the server ended it": ([ended("a", 2500)], ["subscribe"]),
}


@pytest.mark.contract("SE1", "SE0")
@pytest.mark.parametrize("what", TROUBLE)
def test_a_room_in_trouble_is_asked_for_again_and_no_other_notices(what):
    pushes, expected = TROUBLE[what]
    talk = Talk.opened()
    a, b = talk.room("a", history(1)), talk.room("b")
    assert talk.hear(*pushes, push("b", 1)) == [Received(1, b, Publication(1, "e"))]
    commands = talk.commands()
    assert [next(key for key in each if key != "id") for each in commands] == expected
    assert commands[-1]["subscribe"] == {
        "channel": "a",
        "recover": True,
        "epoch": "e",
        "offset": 1,
    }
    replies = [{"id": each["id"], "unsubscribe": {}} for each in commands[:-1]]
    answer = {"id": commands[-1]["id"], "subscribe": recovered(1, publication(2))}
    said = talk.hear(push("a", 50), *replies, answer) if replies else talk.hear(answer)
    assert said == [Subscribed(a, recovered=True, missed=1), Received(2, a, Publication(2, "e"))]
    assert numbers(talk.hear(push("a", 3), push("b", 2))) == [3, 2]


@pytest.mark.contract("SE0")
def test_a_room_in_trouble_again_waits_for_the_schedule():
    talk = Talk.opened()
    a = talk.room("a")
    for _ in range(2):
        said = talk.hear(ended("a", 2500, "insufficient state"))
        number = (talk.commands() or [{"id": 0}])[-1]["id"]
        talk.now += 2
        if number:
            assert said == []
            talk.hear({"id": number, "subscribe": recovered(0)})
    why = "the server ended the subscription: insufficient state (2500)"
    assert said == [Refused(a, why, is_temporary=True)]
    talk.now += 5
    talk.ask_for(a)
    (command,) = talk.commands()
    assert talk.hear({"id": command["id"], "subscribe": recovered(0)})[0].recovered is True
    assert talk.hear(ended("a", 2500)) == []
    assert len(talk.commands()) == 1


@pytest.mark.contract("SE5")
def test_too_much_before_the_answer_is_trouble():
    talk = Talk.opened()
    room = WireSubscription("a")
    talk.ask_for(room)
    (first,) = talk.commands()
    talk.hear(*(push("a", offset) for offset in range(1, 1002)))
    leave, second = talk.commands()
    assert "unsubscribe" in leave
    stale = {"id": first["id"], "subscribe": history(1001)}
    assert talk.hear(stale, {"id": leave["id"], "unsubscribe": {}}) == []
    assert talk.hear({"id": second["id"], "subscribe": history(1001)}) == [Subscribed(room)]


@pytest.mark.contract("SE0")
def test_an_end_concerns_its_room():
    talk = Talk.opened()
    a, b = talk.room("a"), talk.room("b")
    said = talk.hear(ended("a", 2000, "go away"), push("a", 1), push("b", 1))
    assert said == [Ended(a, "go away"), Received(1, b, Publication(1, "e"))]
    assert talk.commands() == []


@pytest.mark.contract("SE0")
def test_an_end_before_the_answer_counts_after_it():
    talk = Talk.opened()
    room = WireSubscription("a")
    talk.ask_for(room)
    assert talk.hear(ended("a", 2500)) == []
    assert talk.hear({"id": 2, "subscribe": history(3)}) == [Subscribed(room)]
    assert talk.commands()[-1]["subscribe"]["offset"] == 3


@pytest.mark.contract("SU6", "SE0")
@pytest.mark.parametrize(
    ("code", "more", "is_temporary"),
    [
        (102, {}, False),
        (103, {}, False),
        (106, {}, False),
        (107, {}, False),
        (108, {}, False),
        (109, {}, False),
        (100, {}, True),
        (110, {}, True),
        (111, {}, True),
        (112, {}, True),
        (4000, {"temporary": True}, True),
    ],
)
def test_a_refusal_concerns_its_room(code, more, is_temporary):
    talk = Talk.opened()
    a, b = WireSubscription("a"), WireSubscription("b")
    talk.ask_for(a, b)
    said = talk.hear({"id": 2, "error": error(code, **more)}, {"id": 3, "subscribe": history()})
    assert said == [Refused(a, f"no ({code})", is_temporary), Subscribed(b)]


@pytest.mark.contract("SE0")
def test_already_subscribed_leaves_and_asks_again():
    talk = Talk.opened()
    room = WireSubscription("a")
    talk.ask_for(room)
    talk.commands()
    assert talk.hear({"id": 2, "error": error(105)}) == []
    leave, join = talk.commands()
    assert leave["unsubscribe"] == join["subscribe"] == {"channel": "a"}
    assert talk.hear({"id": 3, "unsubscribe": {}}, {"id": 4, "error": error(105)}) == [
        Refused(room, "no (105)", is_temporary=True)
    ]


@pytest.mark.contract("SE0")
def test_a_room_that_was_left_may_be_wanted_again_at_once():
    talk = Talk.opened()
    old = talk.room("a", history(3))
    talk.leave(old)
    new = WireSubscription("a")
    talk.ask_for(new)
    leave, join = talk.commands()
    assert talk.hear(push("a", 4)) == []
    said = talk.hear({"id": leave["id"], "unsubscribe": {}}, push("a", 5))
    said += talk.hear({"id": join["id"], "subscribe": history(4)})
    assert said == [Subscribed(new, missed=1), Received(5, new, Publication(5, "e"))]


@pytest.mark.contract("SU3")
def test_a_room_that_waits_for_the_pace_is_taken_back_without_a_word():
    talk = Talk.opened({**OURS, "data": {"sockstore": {**OURS["data"]["sockstore"], "burst": 2}}})
    a, b = WireSubscription("a"), WireSubscription("b")
    talk.ask_for(a, b)
    assert [each["subscribe"]["channel"] for each in talk.commands()] == ["a"]
    talk.leave(b)
    talk.tick(talk.now + 10)
    assert talk.commands() == []
    assert talk.hear({"id": 2, "subscribe": history()}) == [Subscribed(a)]


@pytest.mark.contract("SE0")
def test_many_rooms_are_paced_and_divided():
    talk = Talk.opened()
    rooms = [WireSubscription(f"room {number}") for number in range(300)]
    talk.ask_for(*rooms)
    asked, started = len(talk.commands()), talk.now
    assert asked == 50
    for _ in range(1000):
        if asked == 300:
            break
        talk.tick()
        talk.hear({})
        talk.frames.remove("{}")
        more = len(talk.commands())
        asked += more
        assert asked <= 50 + 18 * (talk.now - started) + 1e-3
    assert asked == 300
    stock = Talk.opened(STOCK)
    stock.ask_for(*rooms)
    assert [frame.count("\n") for frame in stock.frames] == [99, 99, 99]
    large = Talk.opened(STOCK)
    large.ask_for(*(WireSubscription(str(n), {"data": "ü" * 15000}) for n in range(4)))
    assert [frame.count("\n") for frame in large.frames] == [1, 1]


@pytest.mark.contract("SE5", "SE1")
def test_a_payload_that_cannot_be_decoded_is_left_to_its_readers():
    talk = Talk.opened()
    room = talk.room("a")
    said = talk.hear_text(
        '{"push":{"channel":"a","pub":{"data":{"n":1e400},"offset":1}}}\n'
        + json.dumps(push("a", 2))
    )
    unreadable, after = said
    assert unreadable.publication == Publication(1, "e")
    assert unreadable.data.text == '{"n":1e400}'
    assert isinstance(unreadable.data.error, ValueError)
    assert after == Received(2, room, Publication(2, "e"))


@pytest.mark.contract("SE0")
def test_nobody_is_told_of_rooms_that_nobody_wants():
    talk = Talk.opened({**OURS, "subs": {"news": history()}})
    assert talk.hear(push("news", 1), {"push": {"channel": "news", "subscribe": {}}}) == []


# Tokens


@pytest.mark.contract("SE0")
def test_the_token_of_a_room_is_asked_for_first():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    assert talk.ask_for(room) == [Ask("token", room)]
    assert talk.commands() == []
    talk.take(talk.conversation.told(Ask("token", room), "t", talk.now))
    assert talk.commands() == [{"id": 2, "subscribe": {"channel": "a", "token": "t"}}]
    assert talk.hear({"id": 2, "error": error(103, "t is wrong")}) == [
        Refused(room, "*** is wrong (103)")
    ]


@pytest.mark.contract("SE0")
@pytest.mark.parametrize("code", [103, 109])
def test_a_token_that_was_refused_is_asked_for_once_more(code):
    talk = Talk.opened()
    room = WireSubscription("a", token=lambda: "t")
    talk.tokens[room] = "old"
    talk.ask_for(room)
    talk.commands()
    talk.tokens.clear()
    again = Ask("token", room, refresh=True)
    assert talk.hear({"id": 2, "error": error(code)}) == [again]
    talk.take(talk.conversation.told(again, "new", talk.now))
    (command,) = talk.commands()
    assert command["subscribe"]["token"] == "new"
    assert talk.hear({"id": command["id"], "error": error(code)}) == [Refused(room, f"no ({code})")]


@pytest.mark.contract("SE0")
def test_a_token_for_a_room_that_was_left_goes_nowhere():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    talk.ask_for(room)
    talk.leave(room)
    assert talk.take(talk.conversation.told(Ask("token", room), "t", talk.now)) == []
    assert talk.commands() == []
    talk.ask_for(room)
    assert talk.take(talk.conversation.told(Ask("token", room), 5, talk.now)) == [
        Refused(room, "the token of a subscription is a text")
    ]


@pytest.mark.contract("SE0")
def test_a_token_that_cannot_be_made_is_asked_for_again():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    question = Ask("token", room)
    for _ in range(2):
        assert talk.ask_for(room) == [question]
        said = talk.take(talk.conversation.not_told(question, "no keys", talk.now))
        assert said == [Refused(room, "no keys", is_temporary=True)]
    talk.tokens[room] = "t1"
    talk.ask_for(room)
    talk.hear({"id": talk.commands()[0]["id"], "subscribe": history(expires=True, ttl=10)})
    talk.tokens.clear()
    refresh = Ask("token", room, refresh=True)
    for _ in range(2):
        assert talk.tick() == [refresh]
        assert talk.take(talk.conversation.not_told(refresh, "no keys", talk.now)) == []
        assert numbers(talk.hear(push("a", 1), push("a", 2))) in ([1, 2], [])
    talk.leave(room)
    assert talk.take(talk.conversation.not_told(refresh, "no keys", talk.now)) == []


@pytest.mark.contract("SE0", "SE6")
def test_the_token_of_a_room_is_renewed():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    talk.tokens[room] = "t1"
    talk.ask_for(room)
    talk.commands()
    talk.hear({"id": 2, "subscribe": history(expires=True, ttl=10)})
    talk.tokens[room] = "t2"
    assert talk.tick() == []
    (refresh,) = talk.commands()
    assert refresh["sub_refresh"] == {"channel": "a", "token": "t2"}
    assert talk.hear({"id": refresh["id"], "sub_refresh": {"expires": True, "ttl": 10}}) == []
    talk.tick()
    (refresh,) = talk.commands()
    assert talk.hear({"id": refresh["id"], "error": error(100)}) == []
    talk.tick()
    (refresh,) = talk.commands()
    talk.hear({"id": refresh["id"], "error": error(109)})
    leave, join = talk.commands()
    assert "unsubscribe" in leave
    assert join["subscribe"]["recover"] is True
    talk.hear({"id": leave["id"], "unsubscribe": {}})
    assert talk.hear({"id": join["id"], "error": error(109)}) == [Refused(room, "no (109)")]


@pytest.mark.contract("SE0")
def test_a_token_that_is_no_text_ends_its_room():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    talk.tokens[room] = "t"
    talk.ask_for(room)
    talk.hear({"id": 2, "subscribe": history(expires=True, ttl=10)})
    talk.commands()
    talk.tokens[room] = 5
    assert talk.tick() == [Refused(room, "the token of a subscription is a text")]
    (leave,) = talk.commands()
    assert leave["unsubscribe"] == {"channel": "a"}


@pytest.mark.contract("SE0")
def test_a_renewal_that_is_answered_too_late_changes_nothing():
    talk = Talk.opened()
    room = WireSubscription("a", token="t")
    talk.tokens[room] = "t"
    talk.ask_for(room)
    talk.hear({"id": 2, "subscribe": history(expires=True, ttl=10)})
    talk.tick()
    refresh = talk.commands()[-1]
    talk.hear(ended("a", 2500))
    (join,) = talk.commands()
    said = talk.hear({"id": join["id"], "subscribe": recovered(0)})
    said += talk.hear({"id": refresh["id"], "error": error(103)})
    assert said == [Subscribed(room, recovered=True)]
    assert talk.commands() == []


@pytest.mark.contract("SE0")
def test_a_token_that_cannot_be_made_concerns_its_room():
    talk = Talk.opened({**OURS, "expires": True, "ttl": 10}, token="t")
    a, b = WireSubscription("a", token=lambda: "t"), talk.room("b")
    talk.tokens[a] = ValueError("no keys")
    assert talk.ask_for(a) == [Refused(a, "no keys", is_temporary=True)]
    talk.tokens[a] = "t"
    talk.ask_for(a)
    talk.hear({"id": talk.commands()[-1]["id"], "subscribe": history(expires=True, ttl=10)})
    talk.tokens[a] = talk.tokens[None] = ValueError("later")
    for _ in range(3):
        assert talk.tick() == []
        assert talk.commands() == []
    assert numbers(talk.hear(push("a", 1), push("b", 1))) == [1, 1]
    assert talk.protocol.position(b) == Position(1, "e")


@pytest.mark.contract("SE5")
def test_a_reply_that_cannot_be_understood_concerns_its_room():
    talk = Talk.opened()
    a, b = WireSubscription("a"), talk.room("b")
    talk.ask_for(a)
    number = talk.commands()[-1]["id"]
    assert talk.hear({"id": number, "subscribe": {"offset": "x"}}, push("b", 1)) == [
        Received(1, b, Publication(1, "e"))
    ]
    leave, join = talk.commands()
    assert "unsubscribe" in leave
    talk.hear({"id": leave["id"], "unsubscribe": {}})
    assert talk.hear({"id": join["id"], "subscribe": history()}) == [Subscribed(a)]


def test_a_protocol_has_one_memory_for_each_connection():
    protocol = Centrifuge()
    assert protocol.make_memory() is not protocol.make_memory()
