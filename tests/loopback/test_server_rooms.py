"""Rooms over real sockets: what a client is told, in which order."""

from __future__ import annotations

import asyncio
import json

import pytest

from loopback.server_kit import PATIENCE, QUICK, guest, running
from sockstore import WebSocketStore
from sockstore.server import Limits, SqliteHistory, create_app
from sockstore.testing import assert_no_leaks
from sockstore.ui.chat.backlog import backlog_of
from sockstore.ui.chat.transcript import Conversation
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]


@pytest.mark.contract("SV1")
async def test_the_echo_sends_text_and_binary_back_as_they_came():
    async with running() as server, guest(server.url()) as visitor:
        for message in ("text", "", "grüße", b"\x00\xff", b"", "x" * 65536):
            await visitor.connection.send(message)
            assert await visitor.connection.recv() == message


@pytest.mark.contract("SV1", "SV6")
async def test_a_message_goes_to_all_clients_in_the_room_and_to_no_other():
    async with (
        running() as server,
        server.enter("one", "Ann") as ann,
        server.enter("one") as anonymous,
        server.enter("two", "Bob") as bob,
    ):
        await ann.say("<b>hi</b> & 'quotes' \u0000", timestamp="2026-05-01T10:00:00.000Z", type="x")
        message = await ann.read_until("message")
        assert await anonymous.read_until("message") == message
        assert set(message) == {"type", "sender", "content", "timestamp", "id", "offset"}
        assert message["sender"] == "Ann"
        assert message["content"] == "<b>hi</b> & 'quotes' \u0000"
        assert message["timestamp"] == "2026-05-01T10:00:00.000Z"
        assert message["offset"] == 1
        assert len(message["id"]) == 32
        assert int(message["id"], 16)
        await anonymous.say("me too")
        answer = await ann.read_until("message")
        assert (answer["sender"], answer["offset"]) == (None, 2)
        assert answer["timestamp"].endswith("Z")
        await bob.say("alone")
        assert (await bob.read_until("message"))["offset"] == 1


@pytest.mark.contract("SV1", "UI3")
async def test_the_librarys_own_client_sees_the_room():
    async with running() as server:
        async with (
            server.enter("lobby", "Bob") as bob,
            WebSocketStore(server.url("/chat/lobby?name=Ann")) as ann,
        ):
            stream = ann.stream()
            ann.send({"content": "hello", "timestamp": "2026-05-01T10:00:00Z"})
            frames = [(await anext(stream)).data for _ in range(3)]
        assert [frame["type"] for frame in frames] == ["history", "presence", "message"]
        assert frames[1] == {"type": "presence", "members": ["Bob", "Ann"], "count": 2}
        assert frames[2]["content"] == "hello"
        assert (await bob.read())["type"] == "join"


@pytest.mark.contract("SV1", "SV6")
async def test_others_are_told_who_comes_and_leaves_and_the_newcomer_who_is_there():
    async with running() as server, server.enter("lobby", "Ann") as ann:
        assert ann.history == []
        assert ann.presence == {"type": "presence", "members": ["Ann"], "count": 1}
        async with server.enter("lobby", "Bob") as bob:
            assert bob.presence == {"type": "presence", "members": ["Ann", "Bob"], "count": 2}
            joined = await ann.read()
            assert set(joined) == {"type", "sender", "timestamp", "count"}
            assert (joined["type"], joined["sender"], joined["count"]) == ("join", "Bob", 2)
        left = await ann.read()
        assert (left["type"], left["sender"], left["count"]) == ("leave", "Bob", 1)


@pytest.mark.contract("SV1")
async def test_the_same_name_twice_is_two_clients():
    async with running() as server, server.enter("lobby", "Ann") as first:
        async with server.enter("lobby", "Ann") as second, server.enter("lobby") as third:
            assert second.presence["members"] == ["Ann", "Ann"]
            assert third.presence == {
                "type": "presence",
                "members": ["Ann", "Ann", None],
                "count": 3,
            }
            assert server.chat.rooms == {"lobby": ["Ann", "Ann", None]}
            assert server.chat.clients == 3
        await first.read_until("leave", count=1)
        assert server.chat.rooms == {"lobby": ["Ann"]}


