"""Messages, requests, history and members of rooms of a Centrifugo server."""

import math

import pytest

from centrifuge_kit import (
    OURS,
    STOCK,
    Entry,
    Talk,
    ended,
    history,
    publication,
    push,
    recovered,
)
from sockstore import RequestFailed
from sockstore.protocols import (
    Answered,
    Member,
    Members,
    Publication,
    Received,
    Settled,
    Subscribed,
    WireSubscription,
)


def stored(command, offset):
    data = {"offset": offset, "epoch": "e", "duplicate": False}
    return {"id": command["id"], "rpc": {"data": data}}


def not_now(command, **more):
    return {"id": command["id"], "error": {"code": 100, "message": "not now", **more}}


def settle(talk, outputs):
    """Do what the machine does: what is settled is not sent again."""
    for output in outputs:
        talk.memory.remove(output.entry)
    return outputs


@pytest.mark.contract("SE2")
def test_a_message_carries_its_id_and_is_acknowledged():
    talk = Talk.opened()
    room = talk.room("a")
    mine, made = talk.send(room, '{"n":1}', Entry("mine")), talk.send(room)
    first, second = talk.commands()
    assert first["rpc"] == {
        "method": "send",
        "data": {"channel": "a", "id": "mine", "data": {"n": 1}},
    }
    assert second["rpc"]["data"]["id"] == made.id != ""
    assert talk.hear(stored(second, 2), stored(first, 1)) == [
        Settled(made, "acknowledged", "", 2),
        Settled(mine, "acknowledged", "", 1),
    ]


@pytest.mark.contract("SE5")
def test_a_stock_server_publishes_at_least_once():
    talk = Talk.opened(STOCK)
    room = talk.room("a")
    entry = talk.send(room, '"hi"')
    (command,) = talk.commands()
    assert command["publish"] == {"channel": "a", "data": "hi"}
    why = "stored at least once: the server knows no ids"
    assert talk.hear({"id": command["id"], "publish": {}}) == [
        Settled(entry, "acknowledged", why, None)
    ]


@pytest.mark.contract("SE2")
def test_a_final_error_refuses_the_message():
    talk = Talk.opened()
    entry = talk.send(talk.room("a"))
    (command,) = talk.commands()
    error = {"code": 107, "message": "too deep"}
    assert talk.hear({"id": command["id"], "error": error}) == [
        Settled(entry, "refused", "the server said: too deep (107)")
    ]


@pytest.mark.contract("SE2")
def test_a_room_sends_only_while_it_is_subscribed():
    talk = Talk()
    room, other = WireSubscription("a"), WireSubscription("b")
    assert not talk.conversation.may_send(None, talk.now)
    talk = Talk.opened()
    talk.ask_for(room)
    assert talk.conversation.may_send(None, talk.now)
    assert not talk.conversation.may_send(room, talk.now)
    assert talk.conversation.may_send(other, talk.now), "the server decides"
    talk.hear({"id": 2, "subscribe": history()})
    assert talk.conversation.may_send(room, talk.now)
    talk.hear(ended("a", 2500))
    assert not talk.conversation.may_send(room, talk.now)
    talk.hear({"id": 3, "subscribe": recovered(0)})
    assert talk.conversation.may_send(room, talk.now)
    talk.hear_text("nonsense")
    assert not talk.conversation.may_send(room, talk.now)


