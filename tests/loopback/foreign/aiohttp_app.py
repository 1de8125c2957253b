"""aiohttp: echoes, and does what the tests ask for (see server_programs.py).

python aiohttp_app.py PORT
"""

from __future__ import annotations

import json
import sys

from aiohttp import WSMsgType, web

last: list[object] = [0, ""]


async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(protocols=["two"])
    await websocket.prepare(request)
    # What `async for` hides is what the tests want to know: the close code and reason.
    while (message := await websocket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
        data = message.data
        word, _, rest = data.partition(" ") if isinstance(data, str) else ("", "", "")
        if word == "!close":
            code, _, reason = rest.partition(" ")
            await websocket.close(code=int(code), message=reason.encode())
        elif word == "!last":
            await websocket.send_str(json.dumps(last))
        elif isinstance(data, str):
            await websocket.send_str(data)
        else:
            await websocket.send_bytes(data)
    if message.type is WSMsgType.CLOSE:
        last[:] = message.data, message.extra or ""
    return websocket


app = web.Application()
app.add_routes([web.get("/", echo)])
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
