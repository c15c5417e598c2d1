"""What a chart is given: small frozen records. Times are microseconds since the Unix epoch, UTC."""

from typing import Literal

import msgspec

from holdfast.ui.kit.badges import Tone

Stroke = Literal["solid", "dashed", "dotted"]


class Look(msgspec.Struct, frozen=True):
    """How a line is told from others: one of the six series colours, and a stroke for those who do not see it."""

    colour: int
    stroke: Stroke = "solid"


class Series(msgspec.Struct, frozen=True):
    """One line: `xs` ascending (times or numbers), `ys` with None or NaN where there is no value.

    `colour` is one of the six series colours (1 to 6), or 0 for the muted grey of a comparison line;
    by default the series takes the colour of its place.
    """

    name: str
    xs: tuple[float, ...]
    ys: tuple[float | None, ...]
    stroke: Stroke = "solid"
    colour: int | None = None

    def __post_init__(self) -> None:
        if len(self.xs) != len(self.ys):
            raise ValueError(f"series {self.name!r}: {len(self.xs)} xs but {len(self.ys)} ys")
        if any(later < earlier for earlier, later in zip(self.xs, self.xs[1:], strict=False)):
            raise ValueError(f"series {self.name!r}: xs must ascend")


class Band(msgspec.Struct, frozen=True):
    """A confidence band; `series` is the place of the line it belongs to and takes the colour of."""

    name: str
    xs: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    series: int = 0

    def __post_init__(self) -> None:
        if not len(self.xs) == len(self.lower) == len(self.upper):
            raise ValueError(f"band {self.name!r}: xs, lower and upper differ in length")


class EventMark(msgspec.Struct, frozen=True):
    """A vertical mark: something happened at `at`."""

    at: float
    label: str
    tone: Tone = "neutral"


class Threshold(msgspec.Struct, frozen=True):
    """A horizontal limit."""

    value: float
    label: str


class Gap(msgspec.Struct, frozen=True):
    """A stretch for which the data cannot say anything, with the reason."""

    start_at: float
    end_at: float
    reason: str = "insufficient data"


class Bar(msgspec.Struct, frozen=True):
    """One bar; None means not measured and draws no bar."""

    label: str
    value: float | None
    tone: Tone = "neutral"
    url: str = ""


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its confidence interval; an infinite end is an open one."""

    label: str
    estimate: float | None
    lower: float | None
    upper: float | None
    tone: Tone = "neutral"
    note: str = ""


class Node(msgspec.Struct, frozen=True):
    """A thing in the lineage graph; `current` marks the one whose page this is."""

    id: str
    kind: str
    name: str
    version: str = ""
    url: str = ""
    status: str = ""
    current: bool = False


class Edge(msgspec.Struct, frozen=True):
    """`source` was used to make `target` (node ids)."""

    source: str
    target: str
