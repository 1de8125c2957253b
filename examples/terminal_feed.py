"""A live list of trades in the terminal: give it the url of a feed."""

import sys

from textual.app import App, ComposeResult

from sockstore.ui.textual import ConnectionStatus, LiveList, WebSocketProvider

COLUMNS = ("Symbol", "Price")
URL = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8765/echo"


class Trades(App[None]):
    def compose(self) -> ComposeResult:
        with WebSocketProvider(URL):
            yield ConnectionStatus()
            yield LiveList(lambda trade: (trade["symbol"], trade["price"]), columns=COLUMNS)


if __name__ == "__main__":
    Trades().run()
