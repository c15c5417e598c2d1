"""Cells of tables that are more than a value: links, and sentences that may take several lines."""

from __future__ import annotations

from markupsafe import Markup


def link(text: str, url: str) -> Markup:
    """A link; plain text where there is no page."""
    return Markup('<a href="{}">{}</a>').format(url, text) if url else Markup("{}").format(text)


def prose(text: str | None) -> Markup | None:
    """A sentence that wraps where other cells stay on one line."""
    return Markup('<span class="prose">{}</span>').format(text) if text else None
