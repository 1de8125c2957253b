"""The programs of `examples/jobs` do their jobs: each one against its fake server."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import sys
from ast import literal_eval
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest

from jobs.gateway import DiscordGateway
from jobs.graphql import GraphQLServer
from jobs.home_assistant import HomeAssistant
from jobs.json_rpc import RpcServer
from jobs.market import Market
from jobs.on_loopback import on_loopback
from jobs.rooms import RoomsServer
from loopback import server_kit
from sockstore import OutcomeUnknown, Reconnect, SubscriptionRefused, WebSocketStore
from sockstore.protocols import Centrifuge
from sockstore.server import Limits
from sockstore.testing import assert_no_leaks, check_protocol
from waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
JOBS = sorted((EXAMPLES / "jobs").glob("*.py"))
on_the_virtual_clock = pytest.mark.virtual_clock


def from_the_example(name, thing):
    """Return something of a program; `home.py` needs the folder above."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return runpy.run_path(str(EXAMPLES / "jobs" / name))[thing]
    finally:
        sys.path.remove(str(EXAMPLES))


Books = from_the_example("market.py", "Books")
GraphQL = from_the_example("graphql.py", "GraphQL")
Home = from_the_example("home.py", "Home")
Gateway = from_the_example("gateway.py", "Gateway")
Peer = from_the_example("json_rpc.py", "Peer")
Rooms = from_the_example("rooms.py", "Rooms")


@asynccontextmanager
async def serving(server):
    """Run a fake server; at the end nothing is left of it and of its clients."""
    async with assert_no_leaks(), server:
        yield server


async def is_lost(connection):
    # Told of it, not asking again and again: with a short backoff it is back between two looks.
    await connection.connected.wait_for(lambda connected: not connected)


# (a) The market


class Watch:
    """Watches the books of all symbols, and compares each state with that of the market."""

    def __init__(self, books, market):
        self.market = market
        self.seen = {symbol: [] for symbol in market.books}
        self.wrong = []
        self.stops = [self.watch(books.book(symbol), symbol) for symbol in market.books]

    def watch(self, store, symbol):
        def look(state):
            if state is not None:
                number, levels = state
                self.seen[symbol].append(number)
                if levels != self.market.history[symbol][number]:
                    self.wrong.append((symbol, number))

        return store.subscribe(look)

    async def more(self, count=20):
        """Wait until each book was seen so often again."""
        wanted = {symbol: len(numbers) + count for symbol, numbers in self.seen.items()}
        await until(lambda: all(len(self.seen[symbol]) >= n for symbol, n in wanted.items()))

    def holes_after(self, symbol, count):
        """How often a book left out a number, since it had been seen so often."""
        numbers = self.seen[symbol][count - 1 :]
        return sum(after - before != 2 for before, after in pairwise(numbers))

    def stop(self):
        for stop in self.stops:
            stop()


@asynccontextmanager
async def watched_market():
    async with serving(Market([f"s{number}" for number in range(8)])) as market:
        books = Books("ws://market", market.load, transport=market)
        books.feed.connect()
        yield market, books
        await books.feed.aclose()


@on_the_virtual_clock
@pytest.mark.contract("SU1", "SU2", "PR4")
async def test_two_who_watch_a_book_are_one_subscription():
    async with watched_market() as (market, books):
        store = books.book("s0")
        stops = [store.subscribe(lambda state: None) for _ in range(2)]
        await until(lambda: store.value is not None)
        assert [each["params"] for each in market.asked] == [["s0@depth"]]
        assert market.asked[0]["method"] == "SUBSCRIBE"
        for stop in stops:
            stop()
        await until(lambda: market.subscribed[market.connection] == set())


