"""What the cases share: the garbage collector looks only at what they make."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _quick_collections() -> None:
    """Cases collect again and again, to prove that nothing is left; what was there may stay."""
    gc.freeze()
