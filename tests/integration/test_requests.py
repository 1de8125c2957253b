"""Requests and their answers, and a way of one's own to get what was missed; virtual clock."""

from __future__ import annotations

import asyncio
import json

import pytest

from sockstore import (
    DeliveryError,
    Gap,
    InvalidOption,
    Outbox,
    OutcomeUnknown,
    Reconnect,
    RequestFailed,
    WebSocketProvider,
    WebSocketStore,
)
from sockstore.protocols import IdField, JsonRpc, Plain
from sockstore.testing import FakeServer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def asks(server, **options):
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore("ws://fake", transport=server, **options)


async def frames(server, count):
    while len(server.received) < count:
        await asyncio.sleep(0.01)
    return server.received


async def received(server, count):
    return [json.loads(each) for each in await frames(server, count)]


@pytest.mark.contract("OB5")
async def test_the_answer_with_the_id_is_the_answer_and_no_message():
    server = FakeServer()
    async with asks(server) as connection:
        first = asyncio.ensure_future(connection.request({"op": "one"}))
        second = asyncio.ensure_future(connection.request({"op": "two"}))
        one, two = await received(server, 2)
        server.send({"id": two["id"], "is": 2}, {"id": 77}, {"id": True}, {"id": []}, "text")
        assert await second == {"id": two["id"], "is": 2}
        server.send({"id": one["id"], "is": 1}, {"id": one["id"], "is": "late"})
        assert (await first)["is"] == 1
        await connection.messages.wait_for(lambda messages: len(messages) == 5)
        late = {"id": one["id"], "is": "late"}
        assert [m.data for m in connection.messages.value] == [
            {"id": 77},
            {"id": True},
            {"id": []},
            "text",
            late,
        ]


@pytest.mark.contract("OB5")
async def test_json_rpc_returns_results_and_raises_errors():
    server = FakeServer()
    async with asks(server, protocol=JsonRpc()) as connection:
        sums = asyncio.ensure_future(connection.request({"method": "add", "params": [1, 2]}))
        (asked,) = await received(server, 1)
        assert asked == {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": asked["id"]}
        server.send({"jsonrpc": "2.0", "method": "tick"})  # no response
        server.send({"jsonrpc": "2.0", "id": asked["id"], "result": 3})
        assert await sums == 3
        wrong = asyncio.ensure_future(connection.request({"method": "nothing"}))
        _, asked = await received(server, 2)
        error = {"code": -32601, "message": "no such method", "data": [1]}
        server.send({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        with pytest.raises(RequestFailed, match="-32601: no such method") as raised:
            await wrong
        assert (raised.value.code, raised.value.data) == (-32601, [1])
        odd = asyncio.ensure_future(connection.request({"method": "odd"}))
        *_, asked = await received(server, 3)
        server.send({"id": asked["id"], "error": "just text"})
        with pytest.raises(RequestFailed, match="just text"):
            await odd
        for nothing in ("text", {"params": []}, [1]):
            with pytest.raises(TypeError, match="method"):
                await connection.request(nothing)


@pytest.mark.contract("OB5")
async def test_a_format_of_ones_own():
    class Wrapped:
        def wrap(self, data, number):
            return [number, data]

        def number_of(self, data):
            return data[0] if isinstance(data, list) else None

        def result_of(self, data):
            return data[1]

    server = FakeServer()
    async with asks(server, protocol=Plain(requests=Wrapped())) as connection:
        asking = asyncio.ensure_future(connection.request("question"))
        ((number, _),) = await received(server, 1)
        server.send([number, "answer"])
        assert await asking == "answer"
    async with asks(server, protocol=Plain(requests=IdField("reqId"))) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "book"}))
        *_, asked = await received(server, 2)
        server.send({"reqId": asked["reqId"]})
        await asking
        with pytest.raises(TypeError, match="reqId"):
            await connection.request("text")
    with pytest.raises(InvalidOption):
        IdField("")


@pytest.mark.contract("OB5")
@pytest.mark.parametrize("end", ["drop", "close", "reconnect", "goodbye"])
async def test_a_loss_after_hand_over_makes_the_outcome_unknown(end):
    server = FakeServer()
    async with asks(server) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "pay"}))
        await received(server, 1)
        match end:
            case "drop":
                server.drop()
            case "close":
                connection.close()
            case "reconnect":
                connection.reconnect()
            case "goodbye":
                server.close()
        with pytest.raises(OutcomeUnknown, match="before the answer came"):
            await asking


@pytest.mark.contract("OB5")
async def test_an_idempotent_request_is_sent_again_with_its_id():
    server = FakeServer()
    async with asks(server) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "get"}, idempotent=True))
        await received(server, 1)
        server.drop()
        first, again = await received(server, 2)
        assert first == again
        server.send({"id": again["id"]})
        assert await asking == {"id": again["id"]}
        ending = asyncio.ensure_future(connection.request({"op": "get"}, idempotent=True))
        await received(server, 3)
        connection.close()
        with pytest.raises(OutcomeUnknown):
            await ending


@pytest.mark.contract("OB5")
@pytest.mark.parametrize("outbox", [Outbox(limit=5), None])
async def test_what_is_sent_again_leaves_before_anything_newer(outbox):
    server = FakeServer()
    reconnect = Reconnect.linear(interval=8)
    async with WebSocketStore(
        "ws://x", transport=server, reconnect=reconnect, outbox=outbox
    ) as connection:
        await connection.ready()

        def ask(move: int) -> asyncio.Future[object]:
            return asyncio.ensure_future(
                connection.request({"move": move}, timeout=None, idempotent=True)
            )

        asking = [ask(1), ask(2)]
        await turns()
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        if outbox is not None:
            connection.send({"move": 3})
            connection.send({"move": "urgent"}, urgent=True)
            asking.append(ask(4))
            await turns()
            assert connection.send({"move": 5}).state == "refused", "the outbox is full"
        connection.phase.subscribe(
            lambda phase: phase == "open" and connection.send({"move": "at once"})
        )
        await connection.ready()
        await turns()
        moves = [json.loads(frame)["move"] for frame in server.received]
        newer = [] if outbox is None else ["urgent", 3, 4]
        assert moves == [1, 2, 1, 2, *newer, "at once"]
        for each in asking:
            each.cancel()