@on_the_virtual_clock
@pytest.mark.contract("SU1", "SU2", "SU7")
async def test_no_state_of_a_book_is_wrong_over_a_loss_and_a_rotation():
    async with watched_market() as (market, books):
        watch = Watch(books, market)
        await watch.more()
        market.drop()
        await is_lost(books.feed)
        await watch.more()
        assert market.snapshots == 2 * 8
        assert len(market.handshakes) == 2

        seen_before = {symbol: len(numbers) for symbol, numbers in watch.seen.items()}
        await books.rotate()
        await watch.more()
        assert len(market.handshakes) == 3
        assert len(market.open_connections) == 1
        assert [watch.holes_after(*each) for each in seen_before.items()] == [0] * 8
        assert market.snapshots == 2 * 8, "the old connection was followed meanwhile"

        books.feed.reconnect()  # a break before the make: each book is loaded again
        await watch.more()
        assert market.snapshots == 3 * 8
        market.drop()
        await is_lost(books.feed)
        await watch.more()
        assert market.snapshots == 4 * 8

        assert watch.wrong == []
        assert [len(each["params"]) for each in market.asked] == [8] * 5
        watch.stop()
        await until(lambda: market.subscribed[market.connection] == set())


@on_the_virtual_clock
async def test_a_book_is_released_and_another_watched_while_the_connection_is_replaced():
    async with watched_market() as (market, books):
        watch = Watch(books, market)
        await watch.more()
        rotation = asyncio.create_task(books.rotate())
        await until(lambda: len(market.handshakes) == 2)
        watch.stops.pop()()
        again = books.book("s7").subscribe(lambda state: None)
        await rotation
        again()
        del watch.seen["s7"]
        await watch.more()
        assert watch.wrong == []
        await until(lambda: len(market.subscribed[market.connection]) == 7)
        watch.stop()


@on_the_virtual_clock
@pytest.mark.contract("SU7")
async def test_a_hole_loads_one_book_and_asks_the_market_nothing():
    async with watched_market() as (market, books):
        watch = Watch(books, market)
        await watch.more()
        mine = market.subscribed[market.connection]
        mine.remove("s3@depth")  # the market leaves out a change
        before = market.numbers["s3"]
        await until(lambda: market.numbers["s3"] > before)
        mine.add("s3@depth")
        await watch.more()
        assert market.snapshots == 8 + 1
        assert watch.wrong == []
        assert len(market.asked) == 1
        watch.stop()


# (b) GraphQL


@on_the_virtual_clock
@pytest.mark.contract("PR1", "PR2", "SU2", "SU6")
async def test_graphql_operations_run_to_their_ends_and_over_a_loss():
    tokens, refreshes = iter(["secret", "expired", "secret"]), []

    def token(attempt):
        refreshes.append(attempt.refresh)
        return next(tokens)

    async with serving(GraphQLServer()) as server:
        async with WebSocketStore(
            "ws://graphql", protocol=GraphQL(token), transport=server
        ) as client:
            async with client.subscribe("three") as results:
                assert [each.data["data"]["n"] async for each in results] == [0, 1, 2]
            async with client.subscribe("bad") as results:
                with pytest.raises(SubscriptionRefused, match="Syntax Error"):
                    await anext(aiter(results))

            got = []
            async with client.subscribe("endless", {"limit": 1}) as results:
                async for each in results:
                    got.append(each.data["data"]["n"])
                    if len(got) == 3:
                        server.drop()  # and the next token is an expired one
                    if len(got) == 6:
                        break
            assert got == [0, 1, 2, 0, 1, 2]
            assert len(server.handshakes) == 3
            assert refreshes == [False, False, True]
            assert server.pongs == 2  # one for each connection that was let in
            await until(lambda: server.running == [])
            assert [each["type"] for each in server.asked[-2:]] == ["pong", "complete"]
            assert len(client.messages) == 0, "all else was control"
        asked = [each["payload"] for each in server.asked if each["type"] == "subscribe"]
        assert asked[2:] == [{"query": "endless", "variables": {"limit": 1}}] * 2


@on_the_virtual_clock
@pytest.mark.contract("OP4", "RC7")
async def test_a_token_of_the_first_message_is_asked_for_again_if_it_was_refused():
    asked = []

    def token(attempt):
        asked.append(attempt.refresh)
        return "new" if attempt.refresh else "old"

    async with serving(GraphQLServer(tokens=("new",))) as server:
        async with WebSocketStore(
            "ws://graphql", protocol=GraphQL(token), transport=server
        ) as client:
            await client.ready()
            assert asked == [False, True]


