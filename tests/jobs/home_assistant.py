"""A server of Home Assistant's WebSocket API."""

from __future__ import annotations

from typing import Any

from jobs.job_server import JobServer
from sockstore.testing import FakeClient

__all__ = ["HomeAssistant"]


class HomeAssistant(JobServer):
    """Home Assistant's WebSocket API: it speaks first, ids must rise, events carry their ids.

    The first event of a subscription, and the events that a service causes, stand right beside the
    results, in the same read.

    Args:
        token: The access token that is let in.

    Attributes:
        subscriptions: For each client, oldest first, its subscriptions: id and kind of event.
    """

    VERSION = "2026.11.1"

    def __init__(self, token: str = "secret") -> None:
        super().__init__()
        self.subscriptions: dict[FakeClient, dict[int, str | None]] = {}
        self._token = token

    async def converse(self, client: FakeClient) -> None:
        client.send({"type": "auth_required", "ha_version": self.VERSION})
        words = await self.receive(client)
        if words.get("type") != "auth" or words.get("access_token") != self._token:
            client.send({"type": "auth_invalid", "message": "Invalid access token or password"})
            client.close()
            return
        client.send({"type": "auth_ok", "ha_version": self.VERSION})
        mine = self.subscriptions[client] = {}
        last = 0
        while True:
            command = await self.receive(client)
            key = command["id"]
            if key <= last:
                client.send(_result(key, error=("id_reuse", "Identifier values have to increase.")))
                continue
            last = key
            client.send(*self._answer_to(command, mine))

    def fire(self, kind: str, data: Any) -> None:
        """Let something happen: all who have asked for it are told."""
        for client in self.open_connections:
            if events := _events(self.subscriptions.get(client, {}), kind, data):
                client.send(*events)

    def _answer_to(self, command: dict[str, Any], mine: dict[int, str | None]) -> list[Any]:
        key = command["id"]
        match command["type"]:
            case "ping":
                return [{"id": key, "type": "pong"}]
            case "subscribe_events":
                kind = mine[key] = command.get("event_type")
                return [_result(key), *_events({key: kind}, kind or "any", "first")]
            case "unsubscribe_events":
                if mine.pop(command["subscription"], "unknown") == "unknown":
                    return [_result(key, error=("not_found", "Subscription not found."))]
                return [_result(key)]
            case "get_states":
                return [_result(key, [{"entity_id": "light.kitchen", "state": "off"}])]
            case "call_service":
                return [*_events(mine, "state_changed", command["service"]), _result(key)]
            case _:
                return [_result(key, error=("unknown_command", "Unknown command."))]


def _result(key: int, result: Any = None, error: tuple[str, str] | None = None) -> dict[str, Any]:
    answer = {"id": key, "type": "result", "success": error is None}
    if error is None:
        return {**answer, "result": result}
    return {**answer, "error": {"code": error[0], "message": error[1]}}


def _events(subscriptions: dict[int, str | None], kind: str, data: Any) -> list[dict[str, Any]]:
    event = {"event_type": kind, "data": data}
    return [
        {"id": key, "type": "event", "event": event}
        for key, wanted in subscriptions.items()
        if wanted in {kind, None}
    ]
