"""Conversations with hostile servers, and programs that act in the worst moment."""

from __future__ import annotations

from typing import Any

import pytest
from markets import Market, by_ids

from sockstore import Reconnect, WebSocketStore
from waiting import turns

pytestmark = pytest.mark.virtual_clock

QUICK = Reconnect.linear(1.0, attempts=None, jitter=0.0)


def connect_to(server: Any, protocol: Any = by_ids, **options: Any) -> WebSocketStore:
    options.setdefault("reconnect", QUICK)
    return WebSocketStore("ws://fake", transport=server, protocol=protocol, **options)


# In callbacks


@pytest.mark.contract("SU3")
@pytest.mark.parametrize("phase", ["subscribing", "subscribed"])
async def test_a_state_that_a_callback_has_made_untrue_is_not_shown(phase):
    async with connect_to(Market()) as connection:
        first, second = connection.subscribe("a"), connection.subscribe("b")
        stop = first.state.subscribe(
            lambda state: connection.lose("enough") if state.phase == phase else None
        )
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert second.state.value.phase == "waiting"
        stop()
        await second.ready(5)
        first.state.subscribe(lambda state: connection.close() if state.phase == phase else None)
        connection.lose("again")
        await connection.phase.wait_for(lambda phase: phase in {"closing", "closed"}, 5)
        await turns()
        assert second.state.value.phase == "waiting"
        assert second.state.value.error == "the connection has ended"
