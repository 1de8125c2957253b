"""The chaos proxy itself: a fault that does not happen would prove nothing."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from tests.loopback.chaos import chaos

from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

SECONDS = 20
MIB = 2**20


class Upstream:
    """A server that lets tests read and write its halves of the connections."""

    def __init__(self):
        self.accepted = asyncio.Queue()
        self.port = 0

    async def take(self):
        return await asyncio.wait_for(self.accepted.get(), SECONDS)


@asynccontextmanager
async def listening():
    upstream = Upstream()
    writers = []

    def accept(reader, writer):
        writers.append(writer)
        upstream.accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@pytest_asyncio.fixture
async def upstream():
    async with listening() as made:
        yield made


@pytest_asyncio.fixture
async def proxy(upstream):
    async with chaos(upstream.port) as made:
        yield made


class Client:
    """A bare socket: a stream would forget what it has read when a RST comes."""

    def __init__(self, sock):
        self.sock = sock

    async def write(self, data):
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.sock, data), SECONDS)

    async def read(self, count=65536):
        return await asyncio.wait_for(
            asyncio.get_running_loop().sock_recv(self.sock, count), SECONDS
        )

    async def read_exactly(self, count):
        data = b""
        while len(data) < count:
            part = await self.read(count - len(data))
            assert part, "it ended too early"
            data += part
        return data


@asynccontextmanager
async def connected(proxy):
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
        yield Client(sock)


@asynccontextmanager
async def carried(proxy, upstream):
    """Give the three places of one connection: client, proxy, and server."""
    async with connected(proxy) as client:
        reader, writer = await upstream.take()
        await client.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), SECONDS) == b"hello"
        yield client, proxy.pairs[-1], reader, writer


async def test_it_carries_both_ways_and_counts(proxy, upstream):
    for number in range(1, 4):
        async with carried(proxy, upstream) as (client, _, _, writer):
            writer.write(b"welcome")
            assert await client.read_exactly(7) == b"welcome"
            assert proxy.accepted == number


async def test_a_reset_is_a_reset_on_both_sides(proxy, upstream):
    async with carried(proxy, upstream) as (client, pair, reader, _):
        pair.reset()
        with pytest.raises(ConnectionResetError):
            await client.read()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SECONDS)


async def test_a_fin_is_the_end_of_the_stream_on_both_sides(proxy, upstream):
    async with carried(proxy, upstream) as (client, pair, reader, _):
        pair.fin()
        assert await client.read() == b""
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""


async def test_a_frozen_direction_lets_nothing_through_until_it_thaws(proxy, upstream):
    async with carried(proxy, upstream) as (client, pair, reader, writer):
        pair.freeze("up")
        await client.write(b"held back")
        waiting = asyncio.ensure_future(reader.readexactly(9))
        # The other direction is the proof that the proxy had its turn meanwhile.
        for _ in range(20):
            writer.write(b"down")
            assert await client.read_exactly(4) == b"down"
        assert not waiting.done()
        pair.thaw()
        assert await asyncio.wait_for(waiting, SECONDS) == b"held back"


async def test_a_frozen_proxy_does_not_read_without_limit(proxy, upstream):
    size = 64 * MIB
    async with carried(proxy, upstream) as (client, pair, reader, _):
        pair.freeze()
        writing = asyncio.ensure_future(client.write(bytes(size)))
        done, _ = await asyncio.wait([writing], timeout=0.5)
        assert not done, "the proxy has taken everything"
        pair.thaw()
        async with asyncio.timeout(SECONDS):
            await reader.readexactly(size)
        await writing


@pytest.mark.parametrize("count", [1, 700, 1999])
async def test_a_cut_comes_after_exactly_so_many_bytes(proxy, upstream, count):
    async with carried(proxy, upstream) as (client, pair, _, writer):
        pair.cut_after(count, "down")
        sent = random.Random(count).randbytes(2000)
        for begin in range(0, 2000, 500):
            writer.write(sent[begin : begin + 500])
        assert await client.read_exactly(count) == sent[:count]
        with pytest.raises(ConnectionResetError):
            await client.read()


async def test_no_connection_is_accepted_while_it_refuses(proxy, upstream):
    port = proxy.port
    async with carried(proxy, upstream) as (client, _, _, writer):
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy):
                pass
        writer.write(b"who is in stays in")
        assert await client.read_exactly(18) == b"who is in stays in"
        await proxy.open()
        assert proxy.port == port
        async with carried(proxy, upstream):
            pass


async def test_it_answers_instead_of_the_server(proxy, upstream):
    proxy.answer(429, {"Retry-After": "7"}, "later")
    async with connected(proxy) as client:
        await client.write(b"GET / HTTP/1.1\r\n\r\n")
        told = b""
        while part := await client.read():
            told += part
    head, _, body = told.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 429 Too Many Requests"
    assert {"Retry-After: 7", "Content-Length: 5"} <= set(lines)
    assert body == b"later"
    assert upstream.accepted.empty()
    proxy.serve()
    async with carried(proxy, upstream):
        pass


async def test_it_hangs_until_it_is_told_to_serve(proxy, upstream):
    proxy.hang()
    async with connected(proxy) as client:
        await client.write(b"GET / HTTP/1.1\r\n\r\n")
        reading = asyncio.ensure_future(client.read())
        async with asyncio.timeout(SECONDS):
            while not proxy.accepted:
                await asyncio.sleep(0)
        proxy.serve()
        async with carried(proxy, upstream):
            assert not reading.done()
        await cancelled(reading)


async def test_what_hangs_is_not_read_without_limit(proxy):
    proxy.hang()
    async with connected(proxy) as client:
        writing = asyncio.ensure_future(client.write(bytes(64 * MIB)))
        done, _ = await asyncio.wait([writing], timeout=0.5)
        assert not done, "the proxy has taken everything"
        await cancelled(writing)


async def cancelled(task):
    """End a task before its socket is closed."""
    task.cancel()
    await asyncio.wait([task])


async def test_the_next_connection_goes_where_the_server_is_now(proxy, upstream):
    async with listening() as other, carried(proxy, upstream):
        proxy.upstream = other.port
        async with carried(proxy, other):
            assert proxy.accepted == 2
            assert len(proxy.pairs) == 2


async def test_a_seed_gives_the_same_faults_again(proxy, upstream):
    assert proxy.misbehave(random.Random(1)) == ""
    told = []
    for _ in range(2):
        rng = random.Random(5)
        faults = []
        for _ in range(20):
            async with carried(proxy, upstream) as (_, pair, _, _):
                faults.append(proxy.misbehave(rng))
                pair.reset()
                await gone(proxy)
        told.append(faults)
    assert told[0] == told[1]
    assert set(told[0]) == {"reset", "fin", "cut in a frame", "freeze"}


async def gone(proxy):
    """Wait until the proxy carries nothing."""
    async with asyncio.timeout(SECONDS):
        while proxy.pairs:
            await asyncio.sleep(0.001)


async def test_a_connection_that_ends_while_it_is_frozen_is_not_carried_any_more(proxy, upstream):
    async with carried(proxy, upstream) as (client, pair, _, _):
        pair.freeze()
        await client.write(b"held back")
        await asyncio.sleep(0)
        pair.reset()
        await gone(proxy)


async def test_a_frozen_proxy_leaves_nothing_when_it_is_closed(upstream):
    async with assert_no_leaks():
        async with chaos(upstream.port) as proxy:
            async with carried(proxy, upstream) as (client, pair, _, writer):
                pair.freeze()
                await client.write(b"held back")
                writer.write(b"this too")
        writer.transport.abort()
