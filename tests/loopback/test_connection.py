"""What a connection promises, over real sockets and against real processes."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import threading
from pathlib import Path

import pytest
from websockets.asyncio.server import serve
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loopback.processes import serving
from sockstore import Reconnect, WebSocketStore
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

QUICK = Reconnect.exponential(base=0.05, max=0.2)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def port_of(server) -> int:
    return server.sockets[0].getsockname()[1]


@pytest.mark.contract("CN4")
async def test_fifty_concurrent_connects_make_one_handshake():
    handshakes = 0

    async def count(websocket):
        nonlocal handshakes
        handshakes += 1
        await websocket.wait_closed()

    async with serve(count, "127.0.0.1", 0) as server:
        connection = WebSocketStore(f"ws://127.0.0.1:{port_of(server)}")

        async def connect() -> None:
            connection.connect()
            await connection.ready(10)

        await asyncio.gather(*(connect() for _ in range(50)))
        assert handshakes == 1
        await connection.aclose()


@pytest.mark.contract("RC1", "OB2", "MS4")
async def test_a_connection_survives_the_kill_of_a_real_server():
    async with serving() as server:
        async with (
            assert_no_leaks(),
            WebSocketStore(server.url, reconnect=QUICK) as connection,
            asyncio.timeout(60),
        ):
            stream = connection.stream()
            connection.send({"n": 1})
            assert (await anext(stream)).data == {"n": 1}
            await server.kill()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            waiting = [connection.send({"n": n}) for n in range(2, 12)]
            assert {receipt.state for receipt in waiting} == {"queued"}
            assert connection.status.value == "error"
            async with serving(server.port):
                assert [(await anext(stream)).data["n"] for _ in waiting] == list(range(2, 12))
                assert connection.status.value == "connected"
                await connection.aclose()


@pytest.mark.contract("MS2", "CN15")
async def test_memory_is_flat_over_a_million_messages():
    total = 1_000_000
    batch = json.dumps({"type": "tick", "price": 1.25}).encode()
    frame = bytes([0x81, len(batch)]) + batch
    many = frame * 1000

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        while not (events := protocol.events_received()):
            protocol.receive_data(await reader.read(65536))
        assert isinstance(events[0], Request)
        protocol.send_response(protocol.accept(events[0]))
        writer.writelines(protocol.data_to_send())
        for _ in range(total // 1000):
            writer.write(many)
            await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    connection = WebSocketStore(f"ws://127.0.0.1:{port_of(server)}", history=1000)
    early = asyncio.get_running_loop().create_future()

    def look(message) -> None:
        if message.number == total // 10:
            early.set_result(None)

    connection.messages.on_append(look)
    async with server, connection, asyncio.timeout(100):
        await early
        before = resident()
        await connection.messages.wait_for(lambda _: connection.messages.total == total)
        gc.collect()
        after = resident()
        assert len(connection.messages) == 1000
        assert connection.messages.dropped == total - 1000
        # What the process has, because tracing each message would take minutes; 900,000 kept
        # messages would be 300 MB.
        assert after - before < 16 * 2**20


@pytest.mark.contract("MS1", "CN15")
@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("x" * (10 * 2**20), 1009, "larger than max_message_bytes"),
        (b"\x81\x02\xff\xfe", 1007, "not valid UTF-8"),
    ],
)
async def test_what_breaks_the_rules_ends_in_one_clear_sentence(frame, code, words):
    async def break_the_rules(websocket):
        if isinstance(frame, bytes):
            websocket.transport.write(frame)
        else:
            await websocket.send(frame)
        await websocket.wait_closed()

    async with (
        serve(break_the_rules, "127.0.0.1", 0) as server,
        assert_no_leaks(),
        WebSocketStore(f"ws://127.0.0.1:{port_of(server)}") as connection,
        asyncio.timeout(30),
    ):
        state = await connection.state.wait_for(lambda state: state.phase == "failed")
        assert state.close.code == code
        assert words in state.error
        assert "\n" not in state.error
        assert state.failure.reason == "fatal close code"


@pytest.mark.contract("MS1")
async def test_json_100_000_deep_is_kept_as_text_and_told():
    told = []
    deep = "[" * 100_000 + "]" * 100_000

    async def send_deep(websocket):
        await websocket.send(deep)
        await websocket.send('"still here"')
        await websocket.wait_closed()

    async with (
        serve(send_deep, "127.0.0.1", 0) as server,
        WebSocketStore(
            f"ws://127.0.0.1:{port_of(server)}",
            on_error=lambda error, frame: told.append((str(error), frame)),
        ) as connection,
    ):
        await connection.messages.wait_for(lambda messages: len(messages) == 2, timeout=30)
        first, second = connection.messages.value
    assert (first.kind, first.data) == ("text", deep)
    assert second.data == "still here"
    assert told == [("the JSON text is nested too deeply", deep)]


@pytest.mark.contract("ST12")
async def test_another_thread_is_refused_and_call_threadsafe_works():
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        WebSocketStore(f"ws://127.0.0.1:{port_of(server)}") as connection,
    ):
        await connection.ready(10)
        refusals: list[str] = []

        def misuse() -> str:
            for act in (
                lambda: connection.send("x"),
                connection.close,
                connection.connect,
                lambda: connection.status.subscribe(print),
            ):
                try:
                    act()
                except RuntimeError as error:
                    refusals.append(str(error))
            assert connection.status.value == "connected"
            return connection.call_threadsafe(connection.send, "from a thread").result(10).state

        assert threading.current_thread() is threading.main_thread()
        assert await asyncio.to_thread(misuse) == "sent"
        assert len(refusals) == 4
        assert all("call_threadsafe" in refusal for refusal in refusals), refusals
        await connection.messages.wait_for(lambda messages: len(messages) == 1, timeout=10)


@pytest.mark.contract("CN4", "CN10")
async def test_a_connection_may_be_used_again_on_another_loop_and_thread():
    connection = WebSocketStore("ws://127.0.0.1:1", history=10)
    seen: list[str] = []
    connection.phase.subscribe(seen.append)

    async def live() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            connection.connect(f"ws://127.0.0.1:{port_of(server)}")
            await connection.ready(10)
            connection.send("hello")
            total = connection.messages.total + 1
            await connection.messages.wait_for(
                lambda _: connection.messages.total == total, timeout=10
            )
            await connection.aclose()

    await asyncio.to_thread(asyncio.run, live())
    await live()
    assert seen.count("open") == 2
    assert len(connection.messages) == 2
