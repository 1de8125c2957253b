"""What a chat input sends, and what it remembers of it."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from weakref import ref

import pytest

from sockstore import WebSocketStore
from sockstore.testing import FakeServer, accept, echo, refuse
from sockstore.ui.chat.own_messages import KEPT, posts_of

pytestmark = pytest.mark.contract("UI4")


@pytest.mark.virtual_clock
async def test_it_sends_the_guides_message_with_the_time_in_utc():
    async with WebSocketStore("ws://localhost", transport=FakeServer(accept(), echo())) as one:
        await one.ready()
        assert posts_of(one).send(one, "  hello\nworld ")
        [message] = await one.messages.wait_for(len)
    assert message.data.keys() == {"content", "timestamp"}
    assert message.data["content"] == "  hello\nworld "
    moment = datetime.fromisoformat(message.data["timestamp"])
    assert moment.utcoffset() == UTC.utcoffset(None)


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u2003"])
def test_blank_text_is_not_sent(text):
    connection = WebSocketStore("ws://localhost")
    assert not posts_of(connection).send(connection, text)
    assert connection.buffered_amount.value == 0


def test_what_is_refused_is_told_and_not_remembered():
    connection = WebSocketStore("ws://localhost", outbox=None)
    assert not posts_of(connection).send(connection, "too early")
    assert posts_of(connection).store.value == ()


@pytest.mark.virtual_clock
@pytest.mark.contract("UI3")
async def test_what_became_of_posts_is_told_and_of_many_at_once():
    server = FakeServer(refuse(), accept())
    async with WebSocketStore("ws://localhost", transport=server) as connection:
        posts = posts_of(connection)
        for number in range(10):
            posts.send(connection, str(number))
        told = []
        with posts.store.subscribe(lambda all_posts: told.append({one.mark for one in all_posts})):
            await connection.ready()
            await asyncio.sleep(0)
        assert told == [{"queued"}, {"sent"}]


def test_without_a_loop_nobody_is_told():
    connection = WebSocketStore("ws://localhost")
    posts_of(connection).send(connection, "hello")
    connection.close()
    assert [post.mark for post in posts_of(connection).store.value] == ["failed"]


def test_only_so_many_posts_are_remembered():
    connection = WebSocketStore("ws://localhost")
    for number in range(KEPT + 5):
        posts_of(connection).send(connection, str(number))
    kept = posts_of(connection).store.value
    assert len(kept) <= KEPT
    assert kept[-1].content != kept[0].content


def test_posts_do_not_keep_their_connection_alive():
    connection = WebSocketStore("ws://localhost")
    posts_of(connection).send(connection, "hello")
    gone = ref(connection)
    del connection
    gc.collect()
    assert gone() is None