@on_the_virtual_clock
async def test_two_graphql_operations_with_the_same_query_are_two():
    async with serving(GraphQLServer()) as server:
        async with WebSocketStore(
            "ws://graphql", protocol=GraphQL(lambda _: "secret"), transport=server
        ) as client:
            async with client.subscribe("endless"), client.subscribe("endless"):
                await until(lambda: len(server.running) == 2)


class GraphQLModel:
    """The server's side of one connection, for `check_protocol`."""

    def __init__(self):
        self.running = {}

    @property
    def subscribed(self):
        return self.running

    def greet(self):
        return []

    def hear(self, frame):
        message = json.loads(frame)
        match message["type"]:
            case "connection_init":
                assert message["payload"] == {"token": "secret"}
                return ['{"type": "connection_ack"}', '{"type": "ping"}']
            case "subscribe":
                self.running[message["payload"]["query"]] = message["id"]
            case "complete":
                self.running = {k: v for k, v in self.running.items() if v != message["id"]}
            case other:
                assert other == "pong"
        return []

    def publish(self, key, data):
        return [json.dumps({"type": "next", "id": self.running[key], "payload": {"data": data}})]


class GraphQLHarness:
    protocol = GraphQL(lambda _: "secret")
    given: ClassVar = {"token": "secret"}
    keys = ("subscription { a }", "subscription { b }", "subscription { c }")
    refused_key = None  # no answer says that an operation was accepted
    server = GraphQLModel


@pytest.mark.contract("PR1")
def test_the_protocol_of_graphql_keeps_the_contract_of_protocols():
    check_protocol(GraphQLHarness())


# (c) Home Assistant


@on_the_virtual_clock
@pytest.mark.contract("PR1", "SU2", "SU4", "OB11")
async def test_events_of_home_assistant_go_on_after_a_loss():
    async with serving(HomeAssistant()) as house:
        home = Home("ws://home", "secret", transport=house)
        async with home.api, home.api.subscribe("state_changed") as changes:
            states = [{"entity_id": "light.kitchen", "state": "off"}]
            assert await home.ask("get_states") == states
            await home.ask("call_service", service="turn_on")
            house.drop()
            await is_lost(home.api)
            # It was made in the outage, and its id is above that of the subscription.
            assert await home.ask("get_states") == states
            await home.ask("call_service", service="turn_off")
            got = [each.data["data"] for each in changes.messages.value]
            # The first of each subscription stands right behind the answer to it.
            assert got == ["first", "turn_on", "first", "turn_off"]
            assert len(house.handshakes) == 2
            changes.unsubscribe()
            await until(lambda: house.asked[-1]["type"] == "unsubscribe_events")
            await until(lambda: house.subscriptions[house.connection] == {})


@on_the_virtual_clock
@pytest.mark.contract("SU4")
async def test_the_event_right_behind_the_answer_is_there_for_who_waited_for_the_answer():
    async with serving(HomeAssistant()) as house:
        async with Home("ws://home", "secret", transport=house).api as api:
            async with api.subscribe("state_changed") as changes:
                await changes.ready()
                assert (await anext(aiter(changes))).data["data"] == "first"


@on_the_virtual_clock
@pytest.mark.contract("OP3", "RC7")
async def test_a_wrong_token_of_home_assistant_fails_with_the_words_of_the_server():
    async with serving(HomeAssistant()) as house:
        async with Home("ws://home", "wrong", transport=house).api as api:
            await api.phase.wait_for(lambda phase: phase == "failed")
            assert "Invalid access token or password" in str(api.error.value)
            assert "Invalid access token or password" in api.explain()


# (d) The gateway


@asynccontextmanager
async def talking_gateway(beat=2.0, token="secret"):
    async with serving(DiscordGateway(beat)) as server:
        got = []
        gateway = Gateway(token, server.find_url, got.append, transport=server)
        async with gateway.feed:
            yield server, gateway, got


