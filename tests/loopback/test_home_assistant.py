"""The protocol of the documentation, and npm's own client, against the same fake Home Assistant."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path

import pytest

from home_assistant_server import home_assistant
from loopback.node_packages import running_node
from sockstore import HandshakeFailed, Reconnect, RequestFailed, SubscriptionRefused, WebSocketStore
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

EXAMPLE = Path(__file__).parents[2] / "examples" / "home_assistant.py"
HomeAssistant = runpy.run_path(str(EXAMPLE))["HomeAssistant"]
OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)


def living_in(house, token="secret"):
    return WebSocketStore(house.url, protocol=HomeAssistant(token), reconnect=OFTEN)


def turn(state):
    target = {"entity_id": "light.kitchen"}
    return {"type": "call_service", "domain": "light", "service": f"turn_{state}", "target": target}


async def test_the_fake_is_accepted_by_the_client_of_home_assistant_itself():
    async with home_assistant() as house, asyncio.timeout(120):
        async with running_node("home_assistant.mjs", house.url, "secret") as node:
            output, errors = await node.communicate()
    assert node.returncode == 0, errors.decode()
    saw = json.loads(output)
    assert saw["wrongTokenIsInvalid"]
    assert saw["version"] == "2026.11.0"
    assert saw["states"] == [{"entity_id": "light.kitchen", "state": "off"}]
    assert saw["events"] == ["on"]
    assert saw["refusal"] == "not_found"


@pytest.mark.contract("PR1", "PR2", "OB11")
async def test_the_protocol_of_the_page_subscribes_asks_and_comes_back():
    async with home_assistant() as house, asyncio.timeout(30):
        async with living_in(house) as home, home.subscribe("state_changed") as changes:
            await changes.ready()
            assert await home.request({"type": "get_states"}) == [
                {"entity_id": "light.kitchen", "state": "off"}
            ]
            for state in ("on", "off"):
                await home.request(turn(state))
                is_lost = asyncio.ensure_future(home.connected.wait_for(lambda is_so: not is_so))
                await house.drop()
                await is_lost
                await changes.state.wait_for(lambda state: state.phase == "subscribed")
            await home.request(turn("on"))
            seen = [each.data["data"]["new_state"] for each in changes.messages.value]
            assert seen == ["on", "off", "on"]
            assert not home.messages.value  # all else was control
            for number in range(1, 4):
                ids = [told["id"] for where, told in house.asked if where == number]
                assert ids == sorted(set(ids))
                assert ids[0] == 1


@pytest.mark.contract("PR2", "OB5")
async def test_refusals_are_those_of_the_one_who_asked():
    async with home_assistant() as house, asyncio.timeout(30):
        async with living_in(house) as home, home.subscribe("state_changed") as accepted:
            async with home.subscribe("forbidden") as refused:
                with pytest.raises(SubscriptionRefused, match="Unauthorized"):
                    await refused.ready()
            await accepted.ready()
            with pytest.raises(RequestFailed, match="Unknown command"):
                await home.request({"type": "nothing"})
            accepted.unsubscribe()
            await until(lambda: house.asked[-1][1]["type"] == "unsubscribe_events")


@pytest.mark.contract("RC7", "PR1")
async def test_a_token_that_was_refused_is_asked_for_again():
    attempts = []

    def token(attempt):
        attempts.append(attempt.refresh)
        return "secret" if attempt.refresh else "old"

    async with home_assistant() as house, asyncio.timeout(30):
        async with living_in(house, token) as home:
            await home.ready()
        assert attempts == [False, True]
        async with living_in(house, "wrong") as home:
            with pytest.raises(Exception, match="Invalid access token") as caught:
                await home.ready()
            assert isinstance(caught.value.__cause__, HandshakeFailed)
