"""Two server processes on one Redis are one place: messages, presence, and the death of one."""

from __future__ import annotations

import asyncio

import pytest
from tests.loopback.redis_servers import redis_server

from loopback.processes import serving
from sockstore import Reconnect, Session, WebSocketStore

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

SECONDS = 30
QUICKLY = Reconnect.exponential(base=0.1, max=0.3, min_uptime=0)


def is_kind(kind):
    return lambda message: isinstance(message.data, dict) and message.data.get("type") == kind


async def following(stream):
    return (await asyncio.wait_for(anext(stream), SECONDS)).data


@pytest.mark.contract("SV1", "SV2", "SV6", "SE1")
async def test_plain_clients_and_sessions_meet_over_two_servers(tmp_path):
    async with redis_server(tmp_path) as redis:
        history = ("--history", redis.url)
        async with serving(0, *history) as one, serving(0, *history) as two:
            plain = WebSocketStore(
                f"ws://127.0.0.1:{one.port}/chat/lobby?name=Ann", reconnect=QUICKLY
            )
            session = WebSocketStore(
                f"ws://127.0.0.1:{two.port}/connection/websocket?name=Bob",
                session=Session("lobby"),
                reconnect=QUICKLY,
            )
            plain.connect()
            said = plain.stream(where=is_kind("message"))
            joined = plain.stream(where=is_kind("join"))
            await following(plain.stream(where=is_kind("presence")))
            async with plain, session:
                heard = session.stream()
                await asyncio.wait_for(session.ready(), SECONDS)
                assert (await following(joined))["sender"] == "Bob"
                await session.send({"content": "hello from two"})
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
                session=Session("lobby"),
                reconnect=QUICKLY,
            )
            staying = WebSocketStore(url.format(two.port, "Bob"), session=Session("lobby"))
            async with moving, staying:
                heard, also = moving.stream(), staying.stream()
                await asyncio.wait_for(moving.ready(), SECONDS)
                await asyncio.wait_for(staying.ready(), SECONDS)
                await staying.send(1)
                assert await following(heard) == 1
                await one.kill()
                await staying.send(2)
                receipts = [moving.send(number) for number in (3, 4)]
                await asyncio.wait_for(receipts[-1], SECONDS)
                await staying.send(5)
                expected = [1, 2, 3, 4, 5]
                assert [await following(also) for _ in expected] == expected
                assert [await following(heard) for _ in expected[1:]] == expected[1:]
                assert moving.state.value.recovered is True
