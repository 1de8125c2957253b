"""Use a `WebSocketStore` from scripts and threads, by methods that block.

Importing this package loads no WebSocket engine and starts no thread.
"""

from sockstore.blocking.callbacks import Callbacks, Unsubscriber
from sockstore.blocking.receipts import Receipt
from sockstore.blocking.streams import MessageStream
from sockstore.blocking.subscription import Subscription
from sockstore.blocking.websocket import WebSocket

__all__ = ["Callbacks", "MessageStream", "Receipt", "Subscription", "Unsubscriber", "WebSocket"]
