"""Older messages: what is asked for, when, and what a reader sees of it."""

from __future__ import annotations

import asyncio
import gc
from typing import Self
from weakref import ref

import pytest
from puppets import count_objects

from integration.history_server import HistoryServer
from sockstore import Outbox, WebSocketStore
from sockstore.testing import accept, drop
from sockstore.ui.chat import backlog, loading, transcript

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("UI3")]


class Reader:
    """Shows a connection's messages as a kit does, and follows its backlog."""

    def __init__(self, server: HistoryServer, **options) -> None:
        self.connection = WebSocketStore("ws://localhost/chat/lobby", transport=server, **options)
        self.backlog = backlog.backlog_of(self.connection)
        self.conversation = transcript.Conversation()
        self.lines = ()
        self.loading: list[bool] = []

    async def __aenter__(self) -> Self:
        self.leave = self.backlog.follow()
        self._stop = [
            self.connection.messages.subscribe(self._show),
            self.backlog.is_loading.subscribe(self.loading.append),
        ]
        await self.connection.__aenter__()
        await self.settle()
        return self

    async def __aexit__(self, *exit_details) -> None:
        for stop in self._stop:
            stop()
        self.leave()
        await self.connection.aclose()

    def _show(self, view) -> None:
        self.conversation.read(view)
        shown = self.conversation.merge()
        self.lines = shown.lines
        # Later, as a kit that updates its page now and then.
        asyncio.get_running_loop().call_later(0.05, self.backlog.shown, shown)

    async def settle(self) -> None:
        await asyncio.sleep(5)

    @property
    def offsets(self) -> list[int]:
        return [line.offset for line in self.lines if line.kind == "message"]

    @property
    def gaps(self) -> list[int]:
        return [line.offset for line in self.lines if line.kind == "gap"]


async def test_a_reader_pages_back_to_the_first_message():
    server = HistoryServer(said=250)
    async with Reader(server) as reader:
        assert (reader.offsets, server.asked) == ([*range(151, 251)], [])
        assert reader.backlog.has_older.value
        reader.backlog.load_older()
        assert reader.backlog.is_loading.value
        await reader.settle()
        assert reader.offsets == [*range(51, 251)]
        assert reader.backlog.has_older.value
        reader.backlog.load_older()
        await reader.settle()
        assert reader.offsets == [*range(1, 251)]
        assert not reader.backlog.has_older.value
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == [151, 51]
        assert reader.loading == [False, True, False, True, False]


async def test_one_page_is_asked_for_at_a_time():
    server = HistoryServer(said=500)
    async with Reader(server) as reader:
        for _ in range(5):
            reader.backlog.load_older()
        assert reader.backlog.is_loading.value
        server.say(5)
        await reader.settle()
        assert server.asked == [401]
        assert reader.offsets == [*range(301, 506)]


async def test_what_the_server_deleted_is_not_asked_for():
    server = HistoryServer(said=300, keep=150)
    async with Reader(server) as reader:
        reader.backlog.load_older()
        await reader.settle()
        assert reader.offsets == [*range(151, 301)]
        assert not reader.backlog.has_older.value


@pytest.mark.parametrize("said", [0, 1, 100])
async def test_where_there_is_nothing_older_nothing_is_asked_for(said):
    server = HistoryServer(said=said)
    async with Reader(server) as reader:
        assert not reader.backlog.has_older.value
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == []


async def test_a_server_without_pages_is_asked_for_nothing():
    server = HistoryServer(accept(), said=300)
    server.can_page = False
    async with Reader(server) as reader:
        assert not reader.backlog.has_older.value
        reader.backlog.load_older()
        server.connection.drop()
        server.top += 300
        await reader.settle()
        assert (server.asked, reader.gaps) == ([], [501])


async def test_a_server_that_can_no_longer_be_asked_is_asked_for_nothing():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        server.connection.drop()
        await reader.connection.connected.wait_for(lambda connected: not connected)
        reader.backlog.load_older()
        server.can_page = False
        await reader.settle()
        assert server.asked == []
        assert not reader.backlog.has_older.value


async def test_a_gap_after_a_reconnection_is_filled():
    server = HistoryServer(said=100)
    async with Reader(server) as reader:
        server.connection.drop()
        server.top = 450
        await reader.settle()
        assert reader.offsets == [*range(1, 451)]
        assert reader.gaps == []
        assert server.asked == [351, 251, 151]
        assert set(reader.loading) == {False}


async def test_a_large_gap_stays_and_is_filled_on_demand():
    server = HistoryServer(said=100)
    async with Reader(server) as reader:
        server.connection.drop()
        server.top = 1000
        await reader.settle()
        assert len(server.asked) == loading.PAGES_BY_ITSELF
        assert reader.gaps == [601]
        reader.backlog.load_before(601)
        assert reader.backlog.is_loading.value
        await reader.settle()
        assert reader.gaps == [501]
        assert not reader.backlog.is_loading.value
        server.connection.drop()
        await reader.settle()
        assert reader.gaps == [201]
        reader.backlog.load_before(201)
        await reader.settle()
        assert reader.offsets == [*range(1, 1001)]


