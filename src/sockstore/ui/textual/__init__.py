"""Components as Textual widgets, for terminals.

They are placed in ``compose``. They begin when they are mounted, and leave nothing when their
screen is popped or switched away, or when the application ends.

Example:
    ::

        from textual.app import App
        from sockstore.ui.textual import ChatInput, ChatMessages, WebSocketProvider


        class Chat(App):
            def compose(self):
                with WebSocketProvider("wss://chat.example.com/ws"):
                    yield ChatMessages()
                    yield ChatInput()
"""

from sockstore.ui.textual.chat_input import ChatInput
from sockstore.ui.textual.component import run
from sockstore.ui.textual.demo import WebSocketDemo
from sockstore.ui.textual.inspector import ConnectionInspector
from sockstore.ui.textual.live_list import LiveList
from sockstore.ui.textual.provider import SubscriptionProvider, WebSocketProvider
from sockstore.ui.textual.room import ChatMembers, ChatMessages
from sockstore.ui.textual.status import ConnectionStatus

__all__ = [
    "ChatInput",
    "ChatMembers",
    "ChatMessages",
    "ConnectionInspector",
    "ConnectionStatus",
    "LiveList",
    "SubscriptionProvider",
    "WebSocketDemo",
    "WebSocketProvider",
    "run",
]
