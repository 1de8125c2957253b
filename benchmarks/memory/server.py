"""An echo server that holds as many connections as it is given: ``... server``; prints its port.

It ends when its standard input does, so it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import sys

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.memory.limits import allow_many_files

BACKLOG = 4096


class _Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


def _listener(request: WSUpgradeRequest) -> WSListener:
    del request
    return _Echo()


async def main() -> None:
    """Serve until the standard input ends."""
    allow_many_files()
    server = await ws_create_server(_listener, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