async def test_a_gap_that_cannot_be_filled_stays_and_is_not_asked_for_again():
    server = HistoryServer(said=100)
    async with Reader(server) as reader:
        server.connection.drop()
        server.top, server.keep = 1000, 150
        await reader.settle()
        assert server.asked == [901]
        assert reader.offsets == [*range(1, 101), *range(851, 1001)]
        assert reader.gaps == [851]
        assert not reader.backlog.has_older.value


async def test_a_page_that_a_lost_connection_left_unanswered_is_asked_for_again():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        server.is_mute = True
        reader.backlog.load_older()
        await asyncio.sleep(1)
        assert reader.backlog.is_loading.value
        server.connection.drop()
        await asyncio.sleep(0)
        await reader.connection.connected.wait_for(lambda connected: not connected)
        assert not reader.backlog.is_loading.value
        server.is_mute = False
        await reader.settle()
        assert server.asked == [201, 201]
        assert reader.offsets == [*range(101, 301)]
        assert reader.loading == [False, True, False, True, False]


async def test_what_is_wanted_while_the_connection_is_away_is_asked_for_when_it_is_back():
    server = HistoryServer(accept(), drop(), said=300)
    async with Reader(server) as reader:
        server.connection.drop()
        await reader.connection.connected.wait_for(lambda connected: not connected)
        reader.backlog.load_older()
        assert not reader.backlog.is_loading.value
        await reader.settle()
        assert server.asked == [201]
        assert reader.offsets == [*range(101, 301)]


async def test_a_history_that_the_server_cannot_read_can_be_asked_for_again():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        server.is_broken = True
        reader.backlog.load_older()
        await reader.settle()
        assert not reader.backlog.is_loading.value
        assert reader.backlog.has_older.value
        server.is_broken = False
        reader.backlog.load_older()
        await reader.settle()
        assert reader.offsets == [*range(101, 301)]


async def test_a_broken_history_is_not_asked_again_and_again_for_a_gap():
    server = HistoryServer(said=100)
    async with Reader(server) as reader:
        server.is_broken = True
        server.connection.drop()
        server.top = 1000
        await reader.settle()
        server.say(3)
        await reader.settle()
        assert server.asked == [901]


async def test_another_log_of_the_room_is_paged_by_itself():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        server.log, server.top = "other ", 250
        server.connection.drop()
        await reader.settle()
        assert reader.gaps == []
        assert reader.backlog.has_older.value
        reader.backlog.load_older()
        await reader.settle()
        assert reader.offsets == [*range(201, 301), *range(51, 251)]


async def test_nobody_who_shows_it_no_requests():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        reader.leave()
        reader.leave()
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == []
        assert not reader.backlog.is_loading.value
        reader.leave = reader.backlog.follow()
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == [201]


async def test_two_followers_ask_once_and_the_last_one_ends_it():
    server = HistoryServer(said=300)
    async with Reader(server) as reader:
        second = reader.backlog.follow()
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == [201]
        reader.leave()
        reader.backlog.load_older()
        await reader.settle()
        assert server.asked == [201, 101]
        second()


async def test_who_comes_late_reads_in_the_log_whether_there_is_more():
    server = HistoryServer(said=300)
    async with WebSocketStore("ws://localhost/chat/lobby", transport=server) as connection:
        await connection.messages.wait_for(len)
        older = backlog.backlog_of(connection)
        leave = older.follow()
        conversation = transcript.Conversation()
        conversation.read(connection.messages.value)
        older.shown(conversation.merge())
        assert older.has_older.value
        leave()


async def test_a_backlog_keeps_no_connection_alive_and_leaves_nothing_behind():
    connection = WebSocketStore("ws://localhost/chat/lobby")
    older = backlog.backlog_of(connection)
    assert backlog.backlog_of(connection) is older
    leave = older.follow()
    leave()
    before = count_objects()
    for _ in range(1000):
        older.follow()()
    assert count_objects() - before < 100
    gone = ref(connection)
    del connection, leave
    gc.collect()
    assert gone() is None
    older.follow()()
    older.load_older()


async def test_without_an_outbox_it_works_as_well():
    server = HistoryServer(said=300)
    async with Reader(server, outbox=None) as reader:
        reader.backlog.load_older()
        await reader.settle()
        assert reader.offsets == [*range(101, 301)]


async def test_what_an_outbox_dropped_is_asked_for_again():
    server = HistoryServer(said=300)
    async with Reader(server, outbox=Outbox(limit=1, overflow="drop_oldest")) as reader:
        reader.backlog.load_older()
        reader.connection.close()
        assert not reader.backlog.is_loading.value
        reader.connection.connect()
        await reader.settle()
        assert reader.offsets == [*range(101, 301)]
