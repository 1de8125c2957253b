"""The command line: ``sockstore listen``, ``send``, ``serve`` and ``demo``."""

from sockstore.cli.main import main

__all__ = ["main"]
