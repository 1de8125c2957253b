"""The outbox and the flights: what waits, and what is known of what was handed over."""

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Outbox
from sockstore.machine import Outgoing, Queued, Refused, sending
from sockstore.machine.delivery import Flights
from sockstore.machine.outbox import Expiries, OutboxQueue


def message(size, data="x"):
    return Outgoing(data, size, receipt=None)


def filled(*sizes, **options):
    queue = OutboxQueue(Outbox(**options))
    for number, size in enumerate(sizes):
        queue.offer(message(size, str(number)), 0.0)
    return queue


def message_with(size=1, data="x", *, key=None, urgent=False, expires_at=math.inf):
    entry = message(size, data)
    entry.key, entry.urgent, entry.expires_at = key, urgent, expires_at
    entry.receipt = object()
    return entry


def timed(**options):
    expiries = Expiries()
    return OutboxQueue(Outbox(**options), expiries), expiries


def take_expired(queue, expiries, now):
    expired = []
    for entry in expiries.due(now):
        queue.remove(entry)
        expired.append(entry)
    return expired


def texts(entries):
    return [entry.data for entry in entries]


# The outbox


@pytest.mark.contract("OB2")
def test_messages_leave_in_the_order_they_came():
    queue = filled(1, 1, 1)
    assert texts(queue.take() for _ in range(3)) == ["0", "1", "2"]
    assert not queue


@pytest.mark.contract("OB2")
def test_without_an_outbox_nothing_may_wait():
    queue = OutboxQueue(None)
    offer = queue.offer(message(1), 0.0)
    assert isinstance(offer, Refused)
    assert offer.why
    assert not queue
    assert queue.next_expiry == math.inf


@pytest.mark.contract("OB2")
@pytest.mark.parametrize("limits", [{"limit": 2}, {"max_bytes": 20}])
def test_a_full_outbox_refuses_the_newest_and_says_so(limits):
    queue = filled(10, 10, **limits)
    offer = queue.offer(message(1), 0.0)
    assert isinstance(offer, Refused)
    assert offer.why == "the outbox is full"
    assert offer.is_overflow
    assert texts(queue.take_all()) == ["0", "1"]


@pytest.mark.contract("OB2")
@pytest.mark.parametrize(
    ("limits", "dropped"), [({"limit": 3}, ["0"]), ({"max_bytes": 30}, ["0", "1"])]
)
def test_drop_oldest_makes_room_for_the_newest(limits, dropped):
    queue = filled(10, 10, 10, overflow="drop_oldest", **limits)
    offer = queue.offer(message(15, "new"), 0.0)
    assert isinstance(offer, Queued)
    assert texts(offer.dropped) == dropped
    assert texts(queue.take_all()) == [*"012"[len(dropped) :], "new"]


@pytest.mark.contract("OB2")
@pytest.mark.parametrize("overflow", ["refuse", "drop_oldest"])
def test_what_can_never_fit_is_refused_and_drops_nothing(overflow):
    queue = filled(5, max_bytes=10, overflow=overflow)
    offer = queue.offer(message(11), 0.0)
    assert isinstance(offer, Refused)
    assert offer.why == "it is larger than the outbox"
    assert len(queue) == 1


@pytest.mark.contract("OB2")
def test_limits_are_reached_exactly():
    queue = filled(*[1] * 10, limit=10, max_bytes=10)
    assert (len(queue), queue.bytes) == (10, 10)


@pytest.mark.contract("OB2", "OB3")
def test_messages_expire_at_their_time_to_live():
    queue, expiries = timed(ttl=5.0)
    for now in (0.0, 1.0, 2.0):
        queue.offer(message(1, str(now)), now)
    assert queue.next_expiry == 5
    assert take_expired(queue, expiries, 4.99) == []
    assert texts(take_expired(queue, expiries, 6.0)) == ["0.0", "1.0"]
    assert (len(queue), queue.bytes, queue.next_expiry) == (1, 1, 7)


@pytest.mark.contract("OB2")
def test_without_a_time_to_live_nothing_expires():
    queue, expiries = timed()
    queue.offer(message(1), 0.0)
    assert queue.next_expiry == math.inf
    assert take_expired(queue, expiries, 1e12) == []