@on_the_virtual_clock
@pytest.mark.contract("OP1", "OP2", "OP5")
async def test_a_gateway_tells_what_was_missed_once_and_in_order():
    async with talking_gateway() as (server, gateway, got):
        await gateway.feed.ready()
        for number in range(3):
            server.tell(number)
        server.drop()
        for number in range(3, 6):
            server.store(number)
        await is_lost(gateway.feed)
        await gateway.feed.ready()
        server.tell(6)
        await until(lambda: len(got) >= 7)
        server.ask_to_reconnect()
        server.store(7)
        await until(lambda: len(server.handshakes) == 3)
        await gateway.feed.ready()
        server.tell(8)
        await until(lambda: len(got) >= 9)
        assert got == [*range(9)]
        assert server.asked_for_url == 1, "a session is resumed at the url that it was given"
        await until(lambda: server.beats >= 3)
        assert len(server.handshakes) == 3


@on_the_virtual_clock
@pytest.mark.contract("OP5", "LV3")
async def test_a_gateway_that_answers_no_heartbeat_is_a_loss_that_is_shown():
    async with talking_gateway() as (server, gateway, got):
        errors = []
        gateway.feed.error.subscribe(lambda error: errors.append(str(error)))
        await gateway.feed.ready()
        server.acknowledges = False
        await until(lambda: len(server.handshakes) == 2)
        server.acknowledges = True
        assert "no answer to heartbeat" in errors
        assert gateway.feed.stats().losses == 1
        await gateway.feed.ready()
        server.tell("again")
        await until(lambda: got == ["again"])


@on_the_virtual_clock
async def test_a_session_that_cannot_be_resumed_is_begun_anew():
    async with talking_gateway() as (server, gateway, got):
        await gateway.feed.ready()
        before = gateway.session
        server.sessions.clear()
        server.drop()
        await is_lost(gateway.feed)
        await gateway.feed.ready()
        assert gateway.session != before
        assert gateway.session in server.sessions
        assert len(server.handshakes) == 2
        server.tell("new")
        await until(lambda: got == ["new"])


@on_the_virtual_clock
async def test_a_session_that_timed_out_is_not_asked_for_again():
    async with talking_gateway() as (server, gateway, _):
        await gateway.feed.ready()
        server.close(4009, "Session timed out")
        await is_lost(gateway.feed)
        await gateway.feed.ready()
        assert [each["op"] for each in server.asked if each["op"] != 1] == [2, 2]
        assert server.asked_for_url == 2


@on_the_virtual_clock
@pytest.mark.contract("RC6", "OP3")
async def test_a_wrong_token_of_the_gateway_fails():
    async with talking_gateway(token="wrong") as (server, gateway, _):
        await gateway.feed.phase.wait_for(lambda phase: phase == "failed")
        assert gateway.feed.state.value.failure.reason == "fatal close code"
        assert "4004" in gateway.feed.explain()
        assert len(server.handshakes) == 1


# (f) JSON-RPC


@on_the_virtual_clock
@pytest.mark.contract("PR5")
async def test_a_peer_calls_and_is_called():
    async with serving(RpcServer()) as server:

        async def confirm(what):
            return f"yes to {what[0]}"

        peer = Peer("ws://peer", {"confirm": confirm}, transport=server)
        async with peer.link:
            assert await peer.call("add", 1, 2) == 3
            assert await peer.call("ask_me", "delete") == "yes to delete"
            assert await peer.call("unknown_at_client") == -32601
            assert len(peer.link.messages) == 0, "calls by the server are no messages"
            peer.notify("progress", 50)
            await until(lambda: server.asked[-1].get("method") == "progress")
            assert server.asked[-1] == {"jsonrpc": "2.0", "method": "progress", "params": [50]}


@on_the_virtual_clock
@pytest.mark.contract("PR5", "OB7")
async def test_a_new_connection_is_not_given_the_answer_to_a_call_of_the_old_one():
    # The fake raises for an answer to what it did not ask.
    async with serving(RpcServer()) as server:
        called, release = asyncio.Event(), asyncio.Event()

        async def confirm(what):
            called.set()
            await release.wait()
            return "late"

        peer = Peer("ws://peer", {"confirm": confirm}, transport=server)
        async with peer.link:
            call = asyncio.create_task(peer.call("ask_me", "x"))
            await called.wait()
            server.drop()
            await is_lost(peer.link)
            release.set()
            with pytest.raises(OutcomeUnknown):
                await call
            assert await peer.call("add", 1, 2) == 3
            methods = [each.get("method", "an answer") for each in server.asked]
            assert methods == ["ask_me", "add"]