@pytest.mark.contract("SV1")
async def test_a_crowded_room_is_told_its_presence_together():
    limits = Limits(**QUICK, announced_members=2)
    async with running(limits=limits) as server:
        async with (
            server.enter("lobby", "A") as first,
            server.enter("lobby", "B"),
            server.enter("lobby", "C"),
        ):
            assert (await first.read())["type"] == "join"
            presence = await first.read()
            assert presence == {"type": "presence", "members": ["A", "B"], "count": 3}


@pytest.mark.contract("SV1")
async def test_who_enters_is_shown_the_last_hundred_messages_oldest_first():
    async with running() as server, server.enter() as talker:
        for number in range(1, 131):
            await talker.say(f"message {number}")
        await talker.messages(130)
        async with server.enter() as late:
            assert [m["content"] for m in late.history] == [f"message {n}" for n in range(31, 131)]
            assert [m["offset"] for m in late.history] == list(range(31, 131))
            assert all(m["type"] == "message" for m in late.history)


@pytest.mark.contract("SV1", "SV3")
async def test_the_history_on_entry_fits_a_clients_buffer():
    async with running(limits=Limits(**QUICK, buffer_bytes=200_000)) as server:
        async with server.enter() as talker:
            for _ in range(10):
                await talker.say("ä" * 15_000)
            await talker.messages(10)
            async with server.enter() as late:
                assert [m["offset"] for m in late.history] == [8, 9, 10]