@pytest.mark.contract("OB2")
@given(
    limit=st.integers(1, 5),
    max_bytes=st.integers(1, 20),
    overflow=st.sampled_from(["refuse", "drop_oldest"]),
    ttl=st.sampled_from([None, 3.0]),
    steps=st.lists(st.one_of(st.integers(0, 25), st.sampled_from(["take", "wait", "expire"]))),
)
def test_the_outbox_is_a_bounded_queue_that_loses_nothing_silently(
    limit, max_bytes, overflow, ttl, steps
):
    queue, expiries = timed(limit=limit, max_bytes=max_bytes, overflow=overflow, ttl=ttl)
    model, now = deque(), 0.0
    for step in steps:
        match step:
            case int(size):
                entry = message(size)
                offer = queue.offer(entry, now)
                if isinstance(offer, Queued):
                    for dropped in offer.dropped:
                        assert dropped is model.popleft()
                    model.append(entry)
            case "take" if model:
                assert queue.take() is model.popleft()
            case "wait":
                now += 1
            case "expire":
                for expired in take_expired(queue, expiries, now):
                    assert expired is model.popleft()
                assert ttl is None or all(entry.expires_at > now for entry in model)
        assert len(queue) == len(model) <= limit
        assert queue.bytes == sum(entry.size for entry in model) <= max_bytes
    assert queue.take_all() == tuple(model)
    assert (len(queue), queue.bytes) == (0, 0)


# Times to live of their own, keys, urgent ones


@pytest.mark.contract("OB6")
def test_a_message_may_have_a_time_to_live_of_its_own():
    queue, expiries = timed(ttl=5.0)
    queue.offer(message_with(data="usual"), 0.0)
    queue.offer(message_with(data="short", expires_at=1.0), 0.0)
    queue.offer(message_with(data="long", expires_at=50.0), 0.0)
    assert queue.next_expiry == 1
    assert texts(take_expired(queue, expiries, 5.0)) == ["short", "usual"]
    assert (texts(queue.entries), queue.next_expiry) == (["long"], 50)


@pytest.mark.contract("OB6")
def test_a_newer_message_with_the_same_key_takes_the_place_of_the_older():
    queue = OutboxQueue(Outbox(limit=3, max_bytes=10))
    for data, key in (("a", "x"), ("b", "y"), ("c", None)):
        queue.offer(message_with(data=data, key=key), 0.0)
    offer = queue.offer(message_with(8, "B", key="y"), 0.0)
    assert (texts(offer.replaced), offer.dropped) == (["b"], ())
    assert (texts(queue.entries), queue.bytes) == (["a", "B", "c"], 10)
    refused = queue.offer(message_with(10, "too much", key="y"), 0.0)
    assert refused.why == "the outbox is full"
    assert texts(queue.entries) == ["a", "B", "c"], "what cannot be queued replaces nothing"


@pytest.mark.contract("OB6")
def test_urgent_messages_leave_before_the_others_and_in_order():
    queue = OutboxQueue(Outbox())
    for data in ("a", "B", "c", "D"):
        queue.offer(message_with(data=data, urgent=data.isupper(), key=data.lower()), 0.0)
    assert texts(queue.entries) == ["B", "D", "a", "c"]
    queue.offer(message_with(data="C", urgent=True, key="c"), 0.0)
    assert texts(queue.entries) == ["B", "D", "C", "a"]
    queue.offer(message_with(data="b", key="b"), 0.0)
    assert texts(queue.entries) == ["b", "D", "C", "a"], "it takes the place"
    queue.offer(message_with(data="E", urgent=True), 0.0)
    assert texts(queue.take_all()) == ["b", "D", "C", "E", "a"]


@pytest.mark.contract("OB6")
def test_urgent_messages_are_dropped_last():
    queue = OutboxQueue(Outbox(limit=2, overflow="drop_oldest"))
    for data in ("A", "b", "C", "D"):
        queue.offer(message_with(data=data, urgent=data.isupper()), 0.0)
    assert texts(queue.entries) == ["C", "D"]


@pytest.mark.contract("OB2", "OB6")
def test_times_of_messages_that_left_take_no_memory():
    queue, expiries = timed(limit=10, overflow="drop_oldest", ttl=1e6)
    for now in range(10_000):
        queue.offer(message(1), float(now))
    assert len(expiries) <= 128


# The line


def line_of(**options):
    return sending.Sending(Outbox(**options), None)


