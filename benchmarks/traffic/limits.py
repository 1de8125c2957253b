"""Raise the limits of the operating system that thousands of connections meet."""

from __future__ import annotations

import resource

__all__ = ["allow_many_files"]


def allow_many_files() -> int:
    """Raise the limit of open files as far as this user may; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
