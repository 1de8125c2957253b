"""One WebSocket connection as reactive state."""

from sockstore.connection.websocket_store import WebSocketStore

__all__ = ["WebSocketStore"]
