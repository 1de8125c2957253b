"""Docstrings in Google's style, as napoleon reads them, but for one thing.

In the docstring of a property napoleon takes the words before a colon for its type, so that
"The fine state: idle, connecting ..." has the type "The fine state".
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    for name, default, rebuild, kinds in Config._config_values:
        app.add_config_value(name, default, rebuild, kinds)
    app.add_config_value("made_by_the_package", (), "env", (tuple,))
    app.connect("autodoc-process-docstring", read)
    app.connect("autodoc-process-signature", hide_constructor)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def read(  # noqa: PLR0917 - Sphinx calls it
    app: Sphinx, what: str, name: str, thing: object, options: Any, lines: list[str]
) -> None:
    """Turn a docstring into reStructuredText, in place."""
    kind = "method" if what in {"attribute", "property"} else what
    lines[:] = GoogleDocstring(lines, app.config, app, kind, name, thing, options).lines()


def hide_constructor(
    app: Sphinx, what: str, name: str, thing: object, options: Any, *signature: str | None
) -> tuple[str, None] | None:
    """Show no parameters of a class that only the package makes objects of."""
    del what, thing, options, signature
    return ("", None) if name in app.config.made_by_the_package else None
