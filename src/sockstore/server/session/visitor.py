"""Serve a client of the session: do its commands in their order, and ping it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from sockstore.base import version as _version
from sockstore.server.asgi import size_of
from sockstore.server.client import Client
from sockstore.server.history.base import HistoryError
from sockstore.server.limits import Limits
from sockstore.server.rooms.room import Rooms
from sockstore.server.session import replies
from sockstore.server.session.commands import (
    Connect,
    Disregarded,
    Invalid,
    Line,
    Parsed,
    Pong,
    Refresh,
    Send,
    Subscribe,
    Violation,
    parse,
)
from sockstore.server.session.membership import Membership
from sockstore.server.session.replies import NOT_NOW, PING, ErrorReply
from sockstore.server.session.requests import Requests
from sockstore.server.session.sending import Sending
from sockstore.server.session.subscribing import Subscribing

__all__ = ["CheckToken", "Heartbeat", "SessionVisitor"]

CheckToken: TypeAlias = Callable[[str | None], Awaitable[tuple[int, str] | None]]
"""Checks a token; returns a close code and reason if it is wrong or cannot be checked."""

COMMANDS_OF_A_TURN = 16
"""A message may have thousands of commands; between these, all other clients have their turn."""

MOST_REPLIES = 64 * 1024
"""Bytes; more replies than this are sent before the next command is done."""

FIRST_FINAL = 3500
"""The lowest close code of Centrifugo that tells a client not to try again."""

NO_CONNECT = (3502, "no connect in time")
NO_PONG = (3012, "no pong")


class SessionVisitor:
    """One session, which does the commands of its client strictly in their order.

    Args:
        rooms: The rooms of the server.
        only: The one room that it may subscribe to; None allows all.
        check_token: Awaited with the tokens of the client's commands.
        client: The client; it was accepted.
        is_admitted: Whether the token was right in the handshake; then `connect` needs none.
    """

    def __init__(
        self,
        rooms: Rooms,
        only: str | None,
        check_token: CheckToken,
        client: Client,
        *,
        is_admitted: bool = False,
    ) -> None:
        self._rooms = rooms
        self._check_token = check_token
        self._client = client
        self._is_admitted = is_admitted
        self._loop = asyncio.get_running_loop()
        # Set by the command `connect`.
        self._is_connected = False
        # Whether `hear` is doing the commands of a message; `hear` sets and resets it.
        self._is_busy = False
        self._heartbeat = Heartbeat(client, rooms.limits, lambda: self._is_busy)
        self._membership = Membership(rooms, client, only)
        self._requests = Requests(rooms, client, self._membership)
        # Replies that `_flush` will send, and their bytes; `_put` adds to them.
        self._replies: list[str] = []
        self._replies_size = 0
        self._sending = Sending(rooms, client, self._put, self._end_now)
        self._subscribing = Subscribing(
            client, rooms.limits, self._membership, self._put, self._flush
        )
        # The time between the messages of the client, up to the one that `hear` is doing, and when
        # the last one was done; `hear` sets both.
        self._idle_seconds = 0.0
        self._done_at = self._loop.time()

    async def run(self) -> None:
        """Serve the client until its connection has ended."""
        try:
            await self._client.run(self.hear, counts_messages=False)
        finally:
            self.leave()

    async def hear(self, message: str | bytes) -> None:
        """Do the commands of one message of the WebSocket."""
        self._is_busy = True
        self._idle_seconds += self._loop.time() - self._done_at
        try:
            for place, each in enumerate(parse(message), start=1):
                await self._take(each)
                if self._client.is_ending:
                    return
                if place % COMMANDS_OF_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._finish()
            self._flush()
        finally:
            self._is_busy = False
            self._done_at = self._loop.time()

    def leave(self) -> None:
        """Leave all rooms."""
        self._heartbeat.stop()
        self._membership.leave_all()

    async def _take(self, parsed: Parsed) -> None:
        """Take one line: a pong, a violation of the protocol, or a command within the limits."""
        if isinstance(parsed, Pong) and self._heartbeat.take_pong():
            return
        if isinstance(parsed, Violation):
            await self._end(3501, parsed.reason)
        elif not self._client.take_token():
            await self._finish()
            self._flush()
            self._client.end_throttled()
        elif not isinstance(parsed, Pong):
            await self._take_command(parsed)

    async def _take_command(self, parsed: Line | Invalid) -> None:
        """Do a command; messages and subscriptions are collected, all else comes after them."""
        is_connect = (
            parsed.name == "connect"
            if isinstance(parsed, Invalid)
            else isinstance(parsed.command, Connect)
        )
        if is_connect == self._is_connected:
            await self._end(3501, "a second connect" if is_connect else "a command before connect")
        elif isinstance(parsed, Line) and isinstance(parsed.command, Send):
            await self._subscribing.finish()
            await self._collect(parsed.number, parsed.command)
        elif isinstance(parsed, Line) and isinstance(parsed.command, Subscribe):
            await self._store()
            await self._subscribing.collect(parsed.number, parsed.command)
        else:
            await self._finish()
            await self._reply_to(parsed)

    async def _reply_to(self, parsed: Line | Invalid) -> None:
        if self._client.is_ending:
            return
        if isinstance(parsed, Invalid):
            self._put(replies.encode_error(parsed.number, ErrorReply(parsed.code, parsed.message)))
            return
        try:
            if isinstance(parsed.command, Connect):
                await self._connect(parsed.number, parsed.command)
            elif isinstance(parsed.command, Refresh):
                await self._refresh(parsed.number, parsed.command)
            elif not isinstance(parsed.command, Disregarded):
                name, result = await self._requests.do(parsed.command)
                self._answer(parsed.number, name, result)
        except ErrorReply as error:
            self._put(replies.encode_error(parsed.number, error))
        except HistoryError:
            self._put(replies.encode_error(parsed.number, NOT_NOW))

    async def _connect(self, number: int, command: Connect) -> None:
        self._heartbeat.stop()
        refusal = None if self._is_admitted else await self._check_token(command.token)
        if refusal is not None:
            self._client.end(*refusal)
            return
        self._is_connected = True
        limits = self._rooms.limits
        ping = limits.ping_seconds
        announced = {
            "rate": limits.rate,
            "burst": limits.burst,
            "max_message_bytes": limits.max_message_bytes,
            "remembers": self._rooms.history.remember_seconds,
        }
        self._answer(
            number,
            "connect",
            {
                "client": self._client.id,
                "version": _version.__version__,
                "ping": int(ping) if ping == int(ping) else ping,
                "pong": True,
                "data": {"sockstore": announced},
            },
        )
        self._heartbeat.start()

    async def _refresh(self, number: int, command: Refresh) -> None:
        """Check another token of a client that is connected.

        Raises:
            ErrorReply: 100, if the token cannot be checked now.
        """
        refusal = await self._check_token(command.token)
        if refusal is None:
            result = {"client": self._client.id, "version": _version.__version__}
            self._answer(number, "refresh", result)
        elif refusal[0] < FIRST_FINAL:
            raise NOT_NOW
        else:
            await self._end(*refusal)

    async def _collect(self, number: int, command: Send) -> None:
        """Keep a message, to store it together with the next ones for the same room."""
        try:
            room = self._membership.check(command.channel)
        except ErrorReply as error:
            await self._store()
            self._put(replies.encode_error(number, error))
            return
        send = Send(room, command.id, command.data)
        await self._sending.collect(number, send, self._idle_seconds)

    async def _finish(self) -> None:
        """Do what is collected: messages, or subscriptions."""
        await self._store()
        await self._subscribing.finish()

    async def _store(self) -> None:
        """Store the collected messages."""
        await self._sending.store(self._idle_seconds)

    async def _end(self, code: int, reason: str) -> None:
        """Do what is collected, send the replies, and close the connection."""
        await self._finish()
        self._end_now(code, reason)

    def _end_now(self, code: int, reason: str) -> None:
        self._flush()
        self._client.end(code, reason)

    def _answer(self, number: int, name: str, result: Mapping[str, Any]) -> None:
        self._put(replies.encode_reply(number, name, result))

    def _put(self, reply: str) -> None:
        self._replies.append(reply)
        self._replies_size += size_of(reply)
        if self._replies_size > MOST_REPLIES:
            self._flush()

    def _flush(self) -> None:
        if self._replies:
            self._client.offer("\n".join(self._replies))
            self._replies.clear()
            self._replies_size = 0


class Heartbeat:
    """Ends a session without ``connect`` or without pongs, with one timer for both.

    Args:
        client: The client.
        limits: The limits of the server.
        is_busy: Returns whether the server is still doing earlier commands of the client; then a
            pong may be waiting after them.
    """

    def __init__(self, client: Client, limits: Limits, is_busy: Callable[[], bool]) -> None:
        self._client = client
        self._limits = limits
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        # Whether a ping has no pong yet; set by `_ask`, cleared by `take_pong`.
        self._is_asked = False
        # The deadline of `connect`, of a pong, or the time of the next ping.
        self._timer = self._loop.call_later(limits.connect_seconds, client.end, *NO_CONNECT)

    def start(self) -> None:
        """Ping the client from now on, because it has sent ``connect``."""
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.ping_seconds, self._ask)

    def take_pong(self) -> bool:
        """Note a pong; return False if no ping was sent."""
        was_asked, self._is_asked = self._is_asked, False
        return was_asked

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _ask(self) -> None:
        self._is_asked = True
        self._client.offer(PING)
        self._timer = self._loop.call_later(self._limits.pong_seconds, self._judge)

    def _judge(self) -> None:
        """Close the connection if the pong did not come; otherwise plan the next ping."""
        limits = self._limits
        if self._is_asked and self._is_busy():
            self._timer = self._loop.call_later(limits.pong_seconds, self._judge)
        elif self._is_asked:
            self._client.end(*NO_PONG)
        else:
            rest = max(0.0, limits.ping_seconds - limits.pong_seconds)
            self._timer = self._loop.call_later(rest, self._ask)