@pytest.mark.contract("SE2")
def test_what_cannot_be_stored_now_is_sent_again_in_order():
    talk = Talk.opened()
    a, b = talk.room("a"), talk.room("b")
    one, two = talk.send(a), talk.send(a)
    first, second = talk.commands()
    assert talk.hear(not_now(first, temporary=True)) == []
    assert list(talk.memory.to_repeat) == [one]
    assert not talk.conversation.may_send(a, talk.now + 60), "one is not answered"
    assert talk.conversation.may_send(b, talk.now)
    assert talk.hear(not_now(second)) == []
    assert list(talk.memory.to_repeat) == [one, two]
    assert not talk.conversation.may_send(a, talk.now)
    assert talk.conversation.deadline == talk.now + 0.5
    assert talk.tick() == []
    assert talk.send(a, entry=one) is one
    (again,) = talk.commands()
    assert again["rpc"]["data"]["id"] == one.id
    talk.hear(not_now(again))
    assert talk.conversation.deadline == talk.now + 1
    talk.tick()
    talk.send(a, entry=one)
    talk.send(a, entry=two)
    again, last = talk.commands()
    settle(talk, talk.hear(stored(again, 1), not_now(last)))
    assert talk.conversation.deadline == talk.now + 0.5, "a success begins anew"
    assert list(talk.memory.to_repeat) == [two]


@pytest.mark.contract("SE2")
def test_a_pause_has_a_longest():
    talk = Talk.opened()
    room, pauses = talk.room("a"), []
    entry = None
    for _ in range(9):
        entry = talk.send(room, entry=entry)
        talk.hear(not_now(talk.commands()[-1]))
        start = talk.now
        for _ in range(9):  # a ping is waited for, too
            if talk.conversation.may_send(room, talk.now):
                break
            talk.hear({})
            talk.frames.clear()
            talk.tick()
        pauses.append(talk.now - start)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 16, 16, 16]


@pytest.mark.contract("SE2")
def test_so_many_are_under_way_and_no_more():
    talk = Talk.opened()
    room = talk.room("a")
    sent = []
    for _ in range(200):
        entry = talk.send(room)
        if entry is None:
            assert talk.conversation.deadline > talk.now
            if len(sent) == 50:
                break
            talk.tick()
            continue
        sent.append(entry)
    assert len(sent) == 50, "half of the burst"
    commands = talk.commands()
    settle(talk, talk.hear(stored(commands[0], 1)))
    talk.tick(talk.now + 1)
    assert talk.send(room) is not None
    stock = Talk.opened(STOCK)
    room = stock.room("a")
    assert sum(stock.send(room) is not None for _ in range(200)) == 128
    large = Talk.opened(STOCK)
    room = large.room("a")
    assert sum(large.send(room, '"' + "x" * 65536 + '"') is not None for _ in range(9)) == 4


@pytest.mark.contract("SE2")
def test_commands_that_wait_for_the_pace_leave_first():
    talk = Talk.opened()
    room = talk.room("a")
    talk.ask_for(*(WireSubscription(str(number)) for number in range(60)))
    assert talk.send(room) is None
    for _ in range(100):
        if talk.send(room) is not None:
            break
        talk.tick()
    names = [next(iter(each.keys() - {"id"})) for each in talk.commands()]
    assert names == ["subscribe"] * 60 + ["rpc"]


# Requests and pages


@pytest.mark.contract("SE0", "OB5")
def test_a_request_is_an_rpc():
    talk = Talk.opened()
    encode, request = talk.protocol.encode_request, talk.conversation.request
    talk.frames += request(encode({"method": "sum", "data": [1]}), None, "r1")
    talk.frames += request(encode({"method": "sum"}), None, "r2")
    talk.frames += request(encode({"method": "sum"}), None, "r3")
    first, second, third = talk.commands()
    assert first["rpc"] == {"method": "sum", "data": [1]}
    said = talk.hear(
        {"id": second["id"], "error": {"code": 104, "message": "unknown"}},
        {"id": first["id"], "rpc": {"data": 1}},
    )
    failed, answered = said
    assert isinstance(failed.error, RequestFailed)
    assert (failed.error.code, failed.error.message) == (104, "unknown")
    assert answered == Answered("r1", 1)
    talk.conversation.forget("r3")
    talk.conversation.forget("r3")
    assert talk.hear({"id": third["id"], "rpc": {"data": 1}}) == []


