"""The modules whose names are public: what they show is checked, and stands in the reference."""

from __future__ import annotations

import sockstore
import sockstore.blocking
import sockstore.server
import sockstore.stores
import sockstore.testing
import sockstore.ui.browser
import sockstore.ui.nicegui
import sockstore.ui.textual

PUBLIC = [
    sockstore,
    sockstore.blocking,
    sockstore.server,
    sockstore.stores,
    sockstore.testing,
    sockstore.ui.browser,
    sockstore.ui.nicegui,
    sockstore.ui.textual,
]
