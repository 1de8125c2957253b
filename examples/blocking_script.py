"""A script without asyncio: sent messages wait for the connection, replies are read in order."""

import sys

from sockstore.blocking import WebSocket

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"

with WebSocket(URL) as ws:
    for number in range(3):
        ws.send({"number": number})
    for message in ws:
        print(message.data)
        if message.data["number"] == 2:
            break
