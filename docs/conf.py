"""Configure Sphinx for this folder: `make docs` writes the site to build/docs/index.html.

Neither the build nor the finished pages use the network.
"""

import sys
from collections.abc import Awaitable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

from sockstore.base import options, records
from sockstore.base.positions import Position
from sockstore.base.version import __version__
from sockstore.blocking import subscription as blocking_subscription
from sockstore.blocking import websocket as blocking_websocket
from sockstore.connection import opening, subscription, talking, view, websocket_store
from sockstore.messages import buffer, kept, log, stream
from sockstore.protocols import Ask, BaseProtocol, Member

# It imports them for type checkers only; the reference resolves their names, too.
for kind in (log.MessageView, records.Message, stream.MessageStream):
    setattr(view, kind.__name__, kind)
for module in (kept, log, stream):
    module.Message = records.Message  # type: ignore[attr-defined]
websocket_store.BaseProtocol = BaseProtocol  # type: ignore[attr-defined]
websocket_store.Opening = opening.Opening  # type: ignore[attr-defined]
subscription.Message = records.Message  # type: ignore[attr-defined]
subscription.Overflow = buffer.Overflow  # type: ignore[attr-defined]
talking.Message = records.Message  # type: ignore[attr-defined]
talking.Subscription = subscription.Subscription  # type: ignore[attr-defined]
for asker in (talking, blocking_websocket):
    asker.Ask = Ask  # type: ignore[attr-defined]
    asker.Awaitable = Awaitable  # type: ignore[attr-defined]
for room in (subscription, blocking_subscription):
    room.Member = Member  # type: ignore[attr-defined]
    room.Position = Position  # type: ignore[attr-defined]
options.Random = Random  # type: ignore[attr-defined]
view.Overflow = buffer.Overflow  # type: ignore[attr-defined]

project = "sockstore"
author = "The sockstore authors"
project_copyright = "The sockstore authors"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "generated_reference",
    "google_docstrings",
    "names_in_docstrings",
]
exclude_patterns = ["_extensions"]
suppress_warnings = ["config.cache"]

# Pages
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Copying a command leaves out prompts and outputs.
copybutton_exclude = ".linenos, .gp, .go"

# The reference, from the docstrings
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Step": "sockstore.testing.Step"}
# Users do not make objects of these classes, so the reference hides the parameters.
made_by_the_package = (
    "sockstore.MessageStream",
    "sockstore.MessageView",
    "sockstore.Receipt",
    "sockstore.Subscription",
    "sockstore.blocking.MessageStream",
    "sockstore.blocking.Receipt",
    "sockstore.blocking.Subscription",
    "sockstore.blocking.Unsubscriber",
    "sockstore.scope.scope.Mounted",
    "sockstore.stores.Readable",
    "sockstore.stores.Stream",
    "sockstore.stores.Unsubscriber",
    "sockstore.stores.Writable",
    "sockstore.testing.FakeClient",
    "sockstore.ui.browser.MountedPage",
)
default_role = "py:obj"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

# Every name in a signature is a link, except type variables, names of other packages (whose
# pages would need the network), and internal names.
nitpicky = True
STANDARD = (
    "abc|_?asyncio|collections|concurrent|contextlib|contextvars|datetime|pathlib|random|ssl|types"
)
OTHERS = "fastapi|msgspec|nicegui|opentelemetry|starlette|textual|uvicorn"
INTERNAL = (
    "Buffer|CallbackBuffer|Driver|Link|Receiver|MessageKind|Node|sockstore.machine.delivery.Flight|sockstore.base.outcomes.Classified|(sockstore.connection.options.)?ConnectionOptions|PerAttempt|Cells|sockstore.scope.provider.ProviderOptions|Source|Token|(sockstore.scope.subscription_provider.)?SubscriptionOptions"
    "|sockstore.ui.chat.rows.Row|sockstore.ui.live_list.LiveRow|sockstore.ui.chat.view_model.ChatView"
)
nitpick_ignore_regex = [
    (r"py:.*", r"(.*\.)?([A-Z]|P\.args|P\.kwargs|T_co|Arguments)"),
    (r"py:.*", rf"({STANDARD}|{OTHERS})\..*"),
    (r"py:exc", r"CancelledError"),
    (r"py:class", INTERNAL),
]

# The look
html_theme = "furo"
html_title = f"sockstore {release}"
html_static_path = ["_static"]
html_css_files = ["sockstore.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
