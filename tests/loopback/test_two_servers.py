"""Two server processes on one Redis are one place: messages, presence, and the death of one."""

from __future__ import annotations

import asyncio

import pytest
from tests.loopback.redis_servers import redis_server

from loopback.processes import serving
from sockstore import Reconnect, WebSocketStore
from sockstore.protocols import Centrifuge

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

SECONDS = 30
QUICKLY = Reconnect.exponential(base=0.1, max=0.3, min_uptime=0)


def is_kind(kind):
    return lambda message: isinstance(message.data, dict) and message.data.get("type") == kind


async def following(stream):
    return (await asyncio.wait_for(anext(stream), SECONDS)).data


@pytest.mark.contract("SV1", "SV2", "SV6", "SE1")
async def test_plain_clients_and_rooms_meet_over_two_servers(tmp_path):
    async with redis_server(tmp_path) as redis:
        history = ("--history", redis.url)
        async with serving(0, *history) as one, serving(0, *history) as two:
            plain = WebSocketStore(
                f"ws://127.0.0.1:{one.port}/chat/lobby?name=Ann", reconnect=QUICKLY
            )
            many = WebSocketStore(
                f"ws://127.0.0.1:{two.port}/connection/websocket?name=Bob",
                protocol=Centrifuge(),
                reconnect=QUICKLY,
            )
            plain.connect()
            said = plain.stream(where=is_kind("message"))
            joined = plain.stream(where=is_kind("join"))
            await following(plain.stream(where=is_kind("presence")))
            async with (
                plain,
                many,
                many.subscribe("other") as other,
                many.subscribe("lobby") as lobby,
            ):
                heard = lobby.stream()
                await other.ready(SECONDS)
                await lobby.ready(SECONDS)
                assert (await following(joined))["sender"] == "Bob"
                await lobby.send({"content": "hello from two"})
                message = await following(said)
                assert (message["sender"], message["content"], message["offset"]) == (
                    "Bob",
                    "hello from two",
                    1,
                )
                plain.send({"content": "hello from one", "timestamp": "2026-05-01T10:00:00Z"})
                assert [(await following(heard))["content"] for _ in range(2)] == [
                    "hello from two",
                    "hello from one",
                ]
                late = WebSocketStore(f"ws://127.0.0.1:{two.port}/chat/lobby?name=Cid")
                async with late:
                    frames = late.stream()
                    old = await following(frames)
                    assert [m["offset"] for m in old["messages"]] == [1, 2]
                    assert await following(frames) == {
                        "type": "presence",
                        "members": ["Ann", "Bob", "Cid"],
                        "count": 3,
                    }
                assert other.messages.total == 0


@pytest.mark.contract("SV1", "SV2", "SE1")
async def test_one_of_two_servers_is_killed(tmp_path):
    async with redis_server(tmp_path) as redis:
        history = ("--history", redis.url)
        async with serving(0, *history) as one, serving(0, *history) as two:
            url = "ws://127.0.0.1:{}/connection/websocket?name={}"
            ports = [one.port, two.port]
            # It goes to the other server when one is gone, as a load balancer would do.
            moving = WebSocketStore(
                lambda attempt: url.format(ports[attempt.number % 2], "Ann"),
                protocol=Centrifuge(),
                reconnect=QUICKLY,
            )
            staying = WebSocketStore(url.format(two.port, "Bob"), protocol=Centrifuge())
            async with moving, staying:
                pairs = [
                    (moving.subscribe(name), staying.subscribe(name)) for name in ("a", "b", "c")
                ]
                streams = [(goes.stream(), stays.stream()) for goes, stays in pairs]
                for goes, stays in pairs:
                    await goes.ready(SECONDS)
                    await stays.ready(SECONDS)
                    await stays.send(1)
                await one.kill()
                receipts = []
                for goes, stays in pairs:
                    await stays.send(2)
                    receipts += [goes.send(number) for number in (3, 4)]
                for receipt in receipts:
                    await asyncio.wait_for(receipt, SECONDS)
                for (goes, stays), (heard, also) in zip(pairs, streams, strict=True):
                    await stays.send(5)
                    expected = [1, 2, 3, 4, 5]
                    assert [await following(also) for _ in expected] == expected
                    assert [await following(heard) for _ in expected] == expected
                    assert goes.state.value.recovered is True
                    goes.unsubscribe()
                    stays.unsubscribe()
