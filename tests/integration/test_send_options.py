"""Sending with a say in it: until when, instead of what, before what; and taking back."""

from __future__ import annotations

import asyncio
import json

import pytest

from sockstore import (
    DeliveryError,
    InvalidOption,
    Outbox,
    Reconnect,
    ScopeClosed,
    WebSocketProvider,
    WebSocketStore,
)
from sockstore.protocols import JsonRpc, Plain
from sockstore.testing import FakeServer, accept, echo, refuse
from waiting import turns, until

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def states(*receipts):
    return [receipt.state for receipt in receipts]


# Options of a message


@pytest.mark.contract("OB6")
async def test_a_message_with_a_time_to_live_is_not_handed_over_after_it():
    server = FakeServer(refuse(), refuse(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        short = connection.send("short", ttl=1.5)
        usual = connection.send("usual")
        long = connection.send("long", ttl=60)
        await asyncio.sleep(1.6)
        assert states(short, usual, long) == ["expired", "queued", "queued"]
        assert short.why == "it waited too long"
        await connection.drain()
        await turns()
        assert server.received == ["usual", "long"]


@pytest.mark.contract("OB6")
async def test_only_the_newest_of_those_with_one_key_is_sent():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    first = connection.send("x=1", key="x")
    connection.send("other")
    second = connection.send("x=2", key="x")
    third = connection.send("x=3", key="x")
    assert states(first, second, third) == ["dropped", "dropped", "queued"]
    assert first.why == "a newer message with its key took its place"
    async with connection:
        await connection.ready()
        assert connection.send("x=4", key="x").state == "sent", "nothing waits"
        await turns()
        assert server.received == ["x=3", "other", "x=4"]


@pytest.mark.contract("OB6")
async def test_urgent_messages_leave_before_others_that_wait():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        server.connection.stall()
        while connection.send(b"x" * 20_000).state == "sent":
            pass
        connection.send("later")
        connection.send("first", urgent=True)
        connection.send("second", urgent=True)
        server.connection.resume()
        await connection.drain()
        await turns(20)
        texts = [text for text in server.received if isinstance(text, str)]
        assert texts == ["first", "second", "later"]


@pytest.mark.contract("OB6")
async def test_what_may_only_leave_now_is_refused_otherwise():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    early = connection.send("early", now=True)
    assert (early.state, bool(early)) == ("refused", False)
    assert early.why == "it cannot be sent now, and now=True does not let it wait"
    async with connection:
        await connection.ready()
        assert connection.send("now", now=True).state == "sent"
        server.connection.stall()
        while connection.send(b"x" * 20_000).state == "sent":
            pass
        assert connection.send("not now", now=True).state == "refused"


@pytest.mark.contract("OB6")
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ttl", 0),
        ("ttl", -1.0),
        ("ttl", float("nan")),
        ("ttl", "1"),
        ("key", []),
        ("urgent", 1),
        ("now", "yes"),
        ("id", ""),
        ("id", "a b"),
        ("id", "é"),
        ("id", "x" * 65),
        ("id", 7),
    ],
)
async def test_a_bad_value_is_refused_and_nothing_is_sent(option, value):
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        with pytest.raises(InvalidOption, match=option):
            connection.send("x", **{option: value})
        if option != "now":
            with pytest.raises(InvalidOption, match=option):
                await connection.asend("x", **{option: value})
        await turns()
        assert server.received == []


@pytest.mark.contract("OB6", "OB8")
@pytest.mark.parametrize("protocol", [None, Plain(), JsonRpc()])
@pytest.mark.parametrize("is_open", [True, False])
async def test_an_id_where_messages_have_none_is_a_type_error(protocol, is_open):
    connection = WebSocketStore("ws://fake", transport=FakeServer(), protocol=protocol)
    if is_open:
        connection.connect()
        await connection.ready()
    with pytest.raises(TypeError, match="messages have no ids on this connection"):
        connection.send("x", id="mine")
    with pytest.raises(TypeError, match="messages have no ids"):
        await connection.asend("x", id="mine")
    receipt = connection.send("x")
    assert receipt.id is None
    await connection.aclose()


# Size


