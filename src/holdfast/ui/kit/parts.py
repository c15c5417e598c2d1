"""Small records that page modules fill and the macros of `kit/parts.html` draw."""

from typing import Literal

import msgspec
from markupsafe import Markup

from holdfast.ui.kit.badges import Tone
from holdfast.ui.kit.page import Tab


class Fact(msgspec.Struct, frozen=True):
    """One name with its value: a line of a definition list or of an evidence block."""

    name: str
    value: str | Markup
    hint: str = ""
    url: str = ""


class Tile(msgspec.Struct, frozen=True):
    """One number a reader looks for first, with what it is compared to.

    `tone` colours the comparison line; `chart` is usually a sparkline.
    """

    title: str
    value: str | Markup
    note: str | Markup = ""
    tone: Tone = "neutral"
    chart: Markup = Markup("")
    url: str = ""


class Event(msgspec.Struct, frozen=True):
    """One entry of a timeline: what happened when, who did it and why, and how to take it back.

    `by` says whether a person or the loop acted; `reversal` is the command that undoes it, if there is one.
    """

    at: int
    title: str
    who: str
    by: Literal["person", "loop", "system"] = "loop"
    status: str = ""
    summary: str = ""
    rule: str = ""
    evidence: tuple[Fact, ...] = ()
    reversal: str = ""
    url: str = ""


class Choices(msgspec.Struct, frozen=True):
    """One small choice of how a page is drawn: its name, a link for each option, and the option that is chosen."""

    name: str
    options: tuple[Tab, ...]
    chosen: str


class QueryBox(msgspec.Struct, frozen=True):
    """The box of a filter language and what is wrong with its text.

    `before`, `wrong` and `behind` are the text around the place of the error, empty where that is not known.
    """

    text: str
    error: str = ""
    before: str = ""
    wrong: str = ""
    behind: str = ""
