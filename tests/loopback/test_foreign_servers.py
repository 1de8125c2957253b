"""The connection without a session, against foreign servers and a foreign reverse proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loopback.foreign.programs import running
from loopback.foreign.server_programs import (
    SERVERS,
    ServerProgram,
    make_server,
    nginx_in_front,
)
from loopback.servers import NotedTransports
from sockstore import Close, Gap, Reconnect, WebSocketStore
from sockstore.testing import assert_no_leaks
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

QUICK = Reconnect.exponential(base=0.05, max=0.2, min_uptime=0)
SECONDS = 90
LARGE = 900 * 2**10


@asynccontextmanager
async def serving(kind: str, folder: Path) -> AsyncIterator[tuple[ServerProgram, ServerProgram]]:
    """Run a server: (what is connected to, what is killed)."""
    if kind == "nginx":
        async with nginx_in_front(folder) as both:
            yield both
    else:
        async with running(make_server(kind)) as server:
            yield server, server


every_server = pytest.mark.parametrize("kind", [*SERVERS, "nginx"])


@pytest.mark.contract("SE4", "CN13")
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "compressed"])
@every_server
async def test_text_json_and_binary_come_back_as_they_were_sent(
    kind: str, compression: bool, tmp_path: Path
) -> None:
    async with (
        serving(kind, tmp_path) as (server, _),
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
        WebSocketStore(
            server.url, compression=compression, subprotocols=["one", "two"]
        ) as connection,
    ):
        stream = connection.stream(limit=1000)
        await connection.ready()
        assert connection.socket.value.subprotocol == "two"
        headers = {name.lower(): value for name, value in connection.socket.value.headers}
        assert ("permessage-deflate" in headers.get("sec-websocket-extensions", "")) is compression
        for message in ({"äöü": [1, None, "€"]}, b"", b"\0\xff" * 10, "x" * LARGE, b"y" * LARGE):
            connection.send(message)
            assert (await anext(stream)).data == message
        for number in range(500):
            connection.send(number)
        assert [(await anext(stream)).data for _ in range(500)] == [*range(500)]


@pytest.mark.contract("LV1")
@every_server
async def test_every_server_answers_pings_and_a_frozen_one_is_noticed(
    kind: str, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path) as (_, server), asyncio.timeout(SECONDS):
        options = {"ping_interval": 0.05, "ping_timeout": 2.0, "reconnect": QUICK}
        transports = NotedTransports()
        async with WebSocketStore(server.url, transport=transports, **options) as connection:
            await connection.ready()
            since = connection.state.value.since
            await until(lambda: transports.made[-1].heard >= 10)  # nothing but pongs
            assert connection.state.value.since == since
            server.freeze()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            assert connection.state.value.error == "no answer to ping"
            server.thaw()
            await connection.ready()


@pytest.mark.contract("RC5", "RC6", "CN5")
@every_server
async def test_close_codes_travel_both_ways(kind: str, tmp_path: Path) -> None:
    async with serving(kind, tmp_path) as (server, _), asyncio.timeout(SECONDS):
        async with WebSocketStore(server.url, reconnect=QUICK) as connection:
            await connection.ready()
            connection.send("!close 4001 because")
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            assert connection.error.value.close == Close(4001, "because", clean=True)
            await connection.ready()
            connection.send("!close 4404 gone")
            await connection.phase.wait_for(lambda phase: phase == "failed")
            assert connection.state.value.failure.reason == "fatal close code"
            connection.connect()
            await connection.ready()
            connection.send("!close 1000 bye")
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            assert connection.state.value.close == Close(1000, "bye", clean=True)
            assert "closed the connection with 1000" in connection.state.value.error
            await connection.ready()
        trusting = Reconnect.exponential(after_goodbye=False)
        async with WebSocketStore(server.url, reconnect=trusting) as connection:
            await connection.ready()
            connection.send("!close 1000 bye")
            await connection.phase.wait_for(lambda phase: phase == "closed")
            assert connection.state.value.close == Close(1000, "bye", clean=True)
            assert connection.error.value is None
        async with WebSocketStore(server.url) as connection:
            await connection.ready()
            await connection.aclose(3001, "enough")
            answer = connection.state.value.close
            # aiohttp answers every close frame with a plain 1000.
            expected = (1000, "") if kind == "aiohttp" else (3001, "enough")
            assert (answer.code, answer.reason, answer.clean) == (*expected, True)
        async with WebSocketStore(server.url) as connection:
            stream = connection.stream()
            told = None
            while told != [3001, "enough"]:  # the server may take note of it a little later
                connection.send("!last")
                told = (await anext(stream)).data


@pytest.mark.contract("SE4", "OB2", "OB3")
@every_server
async def test_a_kill_leaves_what_was_in_flight_unknown_and_what_waits_in_order(
    kind: str, tmp_path: Path
) -> None:
    async with (
        serving(kind, tmp_path) as (front, server),
        assert_no_leaks(),
        asyncio.timeout(SECONDS),
        WebSocketStore(front.url, reconnect=QUICK) as connection,
    ):
        stream = connection.stream(gaps=True)
        connection.send("first")
        assert (await anext(stream)).data == "first"
        server.freeze()
        in_flight = [connection.send(number) for number in range(5)]
        assert {receipt.state for receipt in in_flight} == {"sent"}
        await server.kill()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert {receipt.state for receipt in in_flight} == {"unknown"}
        waiting = [connection.send({"waiting": number}) for number in range(20)]
        assert {receipt.state for receipt in waiting} == {"queued"}
        await server.start()
        gap = await anext(stream)
        assert gap.kind == "gap"
        assert isinstance(gap.data, Gap)
        assert gap.data.missed is None
        assert [(await anext(stream)).data["waiting"] for _ in waiting] == [*range(20)]
        for receipt in waiting:
            await receipt


# What only a reverse proxy does


@pytest.mark.contract("RC6", "RC8")
async def test_nginx_says_429_and_when_to_come_back(tmp_path: Path) -> None:
    waits = []

    def note(outcome) -> bool:
        waits.append((outcome.status, outcome.retry_after))
        return True

    async with nginx_in_front(tmp_path) as (nginx, _), asyncio.timeout(SECONDS):
        url = f"{nginx.url}one/"
        async with WebSocketStore(url) as first:
            await first.ready()
            second = WebSocketStore(url, reconnect=QUICK, should_reconnect=note)
            async with second:
                await second.phase.wait_for(lambda phase: phase == "waiting")
                state = second.state.value
                assert waits == [(429, 1.0)]
                assert state.retry_at - state.since > 0.9
                await first.aclose()
                await second.ready()


@pytest.mark.contract("RC6", "RC7", "CN14")
async def test_nginx_says_401_until_a_refreshed_header_is_right(tmp_path: Path) -> None:
    asked = []

    def headers(attempt) -> dict[str, str]:
        asked.append(attempt.refresh)
        secret = "bWU6c2VjcmV0" if attempt.refresh else "bWU6d3Jvbmc="
        return {"Authorization": f"Basic {secret}"}

    async with nginx_in_front(tmp_path) as (nginx, _), asyncio.timeout(SECONDS):
        url = f"{nginx.url}locked/"
        async with WebSocketStore(url, reconnect=QUICK) as connection:
            await connection.phase.wait_for(lambda phase: phase == "failed")
            assert connection.state.value.failure.reason == "unauthorised"
            assert connection.error.value.status == 401
        async with WebSocketStore(url, headers=headers, reconnect=QUICK) as connection:
            await connection.ready()
            assert asked == [False, True]
        async with WebSocketStore(url.replace("//", "//me:secret@")) as connection:
            await connection.ready()


@pytest.mark.contract("RC6", "RC8")
async def test_nginx_says_502_until_the_server_behind_it_is_back(tmp_path: Path) -> None:
    statuses = []
    came = asyncio.Event()

    def note(outcome) -> bool:
        statuses.append(outcome.status)
        if len(statuses) == 4:
            came.set()
        return True

    async with nginx_in_front(tmp_path) as (nginx, server), asyncio.timeout(SECONDS):
        connection = WebSocketStore(nginx.url, reconnect=QUICK, should_reconnect=note)
        async with connection:
            await connection.ready()
            stream = connection.stream()
            await server.kill()
            await came.wait()
            assert statuses[0] is None  # the loss of the open connection
            assert set(statuses[1:]) == {502}
            receipt = connection.send("back")
            await server.start()
            assert (await anext(stream)).data == "back"
            assert receipt.state == "sent"


@pytest.mark.contract("LV1", "SE4")
async def test_nginx_cuts_what_is_idle_without_a_close_frame_unless_there_are_pings(
    tmp_path: Path,
) -> None:
    async with nginx_in_front(tmp_path) as (nginx, _), asyncio.timeout(SECONDS):
        url = f"{nginx.url}idle/"
        async with (
            WebSocketStore(url, ping_interval=None, reconnect=QUICK) as silent,
            WebSocketStore(url, ping_interval=0.1, reconnect=QUICK) as pinging,
        ):
            await silent.ready()
            await pinging.ready()
            since = pinging.state.value.since
            await silent.phase.wait_for(lambda phase: phase == "waiting")
            assert silent.error.value.close == Close(1006)
            assert "without a close frame" in silent.state.value.error
            await silent.ready()
            await silent.phase.wait_for(lambda phase: phase == "waiting")
            assert pinging.state.value.since == since
