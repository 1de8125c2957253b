"""The documentation is a site that builds without a warning, and asks for nothing outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from sphinx.util.inventory import InventoryFile

from documentation.pages import ROOT
from public_modules import PUBLIC

pytestmark = pytest.mark.xdist_group("site")

# What a page of the site loads by itself; links that people follow are their own matter.
LOADS = re.compile(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"([^\"]*)|<link[^>]*href=\"([^\"]*)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-E"]
    done = subprocess.run(
        [sys.executable, *command, "-d", folder / "doctrees", ROOT / "docs", folder / "html"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def test_the_site_builds_without_a_warning(site):
    assert (site / "index.html").exists()


def test_the_reference_describes_every_public_name(site):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    described = {
        name for kind, items in inventory.data.items() if kind.startswith("py:") for name in items
    }
    public = {
        f"{module.__name__}.{name}"
        for module in PUBLIC
        for name in module.__all__
        if name != "__version__"
    }
    # What two modules show has one place.
    homes = {name.removeprefix("sockstore.stores.") for name in described}
    missing = {name for name in public - described if name.removeprefix("sockstore.") not in homes}
    assert not missing


def test_a_page_loads_nothing_from_outside(site):
    for page in site.rglob("*.html"):
        for found in LOADS.finditer(page.read_text()):
            address = found[1] or found[2]
            assert not re.match(r"\w+:|//", address), f"{page.name} loads {address}"
