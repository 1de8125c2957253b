"""The soak, in a length that fits into every run; `make soak` runs the long one."""

from __future__ import annotations

import random

import pytest
from tests.soak.soak import soak

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio, pytest.mark.timeout(240)]


@pytest.mark.contract("SE1", "SE2", "SE3", "OB3", "SV2")
@pytest.mark.parametrize("history", ["sqlite", "redis"])
async def test_every_acknowledged_message_arrives_once_and_in_order(history, capsys):
    tally = await soak(2400, 12, history, seed=random.randrange(10**6))
    with capsys.disabled():
        print(f"\nsoak, {history}: {tally}")  # noqa: T201 - the counts are what it is for
    assert tally.deliveries == 4 * 2400
    assert tally.receipts == {"acknowledged": 2400}
