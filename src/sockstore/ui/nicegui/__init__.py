"""Components as NiceGUI elements, for pages that Python makes.

They are placed where elements are placed, and mounted when a visitor's browser has connected to the
page: one that only fetches it (a crawler, a prefetch) makes no connection.

Example:
    ::

        from nicegui import ui
        from sockstore.ui.nicegui import ChatInput, ChatMessages, WebSocketProvider


        @ui.page("/chat")
        def chat() -> None:
            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMessages()
                ChatInput()
"""

from sockstore.ui.nicegui.chat_input import ChatInput
from sockstore.ui.nicegui.component import run
from sockstore.ui.nicegui.demo import WebSocketDemo
from sockstore.ui.nicegui.inspector import ConnectionInspector
from sockstore.ui.nicegui.live_list import LiveList
from sockstore.ui.nicegui.provider import SubscriptionProvider, WebSocketProvider
from sockstore.ui.nicegui.room import ChatMembers, ChatMessages
from sockstore.ui.nicegui.status import ConnectionStatus

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
