"""Run ``sockstore demo --terminal``: a connection survives the death of its server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sockstore import ConnectionState, Message, Reconnect, WebSocketStore
from sockstore.base.tasks import start_task
from sockstore.cli import signals
from sockstore.cli.common import CommandError, sentence
from sockstore.cli.output import PLAIN_TERMINALS, OutputFailed, put

FEWEST = 4
"""A quarter of the messages is sent before the server is killed."""
SECONDS_BETWEEN_MESSAGES = 0.5
SECONDS_DOWN = 2.5
SECONDS_TO_START = 30.0

GREEN, RED, FAINT, PLAIN = "\033[32m", "\033[31m", "\033[2m", "\033[0m"


def play(messages: int) -> int:
    """Play the story: an echo server is killed without warning and started again.

    Args:
        messages: How many to send, one every half second; at least `FEWEST`.

    Returns:
        The exit status: 0 if each came back once and in order.
    """
    return signals.run(_tell(messages))


async def _tell(messages: int) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    story = _Story(messages, task)
    try:
        return await story.play()
    except asyncio.CancelledError:
        if story.output_failed is None:
            raise
        raise story.output_failed from None


@dataclass
class _Story:
    """The story.

    Args:
        messages: How many to send.
        task: The task that plays the story.
        began: When the story began.
        returned: The messages that have come back; `show_message` adds them.
        output_failed: Why the story cannot be printed; `tell` sets it and cancels the task.
    """

    messages: int
    task: asyncio.Task[Any]
    began: float = field(default_factory=monotonic)
    returned: list[object] = field(default_factory=list)
    output_failed: OutputFailed | None = None

    async def play(self) -> int:
        async with _server(0) as (process, port):
            self.tell(f"an echo server runs on port {port}")
            async with WebSocketStore(
                f"ws://127.0.0.1:{port}/echo", reconnect=Reconnect.exponential(max=2)
            ) as connection:
                connection.state.subscribe(self.show_state)
                connection.messages.on_append(self.show_message)
                await connection.ready(timeout=SECONDS_TO_START)
                sending = start_task(self.send_all(connection))
                await self.wait_until_returned(connection, self.messages // 4)
                self.tell("the server is killed (SIGKILL): no close frame, no goodbye", RED)
                process.kill()
                await process.wait()
                await asyncio.sleep(SECONDS_DOWN)
                async with _server(port):
                    self.tell("the server is started again on the same port")
                    await sending
                    await self.wait_until_returned(connection, self.messages)
                    await connection.aclose()
        status = self.conclude()
        await asyncio.sleep(0)  # here the task is cancelled if the last line was not printed
        return status

    async def send_all(self, connection: WebSocketStore) -> None:
        for number in range(1, self.messages + 1):
            receipt = connection.send({"type": "chat", "content": f"message {number}"})
            self.tell(f"  -> message {number} {receipt.state}", FAINT)
            await asyncio.sleep(SECONDS_BETWEEN_MESSAGES)

    async def wait_until_returned(self, connection: WebSocketStore, number: int) -> None:
        try:
            await connection.messages.wait_for(
                lambda _: len(self.returned) >= number, timeout=2 * SECONDS_TO_START
            )
        except TimeoutError:
            why = f"only {len(self.returned)} of {number} messages came back"
            raise CommandError(why) from None

    def show_state(self, state: ConnectionState) -> None:
        now = asyncio.get_running_loop().time()
        colour = GREEN if state.status == "connected" else RED if state.error else FAINT
        self.tell(f"status {state.status:<12} {sentence(state, now)}", colour)

    def show_message(self, message: Message) -> None:
        data = message.data
        content = data["content"] if isinstance(data, dict) else data
        self.returned.append(content)
        self.tell(f"  <- {content}")

    def conclude(self) -> int:
        expected = [f"message {number}" for number in range(1, self.messages + 1)]
        if self.returned != expected:
            self.tell(f"{len(self.returned)} of {self.messages} messages came back", RED)
            return 1
        self.tell(f"all {self.messages} messages came back, each once and in order", GREEN)
        return 0

    def tell(self, text: str, colour: str = PLAIN) -> None:
        if self.output_failed is not None:
            return
        stamp = f"{monotonic() - self.began:.1f} s".ljust(8)
        before, after = (colour, PLAIN) if _shows_colours() else ("", "")
        try:
            put(text, f"{stamp}{before}", after)
        except OutputFailed as failed:  # many callers are subscribers, which must not raise
            self.output_failed = failed
            self.task.cancel()


def _shows_colours() -> bool:
    is_dumb = os.environ.get("TERM") in PLAIN_TERMINALS or bool(os.environ.get("NO_COLOR"))
    return sys.stdout.isatty() and not is_dumb


@asynccontextmanager
async def _server(port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run ``sockstore serve`` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sockstore", "serve", "--port", str(port), "--history", "sqlite:///:memory:"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, await _port_of(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _port_of(process: asyncio.subprocess.Process) -> int:
    """Read the port from the first line that the server prints."""
    assert process.stdout is not None  # noqa: S101 - asked for above
    assert process.stderr is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(SECONDS_TO_START):
            line = (await process.stdout.readline()).decode()
    except TimeoutError:
        raise CommandError(f"the echo server did not start within {SECONDS_TO_START:g} s") from None
    match = re.search(r":(\d+)/", line)
    if match is None:
        problem = (await process.stderr.read()).decode().strip()
        raise CommandError(problem or "the echo server did not start")
    return int(match[1])
