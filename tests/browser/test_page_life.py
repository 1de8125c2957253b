"""What is left of pages that were shown: nothing, on either side."""

from __future__ import annotations

import asyncio
import gc
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from weakref import WeakSet

import pytest
import pytest_asyncio
from anyio._backends._asyncio import WorkerThread
from anyio.to_thread import current_default_thread_limiter
from nicegui import Client, core, ui

import sockstore
from browser.demos import (
    CONNECTED,
    RECORDS,
    address_of,
    create_demo,
    eventually,
    listen,
    say,
    served,
    wait_for_lines,
)
from inside import count_watchers
from loopback.processes import SECONDS
from sockstore.server import create_app
from sockstore.testing import assert_no_leaks
from sockstore.ui.nicegui import (
    ChatInput,
    ChatMessages,
    ConnectionInspector,
    ConnectionStatus,
    WebSocketDemo,
    WebSocketProvider,
)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("page life"),
]


class Site:
    """The demo's pages, some more, and the separate server that they talk to."""

    def __init__(self) -> None:
        self.server_socket, self.page_socket = listen(), listen()
        self.server = f"ws://{address_of(self.server_socket)}"
        self.address = f"http://{address_of(self.page_socket)}"
        self.server_app = create_app()
        self.chat_server = self.server_app.state.chat_server
        self.demo_app = create_demo(address_of(self.page_socket), self.server)
        # A visitor who is gone is given up soon, so that the tests need not wait.
        core.app.config.reconnect_timeout = 1.0
        self.add_page_of_parts()
        self.add_page_that_shares()
        self.add_page_with_a_store_of_the_program()

    @property
    def clients(self) -> int:
        return self.chat_server.clients

    def add_page_of_parts(self) -> None:
        @ui.page("/parts")
        def parts() -> None:
            around = ui.element("div")

            def add() -> None:
                with around, WebSocketProvider(f"{self.server}/chat/parts?name=Ann"):
                    ConnectionStatus()
                    ChatMessages()
                    ChatInput()

            ui.button("add", on_click=add)
            ui.button("clear", on_click=around.clear)

    def add_page_that_shares(self) -> None:
        @ui.page("/shared")
        def shared() -> None:
            with WebSocketProvider(f"{self.server}/chat/shared", share=True):
                ConnectionStatus()
                ChatMessages()
                ChatInput()

    def add_page_with_a_store_of_the_program(self) -> None:
        self.store = sockstore.WebSocketStore(f"{self.server}/echo")

        @ui.page("/store")
        def store() -> None:
            WebSocketDemo(self.store)
            ConnectionInspector(self.store)

        @ui.page("/lost")
        def lost() -> None:
            ConnectionStatus(name="nowhere")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site():
    site = Site()
    # Its watch over lost links makes new tasks without end, which hide ours.
    core.sio.eio.start_service_task = False
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(site.server_app, site.server_socket))
        await stack.enter_async_context(served(site.demo_app, site.page_socket))
        yield site


def visitors() -> list[Client]:
    """Return the clients that a browser has shown: NiceGUI keeps the others for a minute."""
    return [client for client in Client.instances.values() if client._pinned_tab_id is not None]


async def rest(site: Site) -> None:
    """Wait until every visitor has been given up, as NiceGUI does after some seconds."""
    await eventually(lambda: not visitors(), "visitors are gone")
    await eventually(lambda: site.clients == 0, "their connections are closed")


def fetch(address: str) -> int:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.contract("CN1", "UI6")
async def test_a_plain_http_client_that_fetches_the_page_causes_no_connection(site, open_page):
    for path in ("/", "/chat", "/shared") * 5:
        assert await asyncio.to_thread(fetch, f"{site.address}{path}") == 200
    page = await open_page(f"{site.address}/chat?name=Ann")
    await page.wait_for_selector(CONNECTED)
    await eventually(lambda: site.chat_server.rooms == {"lobby": ["Ann"]}, "Ann is in the room")
    assert site.clients == 1
    await page.close()
    await rest(site)


@pytest.mark.contract("UI6", "LC3", "LC4")
async def test_navigation_and_closing_a_tab_close_their_sockets_and_no_other(site, open_page):
    ann = await open_page(f"{site.address}/chat?room=tabs&name=Ann")
    bob = await open_page(f"{site.address}/chat?room=tabs&name=Bob")
    for page in (ann, bob):
        await page.wait_for_selector(CONNECTED)
    await eventually(
        lambda: sorted(site.chat_server.rooms["tabs"]) == ["Ann", "Bob"], "both are in the room"
    )
    await ann.get_by_role("link", name="Echo").click()
    await ann.wait_for_selector(".sockstore-banner.connected")
    await eventually(lambda: site.chat_server.rooms["tabs"] == ["Bob"], "Ann has left the room")
    await bob.get_by_text("Ann left").wait_for()
    await say(bob, "still here")
    await wait_for_lines(bob, "still here")
    await bob.close()
    await eventually(lambda: "tabs" not in site.chat_server.rooms, "Bob has left the room")
    await ann.close()
    await rest(site)


