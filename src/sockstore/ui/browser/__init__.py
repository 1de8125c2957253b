"""Components for the page of the visitor's own browser, in Python that runs there (Pyodide).

They are placed in a layout, which is mounted in the document. All of it can be imported
everywhere, and be used in a browser.

Example:
    ::

        from sockstore.ui.browser import ChatInput, ChatMessages, WebSocketProvider, mount


        def chat():
            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMessages()
                ChatInput()


        page = mount(chat)
"""

from sockstore.ui.browser.chat_input import ChatInput
from sockstore.ui.browser.component import Component
from sockstore.ui.browser.demo import WebSocketDemo
from sockstore.ui.browser.element import Element
from sockstore.ui.browser.history import PageHistory
from sockstore.ui.browser.inspector import ConnectionInspector
from sockstore.ui.browser.live_list import LiveList
from sockstore.ui.browser.page import MountedPage, mount, run
from sockstore.ui.browser.provider import SubscriptionProvider, WebSocketProvider
from sockstore.ui.browser.room import ChatMembers, ChatMessages
from sockstore.ui.browser.status import ConnectionStatus

__all__ = [
    "ChatInput",
    "ChatMembers",
    "ChatMessages",
    "Component",
    "ConnectionInspector",
    "ConnectionStatus",
    "Element",
    "LiveList",
    "MountedPage",
    "PageHistory",
    "SubscriptionProvider",
    "WebSocketDemo",
    "WebSocketProvider",
    "mount",
    "run",
]
