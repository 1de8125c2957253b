"""Messages on their way out: handed over, queued in order, or refused aloud."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from puppets import Puppeteer

from sockstore import (
    Close,
    DeliveryError,
    InvalidOption,
    Opening,
    Outbox,
    Reconnect,
    WebSocketStore,
)
from sockstore.testing import (
    FakeServer,
    VirtualClock,
    accept,
    assert_no_leaks,
    drop,
    hang,
    pause,
    refuse,
    slow,
)
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


class Colour(enum.Enum):
    RED = "red"


# What goes on the wire


@pytest.mark.contract("OB1")
async def test_text_goes_as_text_bytes_as_binary_and_the_rest_as_json():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        for data in (
            "text",
            '{"already": "json"}',
            b"bytes",
            bytearray(b"array"),
            memoryview(b"view"),
            {"content": "grüße"},
            [1, None, True],
            (1, 2),
            None,
            5,
            Colour.RED,
            dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            "",
        ):
            receipt = connection.send(data)
            assert receipt
            assert receipt.state == "sent"
        await turns(50)
        assert server.received == [
            "text",
            '{"already": "json"}',
            b"bytes",
            b"array",
            b"view",
            '{"content":"grüße"}',
            "[1,null,true]",
            "[1,2]",
            "null",
            "5",
            '"red"',
            '"2026-01-02T03:04:05Z"',
            "",
        ]


@pytest.mark.contract("OB1")
@pytest.mark.parametrize(
    "data", [object(), {"a": object()}, {1, object()}, lambda: None, "\ud800", {"a": "\ud800"}]
)
@pytest.mark.parametrize("is_open", [True, False])
async def test_what_cannot_be_encoded_is_a_type_error_and_nothing_is_sent(data, is_open):
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    if is_open:
        connection.connect()
        await connection.ready()
    with pytest.raises(TypeError, match="data cannot be sent"):
        connection.send(data)
    assert connection.buffered_amount.value == 0
    connection.connect()
    await connection.ready()
    await turns()
    assert server.received == []
    await connection.aclose()


# The outbox


@pytest.mark.contract("OB1", "OB2", "OB3")
async def test_messages_wait_in_idle_connecting_and_waiting_and_leave_in_order():
    server = FakeServer(refuse(), slow(0.5), accept())
    connection = WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND)
    receipts = [connection.send("idle")]
    connection.connect()
    receipts.append(connection.send("connecting"))
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    receipts.append(connection.send("waiting"))
    await asyncio.sleep(1.2)
    receipts.append(connection.send("in the handshake"))
    assert [receipt.state for receipt in receipts] == ["queued"] * 4
    assert all(receipts)
    awaited = [asyncio.ensure_future(it) for it in map(_wait, receipts)]
    await connection.ready()
    assert connection.send("open").state == "sent"
    assert await asyncio.gather(*awaited) == receipts
    await asyncio.sleep(1)
    assert server.received == ["idle", "connecting", "waiting", "in the handshake", "open"]
    await connection.aclose()


async def _wait(receipt):
    return await receipt


@pytest.mark.contract("OB2", "OB3", "CN5")
@pytest.mark.parametrize("phase", ["closing", "closed", "failed"])
async def test_after_the_end_messages_are_refused_and_what_waited_was_dropped(phase):
    server = FakeServer(hang(), *([refuse(404)] if phase == "failed" else []))
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connect()
    waiting = connection.send("never sent")
    await turns()
    if phase == "failed":
        connection.reconnect()
        await connection.phase.wait_for(lambda phase: phase == "failed")
    else:
        connection.close()
        if phase == "closed":
            await connection.aclose()
    assert connection.phase.value == phase
    refused = connection.send("too late")
    assert not refused
    assert refused.state == "refused"
    assert refused.why == f"the connection is {phase}"
    assert waiting.state == "dropped"
    assert connection.buffered_amount.value == 0
    for receipt in (refused, waiting):
        with pytest.raises(DeliveryError, match=f"the message is {receipt.state}: "):
            await receipt
    connection.connect()
    await connection.ready()
    await turns()
    assert server.received == [], "a new life sends nothing of the old one"
    await connection.aclose()


@pytest.mark.contract("OB2")
async def test_without_an_outbox_a_message_is_refused_while_not_open():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, outbox=None)
    assert connection.send("x").state == "refused"
    async with connection:
        assert connection.send("x").state == "refused"
        await connection.ready()
        assert connection.send("y").state == "sent"
        server.connection.stall()
        states = collections.Counter(connection.send(b"z" * 30_000).state for _ in range(10))
        assert states == {"sent": 3, "refused": 7}, "memory stays bounded also while open"


@pytest.mark.contract("OB2", "OB3")
async def test_messages_expire_in_the_outbox():
    server = FakeServer(refuse(), refuse(), accept())
    outbox = Outbox(ttl=1.5)
    async with WebSocketStore(
        "ws://fake", transport=server, outbox=outbox, reconnect=EVERY_SECOND
    ) as connection:
        early = connection.send("early")
        await asyncio.sleep(1.2)
        late = connection.send("late")
        await asyncio.sleep(0.29)
        assert early.state == "queued"
        await asyncio.sleep(0.02)
        assert early.state == "expired"
        with pytest.raises(DeliveryError, match="expired: it waited too long"):
            await early
        await late
        await turns()
        assert server.received == ["late"]


@pytest.mark.contract("OB2", "ST11", "CN1")
def test_messages_queued_without_a_loop_wait_for_one():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, outbox=Outbox(limit=2))
    receipts = [connection.send(n) for n in range(3)]
    assert [receipt.state for receipt in receipts] == ["queued", "queued", "refused"]

    async def deliver() -> None:
        async with connection:
            await connection.drain(5)
            await turns()

    VirtualClock().run(deliver())
    assert [receipt.state for receipt in receipts] == ["sent", "sent", "refused"]
    assert server.received == ["0", "1"]


@pytest.mark.contract("OB2", "OB3")
async def test_a_full_outbox_refuses_the_new_or_drops_the_oldest():
    async def story(**options) -> tuple[list[str], list[str | bytes]]:
        server = FakeServer()
        connection = WebSocketStore("ws://fake", transport=server, outbox=Outbox(**options))
        receipts = [connection.send(text) for text in ("aaa", "bbb", "ccc", "dddddddd", "e" * 11)]
        async with connection:
            await connection.ready()
            await turns()
        return [receipt.state for receipt in receipts], server.received

    assert await story(limit=2) == (["sent"] * 2 + ["refused"] * 3, ["aaa", "bbb"])
    assert await story(limit=2, overflow="drop_oldest") == (
        ["dropped"] * 3 + ["sent"] * 2,
        ["dddddddd", "e" * 11],
    )
    assert await story(max_bytes=10) == (["sent"] * 3 + ["refused"] * 2, ["aaa", "bbb", "ccc"])
    assert await story(max_bytes=10, overflow="drop_oldest") == (
        ["dropped"] * 3 + ["sent", "refused"],
        ["dddddddd"],
    ), "one that can never fit drops nothing"


@pytest.mark.contract("OB2")
def test_the_outbox_counts_utf_8_bytes():
    connection = WebSocketStore("ws://fake", outbox=Outbox(max_bytes=10))
    assert connection.send("é" * 5)
    assert connection.buffered_amount.value == 10
    assert not connection.send("x")
    for option, value in {"limit": 0, "max_bytes": 0, "ttl": -1, "overflow": "x"}.items():
        with pytest.raises(InvalidOption, match=option):
            Outbox(**{option: value})


@pytest.mark.contract("OB2", "CN11")
async def test_what_on_open_sends_goes_first_on_every_connection():
    async def log_in(opening: Opening) -> None:
        opening.send("login 1")
        await asyncio.sleep(0.5)

        async def helper() -> None:
            opening.connection.send("login 2")

        await asyncio.create_task(helper())

    server = FakeServer(accept(), pause(20), drop(), accept())
    connection = WebSocketStore(
        "ws://fake", transport=server, on_open=log_in, reconnect=EVERY_SECOND
    )
    connection.send("queued")
    async with connection:
        await asyncio.sleep(0.2)
        assert connection.send("sent while on_open runs").state == "queued"
        await connection.ready()
        await asyncio.sleep(20)
        connection.send("queued again")
        await connection.ready()
        await turns()
        one, two = (peer.received for peer in server.connections)
        assert one == ["login 1", "login 2", "queued", "sent while on_open runs"]
        assert two == ["login 1", "login 2", "queued again"]


@pytest.mark.contract("OB2")
async def test_what_a_failed_on_open_left_behind_stays_queued_in_order():
    attempts: list[int] = []

    async def log_in(opening: Opening) -> None:
        attempts.append(opening.send("login").state == "sent")
        if len(attempts) == 1:
            raise ValueError("not today")

    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake", transport=server, on_open=log_in, reconnect=EVERY_SECOND
    )
    for text in ("a", "b"):
        connection.send(text)
    async with connection:
        await connection.ready()
        await turns()
        assert [peer.received for peer in server.connections] == [["login"], ["login", "a", "b"]]


@pytest.mark.contract("OB2", "OB3", "OB4")
async def test_what_a_broken_flush_did_not_hand_over_stays_queued_in_order():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=EVERY_SECOND)
    receipts = [connection.send(text) for text in "abcde"]
    connection.connect()
    await turns()
    puppet = puppeteer.newest

    def send(data: str | bytes) -> None:
        puppet.sent.append(data)
        if data == "b":
            puppet.listener.writing_paused()

    puppet.send = send
    await puppeteer.opened()
    assert puppet.sent == ["a", "b"]
    puppet.end()
    assert [receipt.state for receipt in receipts] == ["unknown"] * 2 + ["queued"] * 3
    with pytest.raises(DeliveryError, match="unknown"):
        await receipts[0]
    receipts.append(connection.send("f"))
    await connection.phase.wait_for(lambda phase: phase == "connecting")
    new = await puppeteer.opened()
    assert new.sent == ["c", "d", "e", "f"]
    connection.close()
    new.end(Close(1000, clean=True))
    assert [receipt.state for receipt in receipts[2:]] == ["sent"] * 4, "the close was answered"


# Receipts


@pytest.mark.contract("OB3", "LV1")
async def test_what_a_later_pong_or_the_answer_to_our_close_proved_stays_sent():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=False)
    connection.connect()
    puppet = await puppeteer.opened()
    proven = connection.send("before the ping")
    await asyncio.sleep(20)
    unproven = connection.send("after the ping")
    puppet.pong()
    puppet.end()
    assert (proven.state, unproven.state) == ("sent", "unknown")
    assert unproven, "it was handed over, so it counts as true"
    assert await proven is proven
    connection.connect()
    puppet = await puppeteer.opened()
    both_closed_at_once = connection.send("x")
    connection.close()
    puppet.end(Close(1001, clean=True))
    assert both_closed_at_once.state == "unknown"


@pytest.mark.contract("OB3")
async def test_a_receipt_that_nobody_awaits_says_nothing(caplog):
    connection = WebSocketStore("ws://fake", transport=FakeServer(), outbox=Outbox(limit=1))
    for _ in range(5):
        connection.send("x")
    connection.close()
    assert caplog.records == []


# Backpressure


@pytest.mark.contract("OB4", "OB2")
async def test_above_the_high_water_mark_messages_wait_and_drain_resumes():
    server = FakeServer()
    amounts: list[int] = []
    async with WebSocketStore("ws://fake", transport=server) as connection:
        connection.buffered_amount.subscribe(amounts.append)
        await connection.ready()
        server.connection.stall()
        receipts = [connection.send(b"x" * 20_000) for _ in range(10)]
        states = [receipt.state for receipt in receipts]
        assert states == ["sent"] * 4 + ["queued"] * 6
        assert connection.buffered_amount.value == 200_000
        assert amounts == [20_000 * n for n in range(11)]
        draining = asyncio.create_task(connection.drain())
        with pytest.raises(TimeoutError):
            await connection.drain(timeout=1)
        await asyncio.sleep(100)  # pings are answered, so it stays open
        assert connection.connected.value
        assert not draining.done()
        server.connection.resume()
        await draining
        await turns(20)
        assert [receipt.state for receipt in receipts] == ["sent"] * 10
        assert len(server.received) == 10
        await asyncio.sleep(20)
        assert connection.buffered_amount.value == 0
        assert amounts[-1] == 0


@pytest.mark.contract("OB4", "OB2")
async def test_a_peer_that_stops_reading_during_on_open_holds_back_the_others():
    async def flood(opening: Opening) -> None:
        server.connection.stall()
        for _ in range(5):
            assert opening.send(b"x" * 20_000).state == "sent", "on_open goes before all others"

    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, on_open=flood) as connection:
        waiting = connection.send("waits")
        await connection.ready()
        assert waiting.state == "queued"
        assert connection.send("waits too").state == "queued"
        server.connection.resume()
        await connection.drain(1)
        await turns()
        assert server.received[-2:] == ["waits", "waits too"]


@pytest.mark.contract("OB4")
async def test_drain_waits_through_reconnects_and_raises_when_it_is_over():
    server = FakeServer(refuse(), refuse(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        await connection.drain()
        for n in range(10):
            connection.send(n)
        await connection.drain(5)
        assert connection.phase.value == "open"
        server.go_down()
        await turns()
        connection.send("never")
        draining = asyncio.create_task(connection.drain())
        await asyncio.sleep(3)
        connection.close()
        with pytest.raises(DeliveryError, match="dropped: the connection was closed"):
            await draining
    assert server.received == [str(n) for n in range(10)]


@pytest.mark.contract("OB4")
async def test_cancelling_drain_leaves_what_is_queued_alone():
    server = FakeServer(refuse(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        connection.send("x")
        draining = asyncio.create_task(connection.drain())
        await asyncio.sleep(0.5)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        await connection.drain()
        await turns()
        assert server.received == ["x"]


@pytest.mark.contract("OB4", "ST9")
async def test_a_subscriber_of_buffered_amount_may_send_and_the_order_stays():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    once: list[int] = []

    def reply(amount: int) -> None:
        if connection.connected.value and not once:
            once.append(amount)
            connection.send("from the subscriber")

    connection.buffered_amount.subscribe(reply)
    for text in "abc":
        connection.send(text)
    async with connection:
        await connection.ready()
        connection.send("d")
        await turns(20)
        assert [text for text in server.received if len(text) == 1] == ["a", "b", "c", "d"]
        assert "from the subscriber" in server.received


@pytest.mark.contract("OB2")
async def test_a_subscriber_that_sends_the_moment_it_is_open_does_not_overtake():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connected.subscribe(lambda connected: connected and connection.send("now open"))
    connection.send("queued")
    async with connection:
        await connection.ready()
        await turns()
        assert server.received == ["queued", "now open"]


# Threads


@pytest.mark.contract("ST12", "OB1", "CN5")
async def test_another_thread_is_refused_and_told_how_and_call_threadsafe_works():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()

        def from_a_thread() -> list[str]:
            refusals = []
            for act in (
                lambda: connection.send("x"),
                connection.close,
                connection.connect,
                connection.reconnect,
                lambda: connection.state.subscribe(print),
            ):
                with pytest.raises(RuntimeError) as caught:
                    act()
                refusals.append(str(caught.value))
            assert connection.connected.value, "reading is allowed anywhere"
            assert len(connection.messages.value) == 0
            receipt = connection.call_threadsafe(connection.send, "by the book").result(5)
            with pytest.raises(TypeError, match="cannot be sent"):
                connection.call_threadsafe(connection.send, object()).result(5)
            assert connection.call_threadsafe(connection.send, data="x").result(5)
            refusals.append(receipt.state)
            return refusals

        *refusals, state = await asyncio.to_thread(from_a_thread)
        assert state == "sent"
        assert len(refusals) == 5
        for refusal in refusals:
            assert "connection.call_threadsafe(function, *arguments)" in refusal
        await turns()
        assert server.received == ["by the book", "x"]
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.contract("ST12")
async def test_a_call_that_was_cancelled_before_its_turn_is_not_made():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        future = connection.call_threadsafe(connection.send, "x")
        assert future.cancel()
        await turns()
        assert server.received == []


# Every phase


@pytest.mark.contract("OB1", "OB2")
async def test_send_never_raises_because_of_the_state_whatever_the_phase():
    states: dict[str, str] = {}

    def send(moment: str) -> None:
        states[moment] = connection.send(moment).state

    async def slow_open(_: Opening) -> None:
        await asyncio.sleep(1)

    async def slow_predicate(outcome: object) -> bool:
        send("deciding")
        await asyncio.sleep(1)
        return connection.messages.total == 0 and len(server.handshakes) < 3

    server = FakeServer(slow(1))
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        on_open=slow_open,
        should_reconnect=slow_predicate,
        reconnect=EVERY_SECOND,
    )
    send("idle")
    connection.connect()
    send("connecting")
    await asyncio.sleep(1.5)
    send("while on_open runs")
    await connection.ready()
    send("open")
    await asyncio.sleep(3)
    server.drop()
    await asyncio.sleep(1.5)
    send("while should_reconnect runs")
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    send("waiting")
    await connection.ready()
    connection.close()
    send("closing")
    await connection.aclose()
    send("closed")
    connection.connect()
    await connection.ready()
    server.drop()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    send("failed")
    assert states == {
        "idle": "queued",
        "connecting": "queued",
        "while on_open runs": "queued",
        "open": "sent",
        "deciding": "queued",
        "while should_reconnect runs": "queued",
        "waiting": "queued",
        "closing": "refused",
        "closed": "refused",
        "failed": "refused",
    }


# on_open


@pytest.mark.contract("OB2")
async def test_what_a_plain_on_open_sends_goes_first_too():
    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake", transport=server, on_open=lambda opening: opening.send("login")
    )
    for text in "abc":
        connection.send(text)
    async with connection:
        await connection.ready()
        connection.send("d")
        await turns()
        assert server.received == ["login", "a", "b", "c", "d"]


@pytest.mark.contract("OB2", "MS4")
async def test_on_open_may_wait_for_an_answer_and_what_is_queued_waits_with_it():
    answers: list[object] = []

    async def log_in(opening: Opening) -> None:
        opening.send("hello")
        answers.append((await opening.receive()).data)
        opening.send("token")

    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake", transport=server, on_open=log_in, reconnect=EVERY_SECOND
    )
    connection.send("queued")
    async with connection:
        for life in (1, 2):
            await asyncio.sleep(5)
            assert server.connection.received == ["hello"]
            queued = connection.send(f"meanwhile {life}")
            assert queued.state == "queued"
            server.send({"challenge": life})
            await connection.ready()
            await turns()
            first = ["queued"] if life == 1 else []
            assert server.connection.received == ["hello", "token", *first, f"meanwhile {life}"]
            server.drop()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert answers == [{"challenge": 1}, {"challenge": 2}]


# Where a message may go


@pytest.mark.contract("OB2", "OB3")
async def test_a_change_of_url_drops_what_is_queued_and_the_same_url_and_reconnect_keep_it():
    server = FakeServer(hang(), hang(), accept())
    connection = WebSocketStore("ws://one", transport=server)
    connection.connect()
    kept_for_one = connection.send("for one")
    await turns()
    connection.connect("ws://one")
    connection.reconnect()
    await turns()
    assert kept_for_one.state == "queued"
    waiting = asyncio.ensure_future(_wait(kept_for_one))
    await turns()
    connection.connect("ws://two")
    assert kept_for_one.state == "dropped"
    with pytest.raises(DeliveryError, match="dropped"):
        await waiting
    for_two = connection.send("for two")
    await connection.ready()
    assert await for_two is for_two
    await turns()
    server.connection.stall()
    held_back = [connection.send(b"x" * 30_000) for _ in range(4)]
    assert [receipt.state for receipt in held_back] == ["sent"] * 3 + ["queued"]
    connection.connect("ws://three")
    assert [receipt.state for receipt in held_back][3] == "dropped"
    await connection.ready()
    await turns()
    assert [peer.target.url for peer in server.connections] == ["ws://two", "ws://three"]
    assert [peer.received for peer in server.connections] == [["for two"], []]
    await connection.aclose()


@pytest.mark.contract("OB2", "OB4")
async def test_what_a_stalled_peer_held_back_goes_to_the_next_connection_in_order():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        await connection.ready()
        server.connection.stall()
        frames = [bytes([n]) * 20_000 for n in range(10)]
        receipts = [connection.send(frame) for frame in frames]
        assert [receipt.state for receipt in receipts] == ["sent"] * 4 + ["queued"] * 6
        server.drop()
        await turns()
        assert [receipt.state for receipt in receipts] == ["unknown"] * 4 + ["queued"] * 6
        assert connection.buffered_amount.value == 120_000
        await connection.drain(10)
        await turns(50)
        assert server.connections[0].received == []
        assert server.connections[1].received == frames[4:]
        for receipt in receipts[:4]:
            with pytest.raises(DeliveryError, match="unknown"):
                await receipt


@pytest.mark.contract("OB4")
async def test_a_peer_that_stalls_again_and_again_gets_everything_once_and_in_order():
    server = FakeServer()
    frames = [n.to_bytes(2, "big") * 5_000 for n in range(300)]
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        most = 0
        for start in range(0, 300, 30):
            server.connection.stall()
            receipts = [connection.send(frame) for frame in frames[start : start + 30]]
            assert receipts[-1].state == "queued"
            most = max(most, connection.buffered_amount.value)
            server.connection.resume()
            if start % 60:
                await connection.drain(5)
        await connection.drain(5)
        await turns(20)
        assert server.received == frames
        assert most > 2**16
        assert connection.buffered_amount.value == 0, "without a subscriber too"


# Receipts through a connection


@pytest.mark.contract("OB3")
async def test_a_pong_proves_what_went_before_its_ping_and_a_drop_makes_the_rest_unknown():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        await connection.ready()
        proven = connection.send("proven")
        await asyncio.sleep(25)
        assert server.connection.pings == 1
        unproven = connection.send("unproven")
        await asyncio.sleep(1)
        server.drop()
        await turns()
        assert (proven.state, unproven.state) == ("sent", "unknown")
        assert await proven is proven
        with pytest.raises(DeliveryError) as caught:
            await unproven
        assert caught.value.state == "unknown"
        await connection.ready()
        by_close = connection.send("proven by the close")
    assert by_close.state == "sent"
    assert server.received == ["proven", "unproven", "proven by the close"]


@pytest.mark.contract("OB3")
async def test_a_frozen_peer_proves_nothing_however_politely_we_close():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connect()
    await connection.ready()
    server.freeze()
    receipt = connection.send("into the void")
    assert receipt.state == "sent"
    await connection.aclose()
    assert receipt.state == "unknown"
    assert server.received == []


@pytest.mark.contract("OB3")
async def test_cancelling_who_awaits_a_receipt_takes_nothing_out_of_the_outbox():
    server = FakeServer(refuse(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        receipts = [connection.send(n) for n in range(3)]
        waiting = [asyncio.ensure_future(_wait(receipt)) for receipt in receipts]
        await turns()
        waiting[1].cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_wait(receipts[2]), 0.1)
        await asyncio.wait(waiting)
        await turns()
        assert waiting[1].cancelled()
        assert [await receipts[n] for n in range(3)] == receipts
        assert server.received == ["0", "1", "2"]


@pytest.mark.contract("OB3")
async def test_receipts_of_every_fate_that_nobody_awaits_log_nothing(caplog):
    server = FakeServer()
    outbox = Outbox(limit=2, ttl=5)
    connection = WebSocketStore(
        "ws://fake", transport=server, outbox=outbox, reconnect=EVERY_SECOND
    )
    for n in range(3):
        connection.send(n)
    connection.connect()
    await connection.ready()
    server.go_down()
    await asyncio.sleep(0.5)
    caplog.clear()
    connection.send("expires")
    await asyncio.sleep(6)
    connection.send("dropped")
    await connection.aclose()
    connection.send("refused")
    # The fixture of this folder asserts that the loop's exception handler heard nothing.
    assert [record for record in caplog.records if "receipt" in record.getMessage().lower()] == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.contract("OB4", "OB3")
async def test_drain_raises_if_the_last_message_expired_and_keeps_its_timeout():
    server = FakeServer(refuse(), refuse(), refuse(), accept())
    async with WebSocketStore(
        "ws://fake", transport=server, outbox=Outbox(ttl=1.5), reconnect=EVERY_SECOND
    ) as connection:
        connection.send("too slow")
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError):
            await connection.drain(0.5)
        assert loop.time() - started == pytest.approx(0.5)
        with pytest.raises(DeliveryError, match="expired"):
            await connection.drain(30)
        assert loop.time() - started == pytest.approx(1.5)
        await connection.ready()
        await connection.drain(0)
        assert server.received == []


# Any story at all

ACTIONS = [
    "send",
    "send",
    "send",
    "large",
    "drop",
    "stall",
    "resume",
    "second",
    "ping",
    "down",
    "up",
]


@pytest.mark.contract("OB2", "OB3", "OB4")
@settings(max_examples=100, deadline=None)
@given(
    script=st.lists(st.sampled_from([*ACTIONS, "reconnect", "turn"]), max_size=40),
    ttl=st.sampled_from([None, 1.5]),
    overflow=st.sampled_from(["refuse", "drop_oldest"]),
)
def test_in_any_story_messages_arrive_once_and_in_order_and_receipts_tell_the_truth(
    script, ttl, overflow
):
    async def story() -> None:
        server = FakeServer()
        outbox = Outbox(limit=5, ttl=ttl, overflow=overflow)
        receipts: list = []
        connection = WebSocketStore(
            "ws://fake", transport=server, outbox=outbox, reconnect=EVERY_SECOND
        )
        async with connection:
            for action in script:
                match action:
                    case "send" | "large":
                        size = 40_000 if action == "large" else 1
                        receipts.append(connection.send(f"{len(receipts)} " + "x" * size))
                    case "drop":
                        server.drop()
                    case "stall" if server.open_connections:
                        server.connection.stall()
                    case "resume" if server.open_connections:
                        server.connection.resume()
                    case "second":
                        await asyncio.sleep(1)
                    case "ping":
                        await asyncio.sleep(21)
                    case "down":
                        server.go_down()
                    case "up":
                        server.come_up()
                    case "reconnect":
                        connection.reconnect()
                    case "turn":
                        await turns(1)
            server.come_up()
            for peer in server.open_connections:
                peer.resume()
            await turns(50)  # it may not have heard of its end yet
            await connection.ready(60)
            server.connection.resume()
            await turns(50)
            assert connection.buffered_amount.value == 0
        arrived = [int(frame.split()[0]) for frame in server.received]
        assert arrived == sorted(set(arrived))
        # A peer that stalls answers pings and closes as usual: what it did not read has arrived
        # at its machine.
        for peer in server.connections:
            peer.resume()
            peer.transport.flush()
        arrived = [int(frame.split()[0]) for frame in server.received]
        assert len(arrived) == len(set(arrived)), "never twice"
        for number, receipt in enumerate(receipts):
            assert receipt.state != "queued"
            if receipt.state in {"expired", "dropped", "refused"}:
                assert number not in arrived, receipt
                assert not receipt
            try:
                assert await receipt is receipt
                assert receipt.state == "sent"
            except DeliveryError as error:
                assert error.state == receipt.state != "sent"  # noqa: PT017 - either may be
            if receipt.state == "sent":
                assert number in arrived, receipt

    async def told() -> None:
        async with assert_no_leaks():
            await story()

    VirtualClock().run(told())
