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
    turn = book.turn(0.0, is_open=True)
    assert (turn.subscribe, turn.unsubscribe, len(turn.forgotten)) == ([A], [], 1000)
    book.release(A)
    book.want(A)
    assert book.turn(0.0, is_open=True) == Turn([], [])
    assert len(book) == 1


def test_nothing_is_said_while_there_is_no_connection_and_all_of_it_afterwards():
    book = make_book()
    book.want(A)
    book.want(B)
    book.release(B)
    assert book.turn(0.0, is_open=False) == Turn([], [], (B,))
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
    assert book.turn(0.0, is_open=True) == Turn([], [A], (A,))
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
        assert book.deadline(is_open=True) == 10.0 + wait
        assert book.deadline(is_open=False) == math.inf
        assert book.turn(10.0, is_open=True) == Turn([], [])
        assert book.look_at_clock(10.0 + wait, is_open=True)
        assert book.turn(10.0 + wait, is_open=True) == Turn([A], [])
    assert book.refused(Refused(A, "busy", is_temporary=True), 20.0)
    assert book.state_of(A) is None
    assert not book.look_at_clock(100.0, is_open=True)
    assert book.deadline(is_open=True) == math.inf


def test_a_refused_one_is_asked_again_at_once_by_the_next_connection():
    book = opened_with(A)
    book.refused(Refused(A, "busy", is_temporary=True), 0.0)
    book.lost()
    book.opened()
    assert book.turn(0.1, is_open=True) == Turn([A], [])
    assert book.deadline(is_open=True) == math.inf


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
    assert book.turn(5.0, is_open=True) == Turn([], [], (A,))
    assert not book.look_at_clock(100.0, is_open=True)
    assert (book.deadline(is_open=True), len(book)) == (math.inf, 0)


def test_a_released_one_lingers_and_is_taken_back_later_or_wanted_again():
    book = opened_with(A, B)
    book.release(A, until=5.0)
    book.release(B, until=3.0)
    assert book.turn(0.0, is_open=True) == Turn([], [])
    assert book.deadline(is_open=True) == book.deadline(is_open=False) == 3.0
    book.want(B)
    assert not book.look_at_clock(3.0, is_open=True)
    assert book.deadline(is_open=True) == 5.0
    assert book.look_at_clock(5.0, is_open=True)
    assert book.turn(5.0, is_open=True) == Turn([], [A], (A,))
    assert book.deadline(is_open=True) == math.inf


def test_one_that_lingers_is_asked_again_after_a_loss_and_leaves_also_without_a_connection():
    book = opened_with(A)
    book.release(A, until=5.0)
    book.lost()
    book.opened()
    assert book.turn(1.0, is_open=True) == Turn([A], [])
    book.lost()
    assert book.look_at_clock(5.0, is_open=False)
    assert book.turn(5.0, is_open=False) == Turn([], [], (A,))


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
