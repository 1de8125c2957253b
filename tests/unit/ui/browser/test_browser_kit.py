"""The kit in the browser says where it works, where it does not."""

from __future__ import annotations

import pytest

from sockstore import Navigator
from sockstore.ui.browser import Element, PageHistory, mount, run


def show() -> None:
    Element("p", text="Hello")


async def start_history() -> None:
    await PageHistory(Navigator(), lambda url: None).start()


@pytest.mark.parametrize("start", [lambda: mount(show), lambda: run(show)], ids=["mount", "run"])
def test_a_page_in_another_python_is_refused_in_one_sentence(start):
    with pytest.raises(RuntimeError, match="run it with Pyodide in a page, not in a worker"):
        start()


@pytest.mark.asyncio
async def test_so_is_a_history():
    with pytest.raises(RuntimeError, match="there is none here"):
        await start_history()
