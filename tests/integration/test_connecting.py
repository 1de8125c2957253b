"""Connecting: late sockets of a slow network, cut handshakes, and calls from inside callbacks."""

from __future__ import annotations

import asyncio

import pytest
from puppets import Puppeteer

from sockstore import Attempt, InvalidURI, Reconnect, SocketInfo, WebSocketStore
from sockstore.testing import FakeServer, accept, assert_no_leaks, hang, pause, refuse, send, slow
from sockstore.transports.memory import MemoryNetwork, MemoryPeer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


@pytest.mark.contract("CN6", "CN4")
@pytest.mark.parametrize("ending", ["answers the close", "closes by itself", "drops", "freezes"])
async def test_an_open_socket_that_was_replaced_sends_and_ends_late_and_changes_nothing(ending):
    async with assert_no_leaks():
        server = FakeServer(slow(1))
        async with WebSocketStore("ws://old", transport=server) as connection:
            await connection.ready()
            old = server.connection
            connection.connect("ws://new")
            # Sent before the close of the old one arrives there, heard after it was replaced.
            old.send("late", b"late")
            await connection.ready()
            before = connection.state.value
            seen: list[object] = []
            connection.state.subscribe(seen.append)
            connection.messages.on_append(seen.append)
            seen.clear()
            match ending:
                case "closes by itself":
                    old.close(4401, "who are you?")
                case "drops":
                    old.drop()
                case "freezes":
                    old.freeze()
            await asyncio.sleep(15)
            assert seen == []
            assert connection.state.value is before
            assert connection.messages.total == 0
            assert [peer.target.url for peer in server.open_connections] == ["ws://new"]


@pytest.mark.contract("CN4", "CN6")
async def test_the_last_of_many_urls_wins_and_the_others_leave_nothing():
    async with assert_no_leaks():
        server = FakeServer(slow(0.2))
        connection = WebSocketStore("ws://n0", transport=server)
        sockets: list[object] = []
        connection.socket.subscribe(sockets.append)
        for n in range(50):
            connection.connect(f"ws://n{n}")
            await asyncio.sleep(0.05 * (n % 4))
        await connection.ready(1)
        assert connection.socket.value.url == "ws://n49"
        await asyncio.sleep(10)
        assert len(sockets) == 2, "None, and the one that stays"
        assert [peer.target.url for peer in server.open_connections] == ["ws://n49"]
        await connection.aclose()
        assert server.open_connections == []


@pytest.mark.contract("CN6")
async def test_a_transport_that_opens_after_it_was_replaced_delivers_nothing():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://old", transport=puppeteer)
    connection.connect()
    await turns()
    old = puppeteer.newest
    connection.connect("ws://new")
    new = await puppeteer.opened()
    old.listener.opened(SocketInfo("ws://old"))
    assert not old.deliver("late")
    assert new.deliver("in time")
    assert [message.data for message in connection.messages.value] == ["in time"]
    assert connection.socket.value.url == "ws://new"
    new.end()
    await connection.aclose()


@pytest.mark.contract("CN12", "CN10")
@pytest.mark.parametrize("cut", ["connect_timeout", "close", "another url", "reconnect"])
async def test_the_server_of_a_handshake_that_was_cut_sees_its_end(cut):
    async with assert_no_leaks():
        peers: list[MemoryPeer] = []

        def accept_and_get_quick(peer: MemoryPeer) -> None:
            peers.append(peer)
            peer.accept()
            network.latency = 0

        network = MemoryNetwork(accept_and_get_quick, latency=6)  # its 101 would arrive at 12 s
        connection = WebSocketStore("ws://slow", transport=network, reconnect=EVERY_SECOND)
        connection.connect()
        await asyncio.sleep(7)
        assert [peer.is_open for peer in peers] == [True]
        match cut:
            case "connect_timeout":
                await connection.phase.wait_for(lambda phase: phase == "waiting", 60)
                assert asyncio.get_running_loop().time() == 10
            case "close":
                connection.close()
            case "another url":
                connection.connect("ws://quick")
            case "reconnect":
                connection.reconnect()
        await asyncio.sleep(10)
        assert [peer.is_open for peer in peers] == ([False] if cut == "close" else [False, True])
        await connection.aclose()


@pytest.mark.contract("CN12", "CN7")
@pytest.mark.parametrize("connect_timeout", [0.5, 10, 100])
async def test_a_server_that_never_answers_is_cut_at_connect_timeout_each_time(connect_timeout):
    async with assert_no_leaks():
        server = FakeServer(hang(), hang(), hang())
        async with WebSocketStore(
            "ws://fake", transport=server, reconnect=EVERY_SECOND, connect_timeout=connect_timeout
        ) as connection:
            await connection.ready()
            step = connect_timeout + 1
            assert [handshake.at for handshake in server.handshakes] == [
                0,
                step,
                2 * step,
                3 * step,
            ]
            assert connection.error.value is None


