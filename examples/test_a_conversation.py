"""Test a program against a fake server that converses: `pytest examples/test_a_conversation.py`."""

import json

import pytest

from sockstore import WebSocketStore
from sockstore.testing import FakeClient, FakeServer, assert_no_leaks


class Thermostat:
    """Stand in for the program under test: it logs in, and keeps a room's temperature."""

    def __init__(self, connection: WebSocketStore) -> None:
        self.connection = connection

    async def log_in(self, password: str) -> bool:
        """Return whether the server lets us in."""
        with self.connection.stream() as answers:
            self.connection.send({"type": "login", "password": password})
            return (await anext(answers)).data["type"] == "welcome"

    async def set(self, degrees: int) -> int:
        """Return the temperature that the server confirms."""
        with self.connection.stream() as answers:
            self.connection.send({"type": "set", "degrees": degrees})
            return (await anext(answers)).data["degrees"]


async def heating(client: FakeClient) -> None:
    """Play the server: it wants a password first, and heats to 25 degrees at most."""
    login = json.loads(await client.receive())
    if login["password"] != "warm":  # noqa: S105 - a password of a test
        await client.send({"type": "refused"})
        client.close(4403, "wrong password")
        return
    await client.send({"type": "welcome"})
    async for message in client:
        await client.send({"type": "is", "degrees": min(25, json.loads(message)["degrees"])})


@pytest.mark.virtual_clock
async def test_the_temperature_is_set_once_we_are_let_in() -> None:
    async with (
        assert_no_leaks(),
        FakeServer(heating) as server,
        WebSocketStore("ws://heating", transport=server) as connection,
    ):
        thermostat = Thermostat(connection)
        assert await thermostat.log_in("warm")
        assert await thermostat.set(21) == 21
        assert await thermostat.set(40) == 25


@pytest.mark.virtual_clock
async def test_a_wrong_password_is_refused() -> None:
    async with (
        FakeServer(heating) as server,
        WebSocketStore("ws://heating", transport=server, reconnect=False) as connection,
    ):
        assert not await Thermostat(connection).log_in("cold")
