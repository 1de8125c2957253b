"""The soak: 4 senders, 4 readers, and every fault there is; then everything is counted.

Each of them has ten rooms on one connection; a sender's messages go to its rooms in turn.

::

    python -m tests.soak.soak --messages 100000 --faults 200 --history sqlite --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.loopback.chaos import ChaosProxy, chaos
from tests.loopback.processes import free_port
from tests.loopback.redis_servers import RedisServer, redis_server

from sockstore import Outbox, Position, Receipt, Reconnect, Subscription, WebSocketStore
from sockstore.protocols import Centrifuge

SENDERS = READERS = 4
ROOMS = tuple(f"soak{number}" for number in range(10))
MOST_WAITING = 400
SECONDS_OF_FREEZE = 2.5
"""Longer than it takes to notice."""

REPOSITORY = Path(__file__).parent.parent.parent


class Server:
    """One server process on a port of its own."""

    def __init__(self, history: str) -> None:
        self.port = free_port()
        self.starts = 0
        self._history = history
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.server", str(self.port), self._history),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            while not await self._answers():
                assert self._process.returncode is None, "the server has ended by itself"
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass
class Tally:
    """What happened."""

    messages: int
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    receipts: Counter[str] = field(default_factory=Counter)
    server_starts: int = 0
    connections: int = 0
    sent_again: int = 0
    deliveries: int = 0
    gaps: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        receipts = ", ".join(f"{count} {state}" for state, count in sorted(self.receipts.items()))
        return (
            f"seed {self.seed}: {self.messages} messages"
            f" ({receipts}; {self.sent_again} sent again),"
            f" {self.deliveries} deliveries, {self.gaps} gaps,"
            f" {sum(self.faults.values())} faults ({faults}),"
            f" {self.server_starts} server starts, {self.connections} connections,"
            f" {self.seconds:.1f} s"
        )


class Soak:
    """One run."""

    def __init__(self, tally: Tally, faults: int, servers: list[Server], redis: RedisServer | None):
        self.tally = tally
        self.rng = random.Random(tally.seed)
        self.wanted_faults = faults
        self.servers = servers
        self.redis = redis
        self.proxies: list[ChaosProxy] = []
        self.acknowledged: set[tuple[int, int]] = set()
        # What each reader has read in each room: offset, sender and number.
        self.read: list[dict[str, list[tuple[int, int, int]]]] = [
            {room: [] for room in ROOMS} for _ in range(READERS)
        ]
        self.thawing: set[asyncio.Task[None]] = set()

    def connection(self, number: int, name: str) -> WebSocketStore:
        proxy = self.proxies[number % len(self.proxies)]
        return WebSocketStore(
            f"ws://127.0.0.1:{proxy.port}/connection/websocket?name={name}",
            reconnect=Reconnect.exponential(base=0.05, max=0.5, min_uptime=0),
            ping_interval=0.5,
            ping_timeout=1.0,
            connect_timeout=3.0,
            close_timeout=0.2,
            outbox=Outbox(limit=10 * MOST_WAITING),
            protocol=Centrifuge(),
        )

    async def send(self, number: int) -> None:
        """Send this sender's share, and note what became of each message."""
        connection = self.connection(number, f"sender{number}")
        share = self.tally.messages // SENDERS
        receipts: list[Receipt] = []
        async with connection, AsyncExitStack() as stack:
            rooms = [
                await stack.enter_async_context(connection.subscribe(room, history=0))
                for room in ROOMS
            ]
            for n in range(share):
                receipts.append(rooms[n % len(rooms)].send({"s": number, "n": n}))
                if n >= MOST_WAITING:
                    await self._settled(receipts[n - MOST_WAITING], number, n - MOST_WAITING)
                if n % 20 == 0:
                    await asyncio.sleep(0)
            for n in range(max(0, share - MOST_WAITING), share):
                await self._settled(receipts[n], number, n)
        self.tally.receipts.update(receipt.state for receipt in receipts)
        self.tally.sent_again += connection.stats().messages_sent - share

    async def _settled(self, receipt: Receipt, number: int, n: int) -> None:
        await receipt
        self.acknowledged.add((number, n))

    async def listen(self, number: int) -> None:
        """Read all rooms over one connection until everything was read, and note it."""
        async with self.connection(number, f"reader{number}") as connection:
            async with asyncio.TaskGroup() as group:
                for room in ROOMS:
                    subscription = connection.subscribe(room, since=Position(0), history=0)
                    group.create_task(self._listen_to(subscription, self.read[number][room]))

    async def _listen_to(self, room: Subscription, read: list[tuple[int, int, int]]) -> None:
        async with room:
            stream = room.stream(limit=1_000_000)
            while len(read) < self.tally.messages // len(ROOMS):
                message = await anext(stream)
                if message.kind == "gap":
                    self.tally.gaps += 1
                    continue
                read.append((message.publication.offset, message.data["s"], message.data["n"]))

    async def disturb(self) -> None:
        """Spread the faults over the run."""
        every = self.tally.messages / (self.wanted_faults + 1)
        for fault in range(self.wanted_faults):
            while len(self.acknowledged) < every * (fault + 1):
                await asyncio.sleep(0.005)
            name = ""
            while not name:
                name = await self.one_fault()
                await asyncio.sleep(0.01)
            self.tally.faults[name] += 1

    async def one_fault(self) -> str:
        kinds = ["connection"] * 6 + ["server"] * 2 + (["redis"] if self.redis is not None else [])
        match self.rng.choice(kinds):
            case "server":
                server = self.rng.choice(self.servers)
                await server.kill()
                if self.rng.random() < 0.5:
                    await asyncio.sleep(self.rng.random() * 0.3)
                await server.start()
                return "kill -9 of a server"
            case "redis":
                await self.redis.kill()
                await asyncio.sleep(self.rng.random() * 0.3)
                await self.redis.start()
                return "kill -9 of Redis"
            case _:
                proxy = self.rng.choice(self.proxies)
                pairs = list(proxy.pairs)
                name = proxy.misbehave(self.rng)
                if name == "freeze":
                    task = asyncio.create_task(self._thaw(pairs))
                    self.thawing.add(task)
                    task.add_done_callback(self.thawing.discard)
                return name

    async def _thaw(self, pairs) -> None:
        await asyncio.sleep(self.rng.random() * SECONDS_OF_FREEZE)
        for pair in pairs:
            pair.thaw()

    async def run(self) -> None:
        began = time.perf_counter()
        async with AsyncExitStack() as stack:
            for server in self.servers:
                stack.push_async_callback(server.kill)
            await asyncio.gather(*(server.start() for server in self.servers))
            for server in self.servers:
                self.proxies.append(await stack.enter_async_context(chaos(server.port)))
            async with asyncio.TaskGroup() as group:
                for number in range(READERS):
                    group.create_task(self.listen(number))
                for number in range(SENDERS):
                    group.create_task(self.send(number))
                group.create_task(self.disturb())
            for task in list(self.thawing):
                task.cancel()
        self.tally.seconds = time.perf_counter() - began
        self.tally.server_starts = sum(server.starts for server in self.servers)
        self.tally.connections = sum(proxy.accepted for proxy in self.proxies)
        self.tally.deliveries = sum(len(read) for rooms in self.read for read in rooms.values())

    def check(self) -> None:
        """Every acknowledged message is at every reader, once, in its room, in the room's order."""
        total = self.tally.messages
        assert len(self.acknowledged) == total, "not every message is acknowledged"
        assert self.tally.gaps == 0
        for rooms in self.read:
            said = {(sender, n) for read in rooms.values() for _, sender, n in read}
            assert said == self.acknowledged
        for number, room in enumerate(ROOMS):
            self._check_room(number, [rooms[room] for rooms in self.read])

    def _check_room(self, number: int, of_readers: list[list[tuple[int, int, int]]]) -> None:
        read = of_readers[0]
        for other in of_readers:
            assert [offset for offset, _, _ in other] == [*range(1, len(read) + 1)], "a hole"
            assert other == read, "two readers saw different orders"
        for sender in range(SENDERS):
            mine = [n for _, of, n in read if of == sender]
            expected = [*range(number, self.tally.messages // SENDERS, len(ROOMS))]
            assert mine == expected, "a sender's messages are out of order"


async def soak(messages: int, faults: int, history: str, seed: int) -> Tally:
    """Run once, check, and return what happened."""
    each = SENDERS * len(ROOMS)  # every sender says as much in every room
    tally = Tally(messages // each * each, seed)
    with tempfile.TemporaryDirectory() as folder:
        if history == "sqlite":
            run = Soak(tally, faults, [Server(str(Path(folder) / "soak.db"))], None)
            await run.run()
        else:
            async with redis_server(Path(folder)) as redis:
                run = Soak(tally, faults, [Server(redis.url), Server(redis.url)], redis)
                await run.run()
        try:
            run.check()
        except AssertionError as error:
            error.add_note(str(tally))
            raise
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--history", choices=["sqlite", "redis", "both"], default="both")
    options = parser.parse_args()
    histories = ["sqlite", "redis"] if options.history == "both" else [options.history]
    for history in histories:
        tally = asyncio.run(soak(options.messages, options.faults, history, options.seed))
        print(f"{history}: {tally}", flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
