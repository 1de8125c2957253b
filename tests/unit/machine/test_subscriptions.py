"""The book of subscriptions: what is asked, when, and how often (SU2, SU6, SU7)."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sockstore import Gap
from sockstore.machine.subscriptions import SubscriptionBook, SubscriptionState, Turn
from sockstore.protocols import Ended, Refused, Subscribed, WireSubscription

A, B = WireSubscription("a"), WireSubscription("b")


def make_book(waits=(1.0, 2.0)):
    return SubscriptionBook(
        lambda failures: waits[failures - 1] if failures <= len(waits) else None
    )


def opened_with(*subscriptions, waits=(1.0, 2.0)):
    book = make_book(waits)
    for each in subscriptions:
        book.want(each)
    book.opened()
    assert book.turn(0.0, is_open=True) == Turn(list(subscriptions), [])
    return book


def test_what_is_wanted_in_one_turn_is_asked_together():
    book = make_book()
    book.want(A)
    book.want(B)
    assert book.turn(0.0, is_open=True) == Turn([A, B], [])
    assert book.turn(0.0, is_open=True) == Turn([], [])


def test_what_came_and_went_in_a_turn_leaves_no_trace():
    book = make_book()
    for n in range(1000):
        subscription = WireSubscription(n)
        book.want(subscription)
        book.release(subscription)
    book.want(A)
    assert book.turn(0.0, is_open=True) == Turn([A], [])
    book.release(A)
    book.want(A)
    assert book.turn(0.0, is_open=True) == Turn([], [])
    assert len(book) == 1


def test_nothing_is_said_while_there_is_no_connection_and_all_of_it_afterwards():
    book = make_book()
    book.want(A)
    book.want(B)
    book.release(B)
    assert book.turn(0.0, is_open=False) == Turn([], [])
    book.opened()
    assert book.turn(0.0, is_open=True) == Turn([A], [])


def test_each_connection_is_asked_once():
    book = opened_with(A, B)
    book.subscribed(Subscribed(A))
    assert set(book.lost()) == {A, B}
    assert book.lost() == []
    book.opened()
    assert book.turn(0.0, is_open=True) == Turn([A, B], [])


def test_what_is_released_is_taken_back_once():
    book = opened_with(A)
    book.subscribed(Subscribed(A))
    book.release(A)
    assert book.turn(0.0, is_open=True) == Turn([], [A])
    assert book.turn(0.0, is_open=True) == Turn([], [])
    assert book.state_of(A) is None


def test_a_subscription_that_comes_again_has_a_gap():
    book = opened_with(A, B)
    assert book.subscribed(Subscribed(A)) is None
    assert book.subscribed(Subscribed(B)) is None
    book.lost()
    book.opened()
    book.turn(0.0, is_open=True)
    assert book.subscribed(Subscribed(A)) == Gap(None, None, "reconnected")
    assert book.subscribed(Subscribed(B, recovered=True)) is None
    assert book.state_of(B) == SubscriptionState("subscribed", recovered=True)


def test_a_temporary_refusal_is_asked_again_by_the_schedule_and_in_the_end_final():
    book = opened_with(A)
    for wait in (1.0, 2.0):
        assert not book.refused(Refused(A, "busy", is_temporary=True), 10.0)
        assert book.state_of(A) == SubscriptionState(error="busy")
        assert book.deadline == 10.0 + wait
        assert book.turn(10.0, is_open=True) == Turn([], [])
        book.retry(10.0 + wait)
        assert book.turn(10.0 + wait, is_open=True) == Turn([A], [])
    assert book.refused(Refused(A, "busy", is_temporary=True), 20.0)
    assert (book.state_of(A), book.deadline) == (None, math.inf)


def test_a_refused_one_is_asked_again_at_once_by_the_next_connection():
    book = opened_with(A)
    book.refused(Refused(A, "busy", is_temporary=True), 0.0)
    book.lost()
    book.opened()
    assert book.turn(0.1, is_open=True) == Turn([A], [])
    assert book.deadline == math.inf


def test_a_final_refusal_or_an_end_is_never_asked_again():
    book = opened_with(A, B)
    assert book.refused(Refused(A, "no"), 0.0)
    assert book.ended(Ended(B))
    assert not book.ended(Ended(B))
    book.lost()
    book.opened()
    assert book.turn(0.0, is_open=True) == Turn([], [])


def test_a_refused_one_that_is_released_is_not_asked_again():
    book = opened_with(A)
    book.refused(Refused(A, "busy", is_temporary=True), 0.0)
    book.release(A)
    assert book.turn(5.0, is_open=True) == Turn([], [])
    assert (book.deadline, len(book)) == (math.inf, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["want", "release", "turn", "lose"]))
    )
)
def test_the_server_has_what_is_wanted_whenever_a_turn_is_over(steps):
    book, wanted, server, is_open = make_book(), set(), set(), True
    subscriptions = {key: WireSubscription(key) for key in "abc"}
    for key, step in [*steps, ("a", "turn")]:
        subscription = subscriptions[key]
        if step == "want":
            book.want(subscription)
            wanted.add(subscription)
        elif step == "release":
            book.release(subscription)
            wanted.discard(subscription)
        elif step == "lose":
            book.lost()
            server.clear()
            is_open = not is_open
            if is_open:
                book.opened()
        else:
            turn = book.turn(0.0, is_open=is_open)
            assert not server.intersection(turn.subscribe), "asked twice"
            assert server.issuperset(turn.unsubscribe), "taken back without being asked"
            server = server.union(turn.subscribe).difference(turn.unsubscribe)
            assert server == (wanted if is_open else set())
