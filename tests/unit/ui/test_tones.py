"""The colours of names: the same in Python as in the pages that Vue draws."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sockstore
from sockstore.ui.text import TONES, tone_of

SOURCE = Path(sockstore.__file__).with_name("ui")
NAMES = ["", "Ann", "Bob", "Zoë", "日本語", "👩‍👩‍👧", "x" * 64]


@pytest.mark.contract("UI3")
def test_the_style_sheet_has_all_tones():
    style = (SOURCE / "web" / "chat.css").read_text()
    assert set(re.findall(r'data-tone="(\d)"', style)) == {str(tone) for tone in range(TONES)}


@pytest.mark.contract("UI3")
def test_a_name_has_the_same_tone_in_every_kit():
    source = (SOURCE / "nicegui" / "chat_line.js").read_text()
    if shutil.which("node") is None:
        pytest.skip("no Node.js here")
    body = re.search(r"tone\(\) \{(.*?)\n    \}", source, re.DOTALL)[1]
    tones = re.search(r"const TONES = (\d+)", source)[1]
    program = f"""const TONES = {tones};
        const tone = function () {{ {body} }};
        console.log(JSON.stringify({NAMES!r}.map((sender) => tone.call({{ sender }}))));"""
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([tone_of(name) for name in NAMES]).replace(" ", "").strip()
