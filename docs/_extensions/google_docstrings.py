"""Read docstrings in Google's style with napoleon, but without types.

Types are in signatures. Napoleon would read the words before a colon as a type: in the sentence of
a property ("The fine state: idle, connecting ...") and in a return value ("The answer: ...").
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

__all__ = ["setup"]

MEANINGS = {
    "*args: ~typing.~P": "*args: P.args",
    "**kwargs: ~typing.~P": "**kwargs: P.kwargs",
    "[[~P]": "[P",
    "<factory>": "...",
}
"""Texts that Sphinx writes in signatures and cannot read back, and what they mean."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    for name, default, rebuild, kinds in Config._config_values:
        app.add_config_value(name, default, rebuild, kinds)
    app.add_config_value("made_by_the_package", (), "env", (tuple,))
    app.connect("autodoc-process-docstring", read)
    app.connect("autodoc-process-signature", mend_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Docstring(GoogleDocstring):
    """A docstring without types."""

    def _consume_returns_section(self, *_: bool, **__: bool) -> list[tuple[str, str, list[str]]]:
        return [("", "", self._dedent(self._consume_to_next_section()))]


def read(  # noqa: PLR0917 - Sphinx calls it
    app: Sphinx, what: str, name: str, thing: object, options: Any, lines: list[str]
) -> None:
    """Turn a docstring into reStructuredText, in place."""
    kind = "method" if what in {"attribute", "property"} else what
    lines[:] = Docstring(lines, app.config, app, kind, name, thing, options).lines()


def mend_signature(  # noqa: PLR0917 - Sphinx calls it
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Hide parameters that only the package gives; write the rest so that Sphinx can read it."""
    del what, thing, options
    if name in app.config.made_by_the_package:
        return "", None
    if signature is None:
        return None
    for written, meant in MEANINGS.items():
        signature = signature.replace(written, meant)
    return signature, returned
