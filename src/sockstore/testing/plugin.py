"""Give pytest the fixtures and the marker of the test kit, wherever sockstore is installed.

It imports sockstore only when a test uses it. The marker ``virtual_clock`` runs the test
itself; asynchronous fixtures of other plugins run on their own loops.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sockstore.testing import FakeServer, VirtualClock

__all__ = ["fake_server", "virtual_clock"]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Return a `VirtualClock`; a coroutine test marked ``virtual_clock`` runs on it."""
    from sockstore.testing import VirtualClock  # noqa: PLC0415 - see the module's docstring

    return VirtualClock()


@pytest.fixture
def fake_server() -> FakeServer:
    """Return a `FakeServer` that accepts every handshake."""
    from sockstore.testing import FakeServer  # noqa: PLC0415 - see the module's docstring

    return FakeServer()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "virtual_clock: run this coroutine test on sockstore's virtual clock"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests that are marked ``virtual_clock``."""
    if pyfuncitem.get_closest_marker("virtual_clock") is None:
        return None
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from sockstore.testing import VirtualClock  # noqa: PLC0415 - see the module's docstring

    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clock = pyfuncitem.funcargs.get("virtual_clock")
    if not isinstance(clock, VirtualClock):
        clock = VirtualClock()
    clock.run(pyfuncitem.obj(**arguments))
    return True
