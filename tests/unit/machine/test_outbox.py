"""The outbox and the flights: what waits, and what is known of what was handed over."""

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Outbox
from sockstore.machine import Outgoing, Queued, Refused
from sockstore.machine.delivery import Flights
from sockstore.machine.outbox import OutboxQueue


def message(size, data="x"):
    return Outgoing(data, size, receipt=None)


def filled(*sizes, **options):
    queue = OutboxQueue(Outbox(**options))
    for number, size in enumerate(sizes):
        queue.offer(message(size, str(number)), 0.0)
    return queue


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
    queue = OutboxQueue(Outbox(ttl=5.0))
    for now in (0.0, 1.0, 2.0):
        queue.offer(message(1, str(now)), now)
    assert queue.next_expiry == 5
    assert queue.take_expired(4.99) == ()
    assert texts(queue.take_expired(6.0)) == ["0.0", "1.0"]
    assert (len(queue), queue.bytes, queue.next_expiry) == (1, 1, 7)


@pytest.mark.contract("OB2")
def test_without_a_time_to_live_nothing_expires():
    queue = filled(1, 1)
    assert queue.next_expiry == math.inf
    assert queue.take_expired(1e12) == ()


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
    queue = OutboxQueue(Outbox(limit=limit, max_bytes=max_bytes, overflow=overflow, ttl=ttl))
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
                for expired in queue.take_expired(now):
                    assert expired is model.popleft()
                assert ttl is None or all(entry.expires_at > now for entry in model)
        assert len(queue) == len(model) <= limit
        assert queue.bytes == sum(entry.size for entry in model) <= max_bytes
    assert queue.take_all() == tuple(model)
    assert (len(queue), queue.bytes) == (0, 0)


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
