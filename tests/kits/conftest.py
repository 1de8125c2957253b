"""What the cases share: the garbage collector looks only at what they make."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Cases collect again and again, to prove that nothing is left: of what they make."""
    gc.freeze()
    yield
    gc.unfreeze()
