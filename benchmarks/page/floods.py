"""Number of messages in a flood."""

__all__ = ["COUNTS"]

COUNTS = {128: 40_000, 256: 30_000, 2048: 15_000}
"""The number of messages, by their size in bytes."""