# (g) Rooms

OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)
THIRTY = [f"room{number}" for number in range(30)]


class Shown:
    """What a program has shown of each room, gaps as their reasons and refusals as their words."""

    def __init__(self):
        self.of = {name: [] for name in THIRTY}

    def __call__(self, shown):
        is_refusal = isinstance(shown, SubscriptionRefused)
        said = shown.why if is_refusal else shown.data
        self.of[shown.key].append(said.reason if getattr(shown, "kind", "") == "gap" else said)


@asynccontextmanager
async def thirty_rooms(**options):
    async with serving(RoomsServer(**options)) as server:
        shown = Shown()
        rooms = Rooms("ws://rooms", THIRTY, shown, transport=server)
        running = asyncio.create_task(rooms.run())
        await until(lambda: all(each.state.value.phase != "waiting" for each in all_of(rooms)))
        await asyncio.gather(*(each.ready() for each in all_of(rooms)), return_exceptions=True)
        yield server, rooms, shown
        rooms.link.close()
        await running


def all_of(rooms):
    return rooms.rooms.values()


@on_the_virtual_clock
@pytest.mark.contract("SE0", "SE1")
async def test_thirty_rooms_of_one_connection_come_back_in_one_handshake():
    async with thirty_rooms() as (server, rooms, shown):
        for number, name in enumerate(THIRTY):
            server.say(name, number)
        await until(lambda: all(shown.of.values()))
        server.drop()
        for name in THIRTY:
            server.store(name, "meanwhile")
        await is_lost(rooms.link)
        await rooms.link.ready()
        for name in THIRTY:
            server.say(name, "after")
        await until(lambda: all(each[-1] == "after" for each in shown.of.values()))
        assert shown.of == {
            name: [number, "meanwhile", "after"] for number, name in enumerate(THIRTY)
        }
        assert len(server.handshakes) == 2
        asked = [each for each in server.asked if "subscribe" in each]
        assert len(asked) == 60, "each room is asked for once on each connection"


@on_the_virtual_clock
@pytest.mark.contract("SE1", "SE3")
async def test_what_one_room_has_lost_is_told_in_this_room_only():
    async with thirty_rooms(keeps=3) as (server, rooms, shown):
        server.drop()
        for _ in range(9):
            server.store("room7", "lost")
        await is_lost(rooms.link)
        await asyncio.gather(*(each.ready() for each in all_of(rooms)))
        for name in THIRTY:
            server.say(name, "after")
        await until(lambda: all(each[-1:] == ["after"] for each in shown.of.values()))
        assert shown.of.pop("room7") == ["unavailable", "after"]
        assert all(each == ["after"] for each in shown.of.values())


@on_the_virtual_clock
@pytest.mark.contract("SE1", "SU6")
async def test_a_room_that_is_refused_or_ended_leaves_the_others_alone():
    async with thirty_rooms(most=29) as (server, _, shown):
        server.end("room7", 2000, "room closed")
        server.end("room8", 2500, "insufficient state")
        await until(lambda: shown.of["room7"] and server.asked[-1].get("subscribe"))
        for name in THIRTY:
            server.say(name, "after")
        await until(lambda: sum(each[-1:] == ["after"] for each in shown.of.values()) == 28)
        assert shown.of["room7"] == ["room closed"]
        assert shown.of["room8"] == ["after"], "it was asked for again, and had lost nothing"
        assert shown.of["room29"] == ["limit exceeded (106)"]
        assert len(server.handshakes) == 1


@pytest.mark.asyncio
@pytest.mark.loopback
@pytest.mark.contract("SE0", "SE1", "SE2")
async def test_thirty_rooms_of_our_own_server_lose_nothing_over_an_outage():
    limits = Limits(rate=1e6, burst=1_000_000)
    async with server_kit.running(limits=limits) as server:
        url = server.url("/connection/websocket")
        shown = Shown()
        rooms = Rooms(url, THIRTY, shown, reconnect=OFTEN)
        running = asyncio.create_task(rooms.run())
        await asyncio.gather(*(each.ready(30) for each in all_of(rooms)))
        async with WebSocketStore(url, protocol=Centrifuge()) as writer:
            for said in ("before", "meanwhile", "after"):
                if said == "meanwhile":
                    rooms.link.lose("a test said so")
                for name in THIRTY:
                    async with writer.subscribe(name) as room:
                        await room.send(said)
                if said == "meanwhile":
                    await rooms.link.ready(30)
        await until(lambda: all(each[-1:] == ["after"] for each in shown.of.values()))
        assert set(map(tuple, shown.of.values())) == {("before", "meanwhile", "after")}
        rooms.link.close()
        await running


