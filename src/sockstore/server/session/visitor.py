"""A client that speaks the session, from its coming to its leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from sockstore.base import version as _version
from sockstore.server.asgi import size_of
from sockstore.server.client import Client
from sockstore.server.history.base import Entry, HistoryError, NotStored
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
    Send,
    Violation,
    parse,
)
from sockstore.server.session.membership import Membership
from sockstore.server.session.replies import PING, ErrorReply
from sockstore.server.session.requests import Requests

__all__ = ["Admit", "Heartbeat", "Visitor", "visit"]

Admit: TypeAlias = Callable[[str | None], Awaitable[tuple[int, str] | None]]
"""Is given the token of the first command; returns the close code and reason if it is not right."""

COMMANDS_OF_A_TURN = 16
"""A message may have thousands: all other clients have their turn in between."""

MOST_STORED_AT_ONCE = 64
"""Messages; how long telling the members of the room keeps the event loop busy."""

MOST_REPLIES = 64 * 1024
"""Bytes of replies from which on they leave before the next command is done."""

NO_CONNECT = (3502, "no connect in time")
NO_PONG = (3012, "no pong")
NOT_NOW = ErrorReply(100, "The server cannot do it now; try later.", is_temporary=True)
NOT_STORED = (3004, "a message could not be stored; send it again")


async def visit(rooms: Rooms, only: str | None, admit: Admit, client: Client) -> None:
    """Do what a client of the session asks for until its connection has ended.

    Args:
        rooms: The rooms of the server.
        only: The one room that it may be in; None lets it be in any.
        admit: Is awaited with the token of the first command.
        client: The client; it was accepted.
    """
    visitor = Visitor(rooms, only, admit, client)
    try:
        await client.run(visitor.hear, counts_messages=False)
    finally:
        visitor.leave()


class Visitor:
    """One session: does the commands of its client, strictly in their order.

    Args:
        rooms: As in `visit`.
        only: As in `visit`.
        admit: As in `visit`.
        client: As in `visit`.
    """

    def __init__(self, rooms: Rooms, only: str | None, admit: Admit, client: Client) -> None:
        self._rooms = rooms
        self._admit = admit
        self._client = client
        self._is_connected = False
        self._is_busy = False
        self._heartbeat = Heartbeat(client, rooms.limits, lambda: self._is_busy)
        self._membership = Membership(rooms, client, only, self._answer_now)
        self._requests = Requests(rooms, client, self._membership)
        self._replies: list[str] = []
        self._replies_size = 0
        self._unsent: list[tuple[int, Send]] = []

    async def hear(self, message: str | bytes) -> None:
        """Do the commands of one message of the WebSocket."""
        self._is_busy = True
        try:
            for place, each in enumerate(parse(message), start=1):
                await self._take(each)
                if self._client.is_ending:
                    return
                if place % COMMANDS_OF_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._store()
            self._flush()
        finally:
            self._is_busy = False

    def leave(self) -> None:
        """Leave all rooms."""
        self._heartbeat.stop()
        self._membership.leave_all()

    async def _take(self, parsed: Parsed) -> None:
        if isinstance(parsed, Pong) and self._heartbeat.take_pong():
            return
        if isinstance(parsed, Violation):
            await self._end(3501, parsed.reason)
        elif not self._client.take_token():
            await self._store()
            self._flush()
            self._client.end_throttled()
        elif not isinstance(parsed, Pong):
            await self._take_command(parsed)

    async def _take_command(self, parsed: Line | Invalid) -> None:
        is_connect = (
            parsed.name == "connect"
            if isinstance(parsed, Invalid)
            else isinstance(parsed.command, Connect)
        )
        if is_connect == self._is_connected:
            await self._end(3501, "a second connect" if is_connect else "a command before connect")
        elif isinstance(parsed, Line) and isinstance(parsed.command, Send):
            await self._collect(parsed.number, parsed.command)
        else:
            await self._store()
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
            elif not isinstance(parsed.command, Disregarded):
                name, result = await self._requests.do(parsed.number, parsed.command)
                if result is not None:
                    self._answer(parsed.number, name, result)
        except ErrorReply as error:
            self._put(replies.encode_error(parsed.number, error))
        except HistoryError:
            self._put(replies.encode_error(parsed.number, NOT_NOW))

    async def _connect(self, number: int, command: Connect) -> None:
        self._heartbeat.stop()
        refusal = await self._admit(command.token)
        if refusal is not None:
            self._client.end(*refusal)
            return
        self._is_connected = True
        limits = self._rooms.limits
        ping = limits.ping_seconds
        told = {
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
                "data": {"sockstore": told},
            },
        )
        self._heartbeat.start()

    async def _collect(self, number: int, command: Send) -> None:
        """Note a message to store together with those that follow it in the same room."""
        try:
            room = self._membership.check(command.channel)
        except ErrorReply as error:
            await self._store()
            self._put(replies.encode_error(number, error))
            return
        if self._unsent and (
            self._unsent[0][1].channel != room or len(self._unsent) >= MOST_STORED_AT_ONCE
        ):
            await self._store()
        if not self._client.is_ending:
            self._unsent.append((number, Send(room, command.id, command.data)))

    async def _store(self) -> None:
        """Store what was collected, all of it or nothing, and say where it is."""
        unsent, self._unsent = self._unsent, []
        if not unsent:
            return
        entries = [
            Entry(self._client.name, bytes(send.data).decode(), send.id) for _, send in unsent
        ]
        try:
            stored = await self._rooms.history.append(unsent[0][1].channel, entries)
        except NotStored:
            self._flush()
            self._client.end(*NOT_STORED)
            return
        for (number, _), each in zip(unsent, stored, strict=True):
            data = {"offset": each.offset, "epoch": each.epoch, "duplicate": each.is_duplicate}
            self._answer(number, "rpc", {"data": data})

    async def _end(self, code: int, reason: str) -> None:
        await self._store()
        self._flush()
        self._client.end(code, reason)

    def _answer(self, number: int, name: str, result: Mapping[str, Any]) -> None:
        self._put(replies.encode_reply(number, name, result))

    def _answer_now(self, number: int, name: str, result: Mapping[str, Any]) -> None:
        """Reply, and to all that was asked before: what follows is pushes."""
        self._answer(number, name, result)
        self._flush()

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
    """One timer: at first for ``connect``, then for pings and for their answers.

    Args:
        client: The client.
        limits: How long it has.
        is_busy: Whether the server itself holds up what the client has sent; then a pong may be
            waiting behind it.
    """

    def __init__(self, client: Client, limits: Limits, is_busy: Callable[[], bool]) -> None:
        self._client = client
        self._limits = limits
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._is_asked = False
        self._timer = self._loop.call_later(limits.connect_seconds, client.end, *NO_CONNECT)

    def start(self) -> None:
        """The client has said ``connect``: ping it from now on."""
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.ping_seconds, self._ask)

    def take_pong(self) -> bool:
        """Note an answer; False if nothing was asked."""
        was_asked, self._is_asked = self._is_asked, False
        return was_asked

    def stop(self) -> None:
        """Watch it no more."""
        self._timer.cancel()

    def _ask(self) -> None:
        self._is_asked = True
        self._client.offer(PING)
        self._timer = self._loop.call_later(self._limits.pong_seconds, self._judge)

    def _judge(self) -> None:
        limits = self._limits
        if self._is_asked and self._is_busy():
            self._timer = self._loop.call_later(limits.pong_seconds, self._judge)
        elif self._is_asked:
            self._client.end(*NO_PONG)
        else:
            rest = max(0.0, limits.ping_seconds - limits.pong_seconds)
            self._timer = self._loop.call_later(rest, self._ask)