@pytest.mark.contract("OB9")
def test_those_who_wait_for_room_get_in_in_order():
    line = line_of(limit=1)
    line.offer(message_with(data="first"), 0.0)
    for data in "abc":
        offer = line.offer(message_with(data=data), 0.0, may_wait=True)
        assert offer.is_in_line
    assert line.admit(0.0, is_open=False) is None
    line.outbox.take()
    assert isinstance(line.admit(0.0, is_open=False), Queued)
    assert line.admit(0.0, is_open=False) is None
    assert (texts(line.outbox.entries), texts(line.line)) == (["a"], ["b", "c"])
    line.outbox.take()
    assert line.admit(0.0, is_open=True).entry.data == "b", "it is handed over at once"


@pytest.mark.contract("OB6", "OB9")
def test_a_newer_message_replaces_one_in_line_and_urgent_ones_are_first_there_too():
    line = line_of(limit=1)
    line.offer(message_with(data="first"), 0.0)
    for data in ("a", "b", "C"):
        line.offer(message_with(data=data, key=data, urgent=data.isupper()), 0.0, may_wait=True)
    assert texts(line.line) == ["C", "a", "b"]
    offer = line.offer(message_with(data="A", key="a"), 0.0, may_wait=True)
    assert texts(offer.replaced) == ["a"]
    assert texts(line.line) == ["C", "A", "b"]
    line.outbox.take()
    offer = line.offer(message_with(data="newest", key="a"), 0.0)
    assert (texts(offer.replaced), texts(line.line)) == (["A"], ["C", "b"])


@pytest.mark.contract("OB8", "OB9")
def test_what_waits_in_line_expires_and_is_taken_back_and_dropped():
    line = line_of(limit=1)
    line.offer(message_with(data="first"), 0.0)
    late, back, last = (message_with(data=data) for data in ("late", "back", "last"))
    late.expires_at = 3.0
    for entry in (late, back, last):
        line.offer(entry, 0.0, may_wait=True)
    assert line.deadline == 3
    assert line.expire(3.0)[0].entries == (late,)
    assert line.withdraw([back.receipt])[0].why == sending.TAKEN_BACK
    assert texts(line.drop("over")[0].entries) == ["first", "last"]
    assert not line.line


# Flights


def fates(*flights):
    return [
        "proven" if flight.proven else "unknown" if flight.lost else "sent" for flight in flights
    ]


def three_flights():
    flights = Flights()
    first = flights.current
    flights.seal(b"1")
    second = flights.current
    flights.seal(b"2")
    return flights, (first, second, flights.current)


@pytest.mark.contract("OB3")
def test_a_ping_begins_a_new_flight():
    _, (first, second, third) = three_flights()
    assert len({first, second, third}) == 3


@pytest.mark.contract("OB3")
def test_a_pong_proves_what_went_before_its_ping_and_nothing_after_it():
    flights, all_three = three_flights()
    flights.prove(b"1")
    assert fates(*all_three) == ["proven", "sent", "sent"]


@pytest.mark.contract("OB3")
def test_a_pong_may_skip_older_pings():
    flights, all_three = three_flights()
    flights.prove(b"2")
    assert fates(*all_three) == ["proven", "proven", "sent"]
    flights.prove(b"1")
    assert fates(*all_three) == ["proven", "proven", "sent"]


@pytest.mark.contract("OB3")
def test_an_unknown_pong_proves_nothing():
    flights, all_three = three_flights()
    flights.prove(b"?")
    assert fates(*all_three) == ["sent", "sent", "sent"]


@pytest.mark.contract("OB3")
def test_what_nothing_proved_is_unknown_when_the_connection_broke():
    flights, all_three = three_flights()
    flights.prove(b"1")
    flights.lose()
    assert fates(*all_three) == ["proven", "unknown", "unknown"]


@pytest.mark.contract("OB3")
def test_an_answered_close_proves_everything():
    flights, all_three = three_flights()
    flights.end(proven=True)
    assert fates(*all_three) == ["proven", "proven", "proven"]


@pytest.mark.contract("OB3")
def test_the_first_end_is_final():
    flights, all_three = three_flights()
    flights.lose()
    flights.end(proven=True)
    assert fates(*all_three) == ["unknown", "unknown", "unknown"]
    flights, all_three = three_flights()
    flights.end(proven=True)
    flights.lose()
    assert fates(*all_three) == ["proven", "proven", "proven"]
