"""Receipts: what became of one message, to be read, tested or awaited."""

from __future__ import annotations

import asyncio
import gc

import pytest

from sockstore import DeliveryError, Receipt
from sockstore.connection.receipts import Delivery
from sockstore.machine.delivery import Flight

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("OB1", "OB3")]


@pytest.mark.parametrize(
    ("state", "is_true"),
    [
        ("queued", True),
        ("sent", True),
        ("acknowledged", True),
        ("unknown", True),
        ("expired", False),
        ("dropped", False),
        ("refused", False),
    ],
)
def test_it_is_true_if_the_message_was_handed_over_or_queued(state, is_true):
    delivery = Delivery()
    receipt = Receipt(delivery)
    assert receipt.state == "queued"
    assert receipt
    delivery.settle(state, "because")
    assert receipt.state == state
    assert bool(receipt) == is_true
    assert repr(receipt) == f"<Receipt {state}: because>"


def test_a_receipt_without_trouble_has_no_why():
    assert repr(Receipt(Delivery())) == "<Receipt queued>"


def test_sent_becomes_unknown_when_its_flight_is_lost():
    flight, delivery = Flight(), Delivery()
    receipt = Receipt(delivery)
    delivery.hand_over(flight)
    assert receipt.state == "sent"
    flight.lost = True
    assert receipt.state == "unknown"
    delivery.settle("acknowledged")
    assert receipt.state == "acknowledged", "what a server confirmed stays confirmed"


@pytest.mark.parametrize("state", ["sent", "acknowledged"])
async def test_awaiting_returns_the_receipt_itself_once_it_was_handed_over(state):
    delivery = Delivery()
    receipt = Receipt(delivery)
    waiting = [asyncio.ensure_future(wait(receipt)) for _ in range(3)]
    await asyncio.sleep(0)
    delivery.settle(state)
    assert await asyncio.gather(*waiting) == [receipt] * 3
    assert await receipt is receipt


@pytest.mark.parametrize("state", ["expired", "dropped", "refused", "unknown"])
async def test_awaiting_raises_what_happened(state):
    delivery = Delivery()
    receipt = Receipt(delivery)
    waiting = asyncio.ensure_future(wait(receipt))
    await asyncio.sleep(0)
    delivery.settle(state, "of this and that")
    with pytest.raises(DeliveryError, match=f"the message is {state}: of this and that") as caught:
        await waiting
    assert caught.value.state == state
    with pytest.raises(DeliveryError):
        await receipt


async def test_a_lost_flight_is_told_to_who_waits_later():
    flight, delivery = Flight(), Delivery()
    receipt = Receipt(delivery)
    delivery.hand_over(flight)
    flight.lost = True
    with pytest.raises(DeliveryError, match="the message is unknown: the connection broke"):
        await receipt


async def test_cancelling_one_who_waits_disturbs_nobody():
    delivery = Delivery()
    receipt = Receipt(delivery)
    one, other = (asyncio.ensure_future(wait(receipt)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert receipt.state == "queued"
    assert len(delivery.waiters) == 1
    delivery.settle("sent")
    assert await other is receipt
    assert delivery.waiters == ()


async def test_a_receipt_that_nobody_awaits_logs_nothing(caplog):
    contexts: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: contexts.append(it))
    for state in ("expired", "dropped", "refused", "unknown"):
        Delivery().settle(state, "unseen")
    gc.collect()
    await asyncio.sleep(1)
    assert contexts == []
    assert caplog.records == []


@pytest.mark.parametrize("state", ["sent", "dropped"])
async def test_one_who_is_cancelled_in_the_turn_in_which_it_settles_is_cancelled(state):
    delivery = Delivery()
    receipt = Receipt(delivery)
    waiting = asyncio.ensure_future(wait(receipt))
    await asyncio.sleep(0)
    delivery.settle(state)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert receipt.state == state


async def test_a_timeout_on_a_receipt_leaves_it_queued_and_it_can_be_awaited_again():
    delivery = Delivery()
    receipt = Receipt(delivery)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(receipt), 5)
    assert receipt.state == "queued"
    assert delivery.waiters == ()
    asyncio.get_running_loop().call_later(1, delivery.settle, "sent")
    assert await asyncio.wait_for(wait(receipt), 5) is receipt


async def test_one_who_is_woken_after_the_flight_was_lost_too_is_told_the_truth():
    flight, delivery = Flight(), Delivery()
    receipt = Receipt(delivery)
    waiting = asyncio.ensure_future(wait(receipt))
    await asyncio.sleep(0)
    delivery.hand_over(flight)
    flight.lost = True
    with pytest.raises(DeliveryError) as caught:
        await waiting
    assert caught.value.state == "unknown"


def test_a_message_handed_over_without_a_flight_is_sent_for_good():
    delivery = Delivery()
    receipt = Receipt(delivery)
    delivery.hand_over(None)
    assert receipt.state == "sent"
    assert receipt


async def wait(receipt: Receipt) -> Receipt:
    return await receipt
