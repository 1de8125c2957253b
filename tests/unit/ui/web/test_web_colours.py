"""The colours of the page: all that is written can be read, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sockstore

STYLE = Path(sockstore.__file__).with_name("ui") / "web" / "style.css"
TONES = [f"tone-{number}" for number in range(6)]
WRITTEN = [
    *(
        (text, ground)
        for text in ("text", "faint", "link", "news")
        for ground in ("surface", "ground")
    ),
    *((tone, "surface") for tone in TONES),
    ("on-accent", "accent"),
    ("on-good", "good"),
    ("on-bad", "bad"),
]
"""What is written, and on what."""
DRAWN = [("field-edge", "surface"), ("focus", "ground"), ("focus", "surface"), ("plot", "ground")]
"""What has to be seen, and on what."""


def colours(selector: str) -> dict[str, str]:
    block = re.search(
        rf"^{re.escape(selector)} {{(.*?)^}}", STYLE.read_text(), re.DOTALL | re.MULTILINE
    )
    return dict(re.findall(r"--sockstore-([\w-]+): (#\w{6});", block[1]))


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


LIGHT = colours(":root")


@pytest.mark.contract("UI2", "UI3")
@pytest.mark.parametrize(
    "palette",
    [LIGHT, {**LIGHT, **colours(":is(.body--dark, .sockstore-dark)")}],
    ids=["light", "dark"],
)
def test_contrast_is_what_wcag_asks_for(palette):
    for least, pairs in ((4.5, WRITTEN), (3.0, DRAWN)):
        for one, other in pairs:
            assert contrast(palette[one], palette[other]) >= least, (one, other)