@pytest.mark.contract("CN5", "CN12")
@pytest.mark.parametrize("latency", [0.0, 1.0, 2.4, 3.0, 60.0])
async def test_closing_over_a_slow_network_takes_at_most_close_timeout(latency):
    async with assert_no_leaks():
        server = FakeServer(accept(), pause(1), slow(latency))
        connection = WebSocketStore("ws://fake", transport=server)
        connection.connect()
        await connection.ready()
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await connection.aclose()
        assert loop.time() - before <= 5
        assert connection.phase.value == "closed"


@pytest.mark.contract("CN8", "CN10")
async def test_an_aclose_that_is_cancelled_over_a_slow_network_aborts_at_once():
    async with assert_no_leaks():
        server = FakeServer(accept(), pause(1), slow(60))
        connection = WebSocketStore("ws://fake", transport=server)
        connection.connect()
        await connection.ready()
        await asyncio.sleep(1)
        closing = asyncio.create_task(connection.aclose())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await turns(20)
        assert asyncio.get_running_loop().time() == 2
        assert connection.phase.value == "closed"
        assert server.open_connections == []


@pytest.mark.contract("CN4", "CN9")
async def test_a_subscriber_may_connect_again_when_it_has_failed():
    async with assert_no_leaks():
        server = FakeServer(accept(), send("kept"), refuse(404), refuse(404))
        connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
        phases: list[str] = []

        def again(phase: str) -> None:
            phases.append(phase)
            if phase == "failed":
                connection.connect()

        connection.phase.subscribe(again)
        connection.connect()
        await connection.messages.wait_for(len)
        server.drop()
        await asyncio.sleep(1)
        assert phases == ["idle", *["connecting", "open"], *["failed", "connecting"] * 3, "open"]
        assert [message.data for message in connection.messages.value] == ["kept"]
        await connection.aclose()


@pytest.mark.contract("CN6", "RC10", "MS4")
@pytest.mark.parametrize("how", ["reconnect", "another url"])
async def test_the_rest_of_a_slice_is_discarded_when_its_socket_is_replaced_in_on_append(how):
    async with assert_no_leaks():
        server = FakeServer()
        connection = WebSocketStore("ws://fake", transport=server)
        seen: list[object] = []

        def replace_at_two(message) -> None:
            seen.append(message.data)
            if message.data == 2:
                if how == "reconnect":
                    connection.reconnect()
                else:
                    connection.connect("ws://other")

        connection.messages.on_append(replace_at_two)
        connection.connect()
        await connection.ready()
        server.send(1, 2, 3, 4)
        await turns()
        await connection.ready()
        server.send(5)
        await turns()
        assert seen == [1, 2, 5]
        assert len(server.handshakes) == 2
        await connection.aclose()


@pytest.mark.contract("CN4", "CN11")
async def test_the_same_callable_is_the_same_url_and_another_one_is_another():
    class Account:
        asked = 0

        async def url(self, attempt: Attempt) -> str:
            self.asked += 1
            return f"ws://account/{self.asked}"

    async with assert_no_leaks():
        one, other = Account(), Account()
        server = FakeServer()
        async with WebSocketStore(one.url, transport=server) as connection:
            await connection.ready()
            connection.connect(one.url)
            connection.connect()
            await turns()
            assert (one.asked, len(server.handshakes)) == (1, 1)
            connection.connect(other.url)
            await connection.ready()
            assert (one.asked, other.asked, len(server.handshakes)) == (1, 1, 2)


@pytest.mark.contract("CN14")
@pytest.mark.parametrize("where", ["constructor", "connect", "callable"])
async def test_a_bad_url_is_refused_without_showing_its_secrets(where):
    bad = "http://s3cret-user:s3cret-word@fake/path?token=s3cret-query#s3cret-part"
    async with assert_no_leaks():
        connection = WebSocketStore(
            (lambda attempt: bad) if where == "callable" else "ws://fake", transport=FakeServer()
        )
        if where == "callable":
            connection.connect()
            await connection.phase.wait_for(lambda phase: phase == "failed")
            error = connection.error.value
        else:
            with pytest.raises(InvalidURI) as caught:
                if where == "connect":
                    connection.connect(bad)
                else:
                    WebSocketStore(bad)
            error = caught.value
        assert "s3cret" not in f"{error} {error!r} {error.args} {connection.state.value!r}"


@pytest.mark.contract("CN11", "CN10")
@pytest.mark.parametrize("who", ["url", "on_open", "should_reconnect"])
async def test_a_callable_may_wait_for_the_end_of_the_connection_that_asks_it(who):
    ended: list[str] = []

    async def finish(_: object) -> str:
        try:
            await connection.aclose()
        finally:
            ended.append(connection.phase.value)
        return "ws://fake"

    async with assert_no_leaks():
        server = FakeServer(accept(), pause(10))
        connection = WebSocketStore(
            **({"url": "ws://fake"} | {who: finish}), transport=server, reconnect=EVERY_SECOND
        )
        connection.connect()
        await asyncio.sleep(5)
        server.drop()
        await connection.phase.wait_for(lambda phase: phase == "closed", 10)
        await connection.aclose()
        assert ended, "it was asked"
        assert server.open_connections == []
        assert len(server.handshakes) <= 1
