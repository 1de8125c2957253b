"""The server of the soak: as `sockstore serve`, with limits for a thousand messages a second."""

import argparse

import uvicorn

from sockstore.server import Limits, SqliteHistory, create_app
from sockstore.server.redis.history import RedisHistory

PROTOCOL = "sockstore.server.uvicorn_protocol:BoundedWebSocketProtocol"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("history")
    options = parser.parse_args()
    keep = 10_000_000
    if options.history.startswith("redis://"):
        history = RedisHistory(options.history, keep=keep)
    else:
        history = SqliteHistory(options.history, keep=keep)
    limits = Limits(rate=100_000, burst=100_000, buffer_messages=10_000, buffer_bytes=16 * 2**20)
    app = create_app(history=history, limits=limits)
    uvicorn.run(app, port=options.port, ws=PROTOCOL, log_level="error", ws_ping_interval=5)


if __name__ == "__main__":
    main()