@pytest.mark.contract("OB9")
@pytest.mark.parametrize("protocol", [None, Plain()])
async def test_a_message_larger_than_the_server_takes_is_refused_here(protocol):
    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake", transport=server, outbox=Outbox(max_message_bytes=10), protocol=protocol
    )
    waiting = connection.send("x" * 11)
    async with connection:
        await connection.ready()
        receipt = connection.send("ü" * 6)
        assert states(waiting, receipt) == ["refused", "refused"]
        assert receipt.why == "it has 12 bytes; Outbox(max_message_bytes=10) allows no more"
        assert (await connection.asend("x" * 11)).state == "refused"
        assert connection.send("x" * 10).state == "sent"
        await turns()
        assert server.received == ["x" * 10]
        assert connection.connected.value


@pytest.mark.contract("OB9")
async def test_a_frame_that_became_too_large_is_refused_and_its_request_fails():
    outbox = Outbox(max_message_bytes=30)
    connection = WebSocketStore(
        "ws://fake", transport=FakeServer(), outbox=outbox, protocol=JsonRpc()
    )
    async with connection:
        await connection.ready()
        with pytest.raises(DeliveryError, match="larger than the server takes"):
            await connection.request({"method": "m"})


# Taking back


@pytest.mark.contract("OB8")
async def test_what_waits_can_be_taken_back_and_what_left_cannot():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    kept, taken = connection.send("kept"), connection.send("taken")
    waiting = asyncio.ensure_future(taken)
    await turns()
    assert taken.cancel() is True
    assert (taken.state, taken.why, bool(taken)) == ("dropped", "it was taken back", False)
    assert taken.cancel() is False
    with pytest.raises(DeliveryError, match="taken back"):
        await waiting
    async with connection:
        await connection.ready()
        at_once = connection.send("at once")
        assert (kept.cancel(), at_once.cancel()) == (False, False)
        await turns()
        assert server.received == ["kept", "at once"]
    assert states(kept, at_once) == ["sent", "sent"]


@pytest.mark.contract("OB8")
async def test_clearing_the_outbox_returns_what_would_have_left():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    receipts = [connection.send(data) for data in ("text", b"bytes", {"n": 1})]
    receipts.append(connection.send("first", urgent=True))
    assert connection.clear_outbox() == ["first", "text", b"bytes", '{"n":1}']
    assert connection.clear_outbox() == []
    assert set(states(*receipts)) == {"dropped"}
    assert connection.buffered_amount.value == 0
    async with connection:
        await connection.ready()
        await turns()
        assert server.received == []


@pytest.mark.contract("OB8", "OB5")
@pytest.mark.parametrize("protocol", [None, JsonRpc()])
async def test_a_request_that_is_taken_back_fails_at_once(protocol):
    connection = WebSocketStore("ws://fake", transport=FakeServer(), protocol=protocol)
    connection.send("x")
    asking = asyncio.create_task(connection.request({"method": "m"}))
    await turns()
    assert connection.clear_outbox() == ["x"]
    with pytest.raises(DeliveryError, match="taken back"):
        await asking


@pytest.mark.contract("OB4", "OB6", "OB8")
async def test_drain_waits_for_all_and_forgives_what_was_taken_back():
    server = FakeServer(refuse(), refuse(), accept())
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        connection.send("usual")
        connection.send("x=1", key="x")
        last = connection.send("urgent", urgent=True)
        draining = asyncio.create_task(connection.drain())
        await turns()
        connection.send("x=2", key="x")
        last.cancel()
        await draining
        await turns()
        assert server.received == ["usual", "x=2"]


# Waiting for room


@pytest.mark.contract("OB9")
async def test_asend_waits_for_room_and_keeps_the_order():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, outbox=Outbox(limit=2))
    assert states(*[await connection.asend(n) for n in (0, 1)]) == ["queued", "queued"]
    sending = [asyncio.create_task(connection.asend(n)) for n in range(2, 8)]
    await turns()
    assert not any(task.done() for task in sending)
    assert connection.send("full").state == "refused"
    async with connection:
        await connection.ready()
        receipts = [await task for task in sending]
        await connection.drain()
        await turns()
        assert set(states(*receipts)) == {"sent"}
        assert server.received == [str(n) for n in range(8)]
        assert (await connection.asend("at once")).state == "sent"


@pytest.mark.contract("OB9")
async def test_asend_waits_while_the_peer_does_not_read():
    server = FakeServer()
    outbox = Outbox(limit=3)
    async with WebSocketStore("ws://fake", transport=server, outbox=outbox) as connection:
        await connection.ready()
        server.connection.stall()
        done: list[int] = []

        async def produce() -> None:
            for n in range(50):
                assert await connection.asend(n.to_bytes(1, "big") * 20_000)
                done.append(n)

        producing = asyncio.create_task(produce())
        await asyncio.sleep(5)
        assert len(done) == 4 + 3, "four above the high-water mark, three in the outbox"
        server.connection.resume()
        await producing
        await connection.drain()
        await turns(20)
        assert [frame[0] for frame in server.received] == list(range(50))


