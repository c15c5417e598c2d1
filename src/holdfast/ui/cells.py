"""Cells of tables that are more than a value: links, and sentences that may take several lines."""

from __future__ import annotations

from markupsafe import Markup

from holdfast.ui.kit.format import MISSING

_LONG_CHARACTERS = 160


def link(text: str, url: str) -> Markup:
    """A link; plain text where there is no page."""
    return Markup('<a href="{}">{}</a>').format(url, text) if url else Markup("{}").format(text)


def prose(text: str | None) -> Markup | None:
    """A sentence that wraps where other cells stay on one line."""
    return Markup('<span class="prose">{}</span>').format(text) if text else None


def long_text(text: str | None) -> Markup | str:
    """A text as it is; the rest of a very long one opens with a click, which needs no script."""
    if not text:
        return MISSING
    if len(text) <= _LONG_CHARACTERS:
        return Markup('<span class="prose">{}</span>').format(text)
    return Markup('<details class="long"><summary>{}…</summary><div class="prose">{}</div></details>').format(
        text[:_LONG_CHARACTERS].rstrip(), text
    )


def clipped(text: str | None) -> Markup | str:
    """A text that a table cuts where it is long; the tooltip has the whole."""
    if not text:
        return MISSING
    return Markup('<span class="clipped" title="{}">{}</span>').format(text, text[:_LONG_CHARACTERS])
