"""What several tests over real sockets are given."""

from __future__ import annotations

import pytest_asyncio
from tests.loopback.redis_servers import redis_server


@pytest_asyncio.fixture
async def redis(tmp_path):
    async with redis_server(tmp_path) as server:
        yield server