@pytest.mark.contract("OB9")
async def test_a_cancelled_asend_sends_nothing():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, outbox=Outbox(limit=1))
    first = connection.send("first")
    sending = [asyncio.create_task(connection.asend(text)) for text in ("in line", "goes")]
    await turns()
    sending[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending[0]
    first.cancel()  # there is room, and the next one is in
    assert not sending[1].done()
    sending[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending[1]
    assert connection.clear_outbox() == []
    await connection.aclose()


@pytest.mark.contract("OB9")
async def test_the_end_of_the_connection_ends_asend_with_a_refused_receipt():
    connection = WebSocketStore("ws://fake", transport=FakeServer(), outbox=Outbox(limit=1))
    connection.send("first")
    sending = asyncio.create_task(connection.asend("second"))
    late = asyncio.create_task(connection.asend("third", ttl=2.0))
    connection.connect()
    await turns(1)
    connection.close()
    receipt = await sending
    assert (receipt.state, receipt.why) == ("dropped", "the connection was closed")
    assert not await late
    assert (await connection.asend("after")).state == "refused"
    await connection.aclose()


@pytest.mark.contract("OB9", "OB6")
async def test_who_waits_in_line_expires_there():
    server = FakeServer(*[refuse()] * 5)
    outbox = Outbox(limit=1)
    async with WebSocketStore(
        "ws://fake", transport=server, outbox=outbox, reconnect=EVERY_SECOND
    ) as connection:
        connection.send("first")
        receipt = await connection.asend("late", ttl=2.0)
        assert receipt.state == "expired"


@pytest.mark.contract("OB9", "OB2")
async def test_without_an_outbox_asend_waits_until_it_can_be_handed_over():
    server = FakeServer(refuse(), accept())
    async with WebSocketStore(
        "ws://fake", transport=server, outbox=None, reconnect=EVERY_SECOND
    ) as connection:
        assert connection.send("now or never").state == "refused"
        assert (await connection.asend("patient")).state == "sent"
        await turns()
        assert server.received == ["patient"]


# Ids on the wire


def ids_of(frames):
    return [json.loads(frame)["id"] for frame in frames]


@pytest.mark.contract("OB11", "OB5")
@pytest.mark.parametrize("protocol", [None, Plain(), JsonRpc()])
async def test_ids_are_given_when_a_request_leaves_and_begin_anew_with_each_connection(protocol):
    server = FakeServer()
    connection = WebSocketStore(
        "ws://fake", transport=server, reconnect=EVERY_SECOND, protocol=protocol
    )
    early = [
        asyncio.create_task(connection.request({"method": "a"}, idempotent=True)) for _ in range(2)
    ]
    gone = asyncio.create_task(connection.request({"method": "gone"}))
    await turns()
    gone.cancel()
    await turns()
    connection.connect()
    await connection.ready()
    late = asyncio.create_task(connection.request({"method": "b"}, idempotent=True))
    await turns()
    assert ids_of(server.connection.received) == [1, 2, 3]
    server.drop()
    await until(lambda: len(server.connections) == 2)
    await connection.ready()
    await turns()
    assert ids_of(server.connections[1].received) == [1, 2, 3]
    for number in (3, 2, 1):
        server.connection.send(json.dumps({"jsonrpc": "2.0", "id": number, "result": number}))
    answers = await asyncio.gather(*early, late)
    if not isinstance(protocol, JsonRpc):
        answers = [answer["result"] for answer in answers]
    assert answers == [1, 2, 3]
    await connection.aclose()


@pytest.mark.contract("OB11", "OB5")
async def test_an_answer_of_an_earlier_connection_answers_nothing():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        await connection.ready()
        asking = asyncio.create_task(connection.request({"op": "x"}, idempotent=True))
        await turns()
        seen: list[object] = []
        connection.messages.on_append(lambda message: seen.append(message.data))
        server.drop()
        await turns()
        connection.phase.subscribe(
            lambda phase: phase == "open" and server.connection.send('{"id": 7, "op": "news"}')
        )
        await connection.ready()
        await turns()
        assert seen == [{"id": 7, "op": "news"}]
        server.connection.send('{"id": 1, "op": "answer"}')
        assert await asking == {"id": 1, "op": "answer"}


@pytest.mark.contract("OB5", "OB11")
async def test_what_the_program_changes_later_is_not_sent():
    server = FakeServer(accept(), echo())
    connection = WebSocketStore("ws://fake", transport=server)
    question = {"op": ["x"]}
    asking = asyncio.create_task(connection.request(question))
    await turns()
    question["op"].append("changed")
    async with connection:
        assert (await asking)["op"] == ["x"]


# Losing on purpose


@pytest.mark.contract("RC12")
async def test_a_loss_that_the_program_declares_is_one():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        connection.lose("nothing is open yet")
        await connection.ready()
        receipt = connection.send("unproven")
        connection.lose("the sequence has a hole")
        assert connection.phase.value == "waiting"
        assert "the sequence has a hole" in str(connection.error.value)
        assert (connection.stats().losses, receipt.state) == (1, "unknown")
        assert connection.state.value.attempt == 1
        assert any("the sequence has a hole" in str(event) for event in connection.timeline.value)
        connection.lose("twice")
        assert "twice" not in str(connection.error.value)
        await connection.ready()
        assert len(server.connections) == 2
        with pytest.raises(InvalidOption, match="why"):
            connection.lose("")


@pytest.mark.contract("RC12")
async def test_a_declared_loss_in_a_callback_delivers_nothing_more():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        seen: list[object] = []

        def look(message):
            seen.append(message.data)
            if message.data == 2:
                connection.lose("two is one too many")

        connection.messages.on_append(look)
        await connection.ready()
        for n in range(5):
            server.connection.send(str(n))
        await turns()
        assert seen == [0, 1, 2]


# Providers and leases


@pytest.mark.contract("CN22", "PV5")
async def test_after_the_provider_nothing_acts_any_more():
    async with WebSocketProvider("ws://fake", transport=FakeServer()) as connection:
        receipt = connection.send("x")
    for act in (
        lambda: connection.send("x", urgent=True),
        lambda: connection.lose("why"),
        connection.clear_outbox,
        lambda: connection.subscribe("key"),
        lambda: connection.handle("name", print),
    ):
        with pytest.raises(ScopeClosed):
            act()
    with pytest.raises(ScopeClosed):
        await connection.asend("x")
    with pytest.raises(ScopeClosed):
        await connection.request({"a": 1})
    assert receipt.cancel() is False


@pytest.mark.contract("CN22", "PV7")
async def test_a_lease_that_is_not_taken_refuses():
    async with WebSocketProvider(
        "ws://fake", transport=FakeServer(), share=True, auto_connect=False, protocol=JsonRpc()
    ) as lease:
        assert lease.send("x", ttl=1.0).state == "refused"
        assert (await lease.asend("x")).why.startswith("this share of the connection")
        with pytest.raises(DeliveryError, match="connect"):
            await lease.request({"method": "m"})
        for act in (
            lambda: lease.lose("why"),
            lambda: lease.subscribe("key"),
            lambda: lease.handle("name", print),
        ):
            with pytest.raises(RuntimeError, match=r"not in use: connect\(\) first"):
                act()
        assert lease.clear_outbox() == []


@pytest.mark.contract("OB8", "PV7", "CN22")
async def test_a_lease_takes_back_its_own_messages_only():
    server = FakeServer(refuse(), accept())
    options = {"transport": server, "share": True, "reconnect": EVERY_SECOND}
    async with (
        WebSocketProvider("ws://fake", name="x", **options) as one,
        WebSocketProvider("ws://fake", name="x", **options) as other,
    ):
        mine, others = one.send("mine"), other.send("others")
        assert one.clear_outbox() == ["mine"]
        assert states(mine, others) == ["dropped", "queued"]
        await other.ready()
        await turns()
        assert server.received == ["others"]


@pytest.mark.contract("CN22", "PV7")
async def test_giving_a_lease_back_releases_its_subscriptions_and_handlers():
    options = {"transport": FakeServer(), "share": True, "protocol": JsonRpc()}
    async with (
        WebSocketProvider("ws://fake", name="x", **options) as one,
        WebSocketProvider("ws://fake", name="x", **options) as other,
    ):
        mine, others = one.subscribe("news"), other.subscribe("news")
        one.handle("ask", print)
        with pytest.raises(ValueError, match="answered already"):
            other.handle("ask", repr)
        stream = mine.stream()
        one.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        other.handle("ask", repr)
        assert others.state.value.phase in {"waiting", "subscribing", "subscribed"}
        others.unsubscribe()