@pytest.mark.contract("OB5")
async def test_what_was_sent_and_cannot_be_sent_again_has_an_unknown_outcome():
    server = FakeServer()
    async with WebSocketStore("ws://x", transport=server) as connection:
        await connection.ready()
        asking = asyncio.ensure_future(connection.request({"op": "pay"}, idempotent=True))
        await turns()
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        connection.close()
        with pytest.raises(OutcomeUnknown):
            await asking


@pytest.mark.contract("OB5")
async def test_what_waits_for_the_connection_is_asked_once_it_is_open():
    server = FakeServer()
    server.go_down()
    async with asks(server) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "get"}))
        await asyncio.sleep(3)
        assert connection.buffered_amount.value > 0
        assert not server.received
        server.come_up()
        (asked,) = await received(server, 1)
        assert asked["op"] == "get"
        server.send({"id": asked["id"], "value": 7})
        assert await asking == {"id": asked["id"], "value": 7}


@pytest.mark.contract("OB5")
async def test_a_timeout_takes_back_what_was_not_sent():
    server = FakeServer()
    server.go_down()
    async with asks(server) as connection:
        with pytest.raises(TimeoutError, match="no answer to the request within 2 s"):
            await connection.request({"op": "get"}, timeout=2)
        assert connection.buffered_amount.value == 0
        server.come_up()
        await connection.ready()
        with pytest.raises(TimeoutError):
            await connection.request({"op": "late"}, timeout=2)
        assert [json.loads(each)["op"] for each in server.received] == ["late"]
        server.send({"id": 2})  # an answer that nobody waits for any more is a message
        await connection.messages.wait_for(len)


@pytest.mark.contract("OB5")
async def test_what_cannot_be_sent_is_told_at_once():
    server = FakeServer()
    server.go_down()
    async with asks(server, outbox=None) as connection:
        with pytest.raises(DeliveryError, match="refused"):
            await connection.request({"op": "get"})
    async with asks(server, outbox=Outbox()) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "get"}))
        await asyncio.sleep(0)
        connection.close()
        with pytest.raises(DeliveryError, match="dropped"):
            await asking
        with pytest.raises(DeliveryError, match="closed"):
            await connection.request({"op": "get"})
        with pytest.raises(InvalidOption):
            await connection.request({"op": "get"}, timeout=0)


@pytest.mark.contract("OB5")
async def test_cancelling_who_asks_takes_the_request_back():
    server = FakeServer()
    server.go_down()
    async with asks(server) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "get"}))
        await asyncio.sleep(0)
        assert connection.buffered_amount.value > 0
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert connection.buffered_amount.value == 0
        server.come_up()
        await connection.ready()
        connection.send("later")
        await frames(server, 1)
        assert server.received == ["later"]


@pytest.mark.contract("OB5", "MS5")
async def test_an_answer_is_what_the_codec_decodes():
    server = FakeServer()
    codec = (lambda frame: json.loads(frame.removeprefix("v1 ")), json.dumps)
    async with asks(server, codec=codec) as connection:
        asking = asyncio.ensure_future(connection.request({"op": "get"}))
        (asked,) = await received(server, 1)
        server.connection.send(f'v1 {{"id": {asked["id"]}, "is": 1}}', 'v1 {"news": 2}')
        assert await asking == {"id": asked["id"], "is": 1}
        messages = await connection.messages.wait_for(len)
        assert [message.data for message in messages] == [{"news": 2}]


@pytest.mark.contract("OB5", "PV7")
async def test_who_shares_a_connection_may_ask_too():
    server = FakeServer()
    async with (
        WebSocketProvider("ws://fake", transport=server, share=True) as connection,
        WebSocketProvider("ws://fake", transport=server, share=True) as other,
    ):
        first = asyncio.ensure_future(connection.request({"op": "one"}))
        second = asyncio.ensure_future(other.request({"op": "two"}))
        one, two = await received(server, 2)
        assert len(server.open_connections) == 1
        server.send({"id": two["id"], "is": 2}, {"id": one["id"], "is": 1})
        assert (await first)["is"] == 1
        assert (await second)["is"] == 2
        assert not connection.messages.value


# Other servers


@pytest.mark.contract("SE4")
async def test_every_reconnection_is_a_gap_for_streams_that_ask_for_it():
    server = FakeServer()
    async with asks(server) as connection:
        asks_for_gaps = connection.stream(gaps=True, where=lambda message: message.data != "no")
        plain = connection.stream()
        await connection.ready()
        server.send("one")
        server.drop()
        await connection.state.wait_for(lambda state: state.phase == "waiting")
        await connection.ready()
        server.send("no", "two")
        items = [await anext(asks_for_gaps) for _ in range(3)]
        assert [item.data for item in items] == ["one", Gap(None, None, "reconnected"), "two"]
        assert [item.kind for item in items] == ["text", "gap", "text"]
        assert [item.number for item in items] == [1, 1, 3]
        assert [(await anext(plain)).data for _ in range(3)] == ["one", "no", "two"]
        assert connection.messages.total == 3
        with pytest.raises(InvalidOption):
            connection.stream(gaps="yes")