@pytest.mark.contract("UI1", "UI6")
async def test_components_that_are_added_later_mount_and_removed_ones_unmount(site, open_page):
    page = await open_page(f"{site.address}/parts")
    for _ in range(3):
        await page.get_by_text("add").click()
        await page.wait_for_selector(CONNECTED)
        await eventually(lambda: site.chat_server.rooms["parts"] == ["Ann"], "Ann is in the room")
        await page.get_by_text("clear").click()
        await eventually(lambda: site.clients == 0, "the removed provider has disconnected")
    await page.close()
    await rest(site)


@pytest.mark.contract("PV7", "UI6")
async def test_tabs_that_share_have_one_connection_until_the_last_one_is_closed(site, open_page):
    tabs = [await open_page(f"{site.address}/shared") for _ in range(3)]
    for tab in tabs:
        await tab.wait_for_selector(CONNECTED)
    assert site.clients == 1
    await say(tabs[0], "to all")
    for tab in tabs:
        await wait_for_lines(tab, "to all")
    await tabs.pop().close()
    await eventually(lambda: len(visitors()) == 2, "one visitor is gone")
    await say(tabs[1], "to the others")
    await wait_for_lines(tabs[0], "to all", "to the others")
    assert site.clients == 1
    for tab in tabs:
        await tab.close()
    await rest(site)


@pytest.mark.contract("UI1", "UI5", "UI6")
async def test_components_take_a_connection_of_the_program_and_leave_it_as_it_was(site, open_page):
    async with site.store as store:
        await store.ready()
        watched = (store.state, store.timeline, store.latency, store.messages)

        def subscribers() -> list[int]:
            return [count_watchers(store) for store in watched]

        before = subscribers()
        page = await open_page(f"{site.address}/store")
        await page.wait_for_selector(".sockstore-banner.connected")
        await say(page, "hello")
        [message] = await store.messages.wait_for(len)
        assert message.data["content"] == "hello"
        await page.wait_for_selector(RECORDS)
        closed = subscribers()
        assert closed[1] == 0
        # An inspector costs something only while it is open.
        for _ in range(3):
            await page.get_by_role("button", name="Inspector").click()
            await page.get_by_text("Open after").wait_for()
            assert subscribers() == [closed[0] + 1, 1, *closed[2:]]
            await page.keyboard.press("Escape")
            await eventually(lambda: subscribers() == closed, "the subscribers are as before")
        await page.get_by_role("button", name="Inspector").click()
        await page.get_by_text("Open after").wait_for()
        await page.close()
        await eventually(lambda: not visitors(), "the visitor is gone")
        assert store.connected.value
        await eventually(lambda: subscribers() == before, "the subscribers are as before")


@pytest.mark.contract("UI1", "PV4")
async def test_a_component_outside_any_provider_says_so(site):
    assert await asyncio.to_thread(fetch, f"{site.address}/lost") == 500


@pytest.mark.contract("LC2", "LC5", "UI6")
async def test_fifty_page_loads_with_the_inspector_open_leave_nothing(site, chromium, monkeypatch):
    async def visit(times: int) -> None:
        context = await chromium.new_context()
        await context.add_init_script("localStorage.setItem('sockstore inspector', 'open')")
        context.set_default_timeout(SECONDS * 1000)
        page = await context.new_page()
        for _ in range(times):
            for path in ("/", "/chat?name=Ann", "/chat?room=other", "/shared", "/"):
                await page.goto(f"{site.address}{path}")
                await page.wait_for_selector(CONNECTED)
                if path != "/shared":
                    await page.get_by_text("Open after").wait_for()
        await context.close()
        await rest(site)
        # NiceGUI's own loops for a visitor notice some seconds later that it has gone.
        await eventually(lambda: asyncio.all_tasks() <= tasks, "all tasks have ended")

    def stores() -> WeakSet[sockstore.WebSocketStore]:
        gc.collect()
        return WeakSet(one for one in gc.get_objects() if isinstance(one, sockstore.WebSocketStore))

    # One worker thread, which stays: which of its threads anyio lets go is not our subject.
    monkeypatch.setattr(WorkerThread, "MAX_IDLE_TIME", 3600)
    current_default_thread_limiter().total_tokens = 1
    tasks = asyncio.all_tasks()
    await visit(1)  # what only the first visit makes
    before = stores()
    async with assert_no_leaks():
        await visit(10)
    # Those of the pages before, which may end meanwhile, do not count.
    await eventually(lambda: not stores() - before, "the pages' stores are gone")
