"""Home Assistant's WebSocket API on a loopback socket, as faithful as its own clients need it.

npm's `home-assistant-js-websocket` accepts it: `loopback/test_home_assistant.py`. It says what
developers.home-assistant.io/docs/api/websocket describes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

VERSION = "2026.11.0"


class House:
    """What all clients see: entities, tokens, and what was asked.

    Attributes:
        token: The one that is accepted.
        states: The state of each entity.
        asked: The commands, in order, with the number of the connection they came on.
        connections: The open ones.
    """

    def __init__(self) -> None:
        self.token = "secret"
        self.states = {"light.kitchen": "off"}
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.connections: list[ServerConnection] = []
        self.url = ""
        self._subscribed: dict[ServerConnection, dict[int, str | None]] = {}
        self._number = 0

    async def fire(self, kind: str, data: Any) -> None:
        """Tell an event to everybody who subscribed to its type."""
        event = {"event_type": kind, "data": data, "origin": "LOCAL", "time_fired": "2026-11-30"}
        for connection, subscribed in self._subscribed.items():
            for number, wanted in subscribed.items():
                if wanted in {None, kind}:
                    await say(connection, {"id": number, "type": "event", "event": event})

    async def drop(self) -> None:
        """Break all connections."""
        for connection in list(self.connections):
            connection.transport.abort()
            await connection.wait_closed()

    async def handle(self, connection: ServerConnection) -> None:
        """Talk to one client."""
        self._number += 1
        number = self._number
        try:
            if await self._lets_in(connection):
                self.connections.append(connection)
                self._subscribed[connection] = {}
                await self._serve(connection, number)
        except ConnectionClosed:
            pass
        finally:
            self._subscribed.pop(connection, None)
            if connection in self.connections:
                self.connections.remove(connection)

    async def _lets_in(self, connection: ServerConnection) -> bool:
        await say(connection, {"type": "auth_required", "ha_version": VERSION})
        told = json.loads(await connection.recv())
        if told.get("type") == "auth" and told.get("access_token") == self.token:
            await say(connection, {"type": "auth_ok", "ha_version": VERSION})
            return True
        words = "Invalid access token or password"
        await say(connection, {"type": "auth_invalid", "message": words})
        await connection.close()
        return False

    async def _serve(self, connection: ServerConnection, number: int) -> None:
        last = 0
        async for frame in connection:
            told = json.loads(frame)
            self.asked.append((number, told))
            if told["id"] <= last:
                await self._fail(
                    connection, told, "id_reuse", "Identifier values have to increase."
                )
                continue
            last = told["id"]
            await self._do(connection, told)

    async def _do(self, connection: ServerConnection, told: dict[str, Any]) -> None:
        mine = self._subscribed[connection]
        match told["type"]:
            case "ping":
                await say(connection, {"id": told["id"], "type": "pong"})
            case "supported_features":
                await self._done(connection, told, None)
            case "get_states":
                shown = [{"entity_id": name, "state": it} for name, it in self.states.items()]
                await self._done(connection, told, shown)
            case "get_config":
                await self._done(connection, told, {"version": VERSION, "state": "RUNNING"})
            case "subscribe_events" if told.get("event_type") == "forbidden":
                await self._fail(connection, told, "unauthorized", "Unauthorized")
            case "subscribe_events":
                mine[told["id"]] = told.get("event_type")
                await self._done(connection, told, None)
            case "unsubscribe_events" if told.get("subscription") in mine:
                del mine[told["subscription"]]
                await self._done(connection, told, None)
            case "unsubscribe_events":
                await self._fail(connection, told, "not_found", "Subscription not found.")
            case "call_service" if told["service"] in {"turn_on", "turn_off"}:
                entity = told["target"]["entity_id"]
                self.states[entity] = state = told["service"].removeprefix("turn_")
                await self.fire("state_changed", {"entity_id": entity, "new_state": state})
                context = {"id": "01", "parent_id": None, "user_id": "u"}
                await self._done(connection, told, {"context": context, "response": None})
            case "call_service":
                words = f"Service {told['domain']}.{told['service']} not found."
                await self._fail(connection, told, "not_found", words)
            case _:
                await self._fail(connection, told, "unknown_command", "Unknown command.")

    async def _done(self, connection: ServerConnection, told: dict[str, Any], result: Any) -> None:
        answer = {"id": told["id"], "type": "result", "success": True, "result": result}
        await say(connection, answer)

    async def _fail(
        self, connection: ServerConnection, told: dict[str, Any], code: str, message: str
    ) -> None:
        error = {"code": code, "message": message}
        await say(
            connection, {"id": told["id"], "type": "result", "success": False, "error": error}
        )


async def say(connection: ServerConnection, data: Any) -> None:
    """Send one message; the client may be gone."""
    await connection.send(json.dumps(data))


@asynccontextmanager
async def home_assistant() -> AsyncIterator[House]:
    """Serve a house on a loopback port, until the block ends."""
    house = House()
    async with serve(house.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        house.url = f"ws://127.0.0.1:{port}/api/websocket"
        yield house
