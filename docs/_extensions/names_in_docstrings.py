"""Make a name between single backticks in a docstring a link to its description."""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("missing-reference", find_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def find_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Find a name that is in another module than the docstring that mentions it.

    Returns:
        A link; the word itself if it is in lower case, because it may be a parameter's name; or
        None, so that Sphinx warns, if it looks like a public name and has no description.
    """
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"]
    if node.get("reftype") == "obj" and name.islower() and "." not in name:
        return content
    found = env.domains.python_domain.find_obj(env, None, None, name, None, 1)
    # A kit's component may have the name of an object of the core, whose full name is shorter.
    for target, entry in sorted(found, key=lambda match: len(match[0])):
        from_page = node.get("refdoc", env.docname)
        return make_refnode(app.builder, from_page, entry.docname, entry.node_id, content, target)
    return None