@pytest.mark.contract("SV1")
async def test_nothing_is_lost_or_doubled_between_history_and_live():
    total, newcomers = 300, 20
    async with running(limits=Limits(**QUICK, history_messages=1000)) as server:

        async def watch() -> list[int]:
            async with server.enter() as late:
                offsets = [message["offset"] for message in late.history]
                while not offsets or offsets[-1] < total:
                    offsets.append((await late.read_until("message"))["offset"])
                return offsets

        async with server.enter() as talker:
            watching = []
            for number in range(1, total + 1):
                await talker.say(f"message {number}")
                if number % (total // newcomers) == 0:
                    watching.append(asyncio.create_task(watch()))
            for offsets in await asyncio.gather(*watching):
                assert offsets == list(range(1, total + 1))


@pytest.mark.contract("SV1", "SV6")
async def test_who_pages_back_while_others_talk_has_everything_once_and_in_order():
    said, pagers = 420, 5
    async with running(limits=Limits(**QUICK, history_messages=10)) as server:

        async def page_back() -> list[int]:
            async with server.enter() as reader:
                known = [message["offset"] for message in reader.history]
                older: list[int] = []
                live: list[int] = []
                await reader.ask(known[0], limit=30)
                while known[-1:] + live != [*range(known[-1], said + 1)] or (older or [0])[0] != 1:
                    frame = await reader.read()
                    if frame["type"] == "message":
                        live.append(frame["offset"])
                    elif frame["type"] == "history":
                        older[:0] = [message["offset"] for message in frame["messages"]]
                        assert frame["more"] is (older[0] > 1)
                        if frame["more"]:
                            await reader.ask(older[0], limit=30)
                return older + known + live

        async with server.enter() as talker:
            for number in range(200):
                await talker.say(f"message {number}")
            await talker.messages(200)
            paging = [asyncio.create_task(page_back()) for _ in range(pagers)]
            for number in range(200, said):
                await talker.say(f"message {number}")
                await asyncio.sleep(0)
            for offsets in await asyncio.gather(*paging):
                assert offsets == list(range(1, said + 1))


@pytest.mark.contract("SV1", "UI3")
async def test_a_chat_that_was_away_fills_its_gap_and_pages_back_to_the_beginning():
    limits = Limits(**QUICK, history_messages=10)
    async with running(limits=limits) as server, server.enter("lobby") as talker:
        for number in range(250):
            await talker.say(f"message {number}")
        await talker.messages(250)
        async with WebSocketStore(server.url("/chat/lobby")) as connection:
            conversation, backlog = Conversation(), backlog_of(connection)
            shown: list[int | None] = []

            def show(view) -> None:
                conversation.read(view)
                transcript = conversation.merge()
                shown[:] = [line.offset for line in transcript.lines if line.kind == "message"]
                backlog.shown(transcript)

            leave = backlog.follow()
            with connection.messages.subscribe(show):
                await until(lambda: shown == [*range(241, 251)])
                await connection.aclose()
                for number in range(150):
                    await talker.say(f"meanwhile {number}")
                await talker.messages(150)
                connection.connect()
                await until(lambda: shown == [*range(shown[0], 401)])
                while backlog.has_older.value:
                    first = shown[0]
                    backlog.load_older()
                    await until(lambda first=first: shown[0] != first)
                assert shown == [*range(1, 401)]
            leave()


@pytest.mark.contract("SV3")
async def test_asking_for_pages_counts_for_the_rate_limit():
    async with running(limits=Limits(rate=1, burst=5)) as server, server.enter() as reader:
        for _ in range(6):
            await reader.ask(1)
        assert (await reader.close_of())[0] == 4429


@pytest.mark.contract("SV2")
async def test_offsets_go_on_after_trimming_and_after_a_restart(tmp_path):
    path = tmp_path / "history.db"
    limits = Limits(**QUICK)
    offsets = []
    for _ in range(3):
        async with running(
            create_app(history=SqliteHistory(path, keep=5), limits=limits)
        ) as server:
            async with server.enter() as talker:
                assert [m["offset"] for m in talker.history] == offsets[-5:]
                for number in range(8):
                    await talker.say(str(number))
                offsets += [m["offset"] for m in await talker.messages(8)]
    assert offsets == list(range(1, 25))


@pytest.mark.contract("SV1")
async def test_an_empty_room_is_forgotten_but_not_what_was_said_there():
    async with running() as server:
        async with server.enter("lobby") as talker:
            await talker.say("still here")
            await talker.messages(1)
        await until(lambda: not server.chat.rooms)
        assert server.chat.clients == 0
        async with server.enter("lobby") as late:
            assert [m["content"] for m in late.history] == ["still here"]


@pytest.mark.contract("SV4")
async def test_room_names_are_one_form_of_any_language():
    async with running() as server:
        async with server.enter("caf%C3%A9", "Ann"), server.enter("cafe%CC%81", "Bob") as bob:
            assert bob.presence["members"] == ["Ann", "Bob"]
        async with server.enter("%E0%A4%B9%E0%A4%BF%E0%A4%A8%E0%A5%8D%E0%A4%A6%E0%A5%80") as hindi:
            assert hindi.presence["count"] == 1


@pytest.mark.contract("SV6")
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("hello", "invalid_json"),
        ("", "invalid_json"),
        ('{"content": "a"', "invalid_json"),
        ('{"content": "\\ud800"}', "invalid_json"),
        ('{"content": "a", "x": ' + "[" * 50_000 + "]" * 10_000 + "}", "invalid_json"),
        ("[1]", "invalid_message"),
        ("null", "invalid_message"),
        ("{}", "invalid_message"),
        ('{"content": 1}', "invalid_message"),
        ('{"content": null}', "invalid_message"),
        ('{"content": "a", "timestamp": 1}', "invalid_message"),
        ('{"content": "a", "timestamp": ""}', "invalid_message"),
        (json.dumps({"content": "a", "timestamp": "9" * 65}), "invalid_message"),
        ('{"content": ""}', "empty_content"),
        ('{"content": " \\n\\t"}', "empty_content"),
        ('{"type": "history"}', "invalid_message"),
        ('{"type": "history", "before": 0}', "invalid_message"),
        ('{"type": "history", "before": 5, "limit": 101}', "invalid_message"),
        ('{"type": "history", "before": 5, "content": ""}', "empty_content"),
        (b'{"content": "a"}', "binary_message"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_invalid_is_an_error_frame_and_the_connection_stays(frame, code):
    async with running() as server, server.enter() as sender, server.enter() as other:
        await sender.read_until("join")
        await sender.connection.send(frame)
        error = await sender.read()
        assert set(error) == {"type", "code", "message"}
        assert (error["type"], error["code"]) == ("error", code)
        assert error["message"].endswith(".")
        await sender.say("still here")
        assert (await sender.read_until("message"))["content"] == "still here"
        assert (await other.read())["content"] == "still here"


@pytest.mark.contract("SV5")
async def test_closing_tells_everybody_1012_and_leaves_nothing_behind(tmp_path):
    async with assert_no_leaks():
        app = create_app(history=f"sqlite:///{tmp_path / 'history.db'}")
        async with running(app) as server:
            async with server.enter() as ann, guest(server.url()) as echo:
                await ann.say("kept")
                await ann.messages(1)
                async with asyncio.timeout(PATIENCE):
                    await server.chat.aclose()
                assert (await ann.close_of())[0] == 1012
                assert (await echo.close_of())[0] == 1012
                assert server.chat.clients == 0