# As programs, over loopback


@asynccontextmanager
async def running(name, *arguments):
    """Run a program of the examples; yield its process, and kill what is left of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-u", "-m", f"jobs.{name}", *arguments),
        cwd=EXAMPLES,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


STATE = "{'entity_id': 'light.kitchen', 'state': 'off'}"
PROGRAMS = {
    "graphql": (
        GraphQLServer,
        ["secret", "three"],
        [f"{{'n': {n}, 'q': 'three'}}" for n in range(3)],
    ),
    "home": (HomeAssistant, ["secret"], [f"[{STATE}]", "first"]),
    "json_rpc": (RpcServer, [], ["3", "yes to delete"]),
}


@pytest.mark.asyncio
@pytest.mark.loopback
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_runs_as_it_stands(name):
    make_server, arguments, lines = PROGRAMS[name]
    async with on_loopback(make_server()) as address:
        async with running(name, f"ws://{address}", *arguments) as process:
            out, err = await process.communicate()
    assert (out.decode().splitlines(), err) == (lines, b"")


@pytest.mark.asyncio
@pytest.mark.loopback
async def test_the_program_of_the_market_prints_books_that_are_right():
    market = Market(["s0", "s1"])
    async with on_loopback(market) as address:
        arguments = (f"ws://{address}", f"http://{address}/depth", "s0", "s1")
        async with running("market", *arguments) as process:
            for _ in range(40):
                line = (await process.stdout.readline()).decode()
                symbol, state = line.split(" ", 1)
                if state != "None\n":
                    number, levels = literal_eval(state)
                    assert levels == market.history[symbol][number]


@pytest.mark.asyncio
@pytest.mark.loopback
async def test_the_program_of_the_gateway_prints_messages_until_the_server_sends_it_away():
    gateway = DiscordGateway()
    async with on_loopback(gateway) as address:
        gateway.URL = f"ws://{address}"
        async with running("gateway", gateway.URL, "secret") as process:
            await until(lambda: gateway.sessions)
            gateway.tell("hello")
            assert await process.stdout.readline() == b"hello\n"
            gateway.close(4004, "Authentication failed")
            out, _ = await process.communicate()
        assert "4004" in out.decode()


@pytest.mark.asyncio
@pytest.mark.loopback
async def test_the_program_of_the_rooms_prints_their_messages():
    server = RoomsServer(most=2)
    async with on_loopback(server) as address:
        async with running("rooms", f"ws://{address}", "a", "b", "c") as process:
            refusal = await process.stdout.readline()
            assert refusal == b"the server refused the subscription 'c': limit exceeded (106)\n"
            server.say("b", {"n": 1})
            assert await process.stdout.readline() == b"b: {'n': 1}\n"


# How long they are


def lines_of_the_core(path):
    """The lines between `# core` and `# end`, without blank ones, comments and docstrings."""
    cores = re.findall(r"# core[^\n]*\n(.*?)# end", path.read_text(), re.DOTALL)
    assert len(cores) == 1
    lines = [line.strip() for line in cores[0].splitlines()]
    return [line for line in lines if line and not line.startswith(("#", '"""'))]


def test_the_programs_are_short_and_have_next_to_no_plumbing():
    cores = {path.name: lines_of_the_core(path) for path in JOBS}
    assert len(cores) == 6
    assert len(cores["rooms.py"]) <= 15
    assert sum(map(len, cores.values())) <= 165
    plumbing = {name: sum("#!" in line for line in lines) for name, lines in cores.items()}
    assert plumbing.pop("market.py") <= 18  # a connection that is replaced: RO1 is for later
    assert sum(plumbing.values()) <= 12
