"""The tokens of the stylesheet meet WCAG AA in both themes."""

import re

import pytest

from holdfast.ui.kit.assets import asset

_TOKEN = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
_TOKENS = {name: (light, dark) for name, light, dark in _TOKEN.findall(asset("kit.css")[0].decode())}
_TEXT = [
    *((text, ground) for text in ("text", "muted", "accent") for ground in ("page", "surface", "sunken")),
    *(
        (tone, ground)
        for tone in ("good", "bad", "warn", "info")
        for ground in ("page", "surface", f"{tone}-soft")
    ),
    *(("text", f"{tone}-soft") for tone in ("good", "bad", "warn", "info", "neutral")),
    *((f"series-{index}", "surface") for index in range(7)),
    ("muted", "neutral-soft"),
    ("on-accent", "accent"),
]


def _luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), _TEXT)
def test_text_is_readable(text: str, ground: str, theme: int) -> None:
    assert _contrast(_TOKENS[text][theme], _TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["surface", "page"])
def test_the_edges_of_controls_are_visible(ground: str, theme: int) -> None:
    assert _contrast(_TOKENS["line-strong"][theme], _TOKENS[ground][theme]) >= 3.0


def test_the_measure_is_the_one_of_the_standard() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
