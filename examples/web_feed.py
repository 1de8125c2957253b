"""A live list of trades in a page: give it the url of a feed, open http://localhost:8080."""

import sys

from nicegui import ui

from sockstore.ui.nicegui import ConnectionStatus, LiveList, WebSocketProvider

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"


@ui.page("/")
def trades() -> None:
    with WebSocketProvider(URL):
        ConnectionStatus()
        LiveList(lambda trade: (trade["symbol"], trade["price"]), columns=("Symbol", "Price"))


if __name__ == "__main__":
    ui.run(port=int(sys.argv[2]) if len(sys.argv) > 2 else 8080, show=False, reload=False)