@pytest.mark.contract("OB5")
@pytest.mark.parametrize(
    "data", [5, {}, {"method": 5}, {"method": "m", "params": 1}, {"method": "m", "data": object()}]
)
def test_what_is_no_request(data):
    with pytest.raises(TypeError):
        Talk().protocol.encode_request(data)


@pytest.mark.contract("SE1", "SE7")
def test_a_page_of_older_messages():
    talk = Talk.opened()
    room = talk.room("a", history(9))
    talk.frames += talk.conversation.history(room, 2, None, "newest")
    talk.frames += talk.conversation.history(room, 2, 8, "before")
    talk.frames += talk.conversation.history(room, 2, 8, "bad")
    talk.frames += talk.conversation.history(room, 2, 8, "odd")
    newest, before, bad, odd = talk.commands()
    assert newest["history"] == {"channel": "a", "limit": 2, "reverse": True}
    assert before["history"]["since"] == {"offset": 8, "epoch": "e"}
    page = {"epoch": "e", "offset": 9, "publications": [publication(9), publication(8)]}
    (answered,) = talk.hear({"id": newest["id"], "history": page})
    assert answered == Answered(
        "newest",
        [Received(8, room, Publication(8, "e")), Received(9, room, Publication(9, "e"))],
    )
    assert talk.hear({"id": before["id"], "history": {}}) == [Answered("before", [])]
    said = talk.hear(
        {"id": bad["id"], "error": {"code": 108, "message": "not available"}},
        {"id": odd["id"], "history": {"publications": [5]}},
    )
    assert [each.error.code for each in said] == [108, None]


# Members


def ann(client="1"):
    return {"client": client, "user": "Ann"}


def news(channel, what, client):
    return {"push": {"channel": channel, what: {"info": ann(client)}}}


@pytest.mark.contract("SE0", "SE7")
def test_members_are_asked_for_and_kept():
    talk = Talk.opened()
    room = talk.room("a", params={"join_leave": True})
    (presence,) = talk.commands()
    assert presence["presence"] == {"channel": "a"}
    early = talk.hear(news("a", "leave", "1"), news("a", "join", "3"))
    assert early == []
    both = {"1": ann("1"), "2": {"client": "2", "user": ""}}
    two, three = Member("2"), Member("3", "Ann")
    assert talk.hear({"id": presence["id"], "presence": {"presence": both}}) == [
        Members(room, (two, three))
    ]
    assert talk.hear(news("a", "join", "3"), news("a", "leave", "9")) == []
    assert talk.hear(news("a", "leave", "2")) == [Members(room, (three,))]
    assert talk.hear(news("a", "join", "4")) == [Members(room, (three, Member("4", "Ann")))]


@pytest.mark.contract("SE0")
@pytest.mark.parametrize(
    "answer", [{"error": {"code": 108, "message": "no"}}, {"presence": {"presence": 5}}]
)
def test_a_server_that_does_not_tell_who_is_there(answer):
    talk = Talk.opened()
    talk.room("a", params={"join_leave": True})
    (presence,) = talk.commands()
    assert talk.hear({"id": presence["id"], **answer}, news("a", "join", "1")) == []


@pytest.mark.contract("SE0", "SE7")
def test_a_list_of_members_that_comes_too_late_is_not_told():
    talk = Talk.opened()
    room = talk.room("a", params={"join_leave": True})
    (presence,) = talk.commands()
    talk.hear(ended("a", 2500))
    (join,) = talk.commands()
    assert talk.hear({"id": presence["id"], "presence": {"presence": {"1": ann()}}}) == []
    said = talk.hear({"id": join["id"], "subscribe": recovered(0)}, push("a", 1))
    assert said == [Subscribed(room, recovered=True), Received(1, room, Publication(1, "e"))]


def test_nothing_is_waited_for_without_a_reason():
    talk = Talk.opened({**OURS, "ping": None})
    talk.room("a")
    assert talk.conversation.deadline is None
    assert talk.conversation.may_send(None, math.inf)
