"""The interval plot: estimates with their uncertainty against zero and a margin."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from holdfast.ui.kit.charts.bars import row_label, vertical_limit
from holdfast.ui.kit.charts.scales import Scale, finite, value_axis
from holdfast.ui.kit.charts.svg import across, element, figure, join, no_data, picture
from holdfast.ui.kit.charts.types import Interval, Threshold
from holdfast.ui.kit.format import MISSING, plain_number

_ROW_PX = 32


def interval_plot(
    intervals: Sequence[Interval],
    *,
    title: str,
    unit: str = "",
    reference: float = 0.0,
    margin: Threshold | None = None,
    directions: tuple[str, str] = ("", ""),
    value_format: Callable[[float], str] = plain_number,
    empty: str = "No estimates yet.",
) -> Markup:
    """Draw estimates as points with intervals, one row each.

    `reference` is the line of no difference, `margin` the limit a decision is taken at. `directions` names
    what lies left and right ("better", "worse"). Open (infinite) ends run to the edge with an arrow; an
    interval without an estimate is drawn as missing.
    """
    ends = finite(value for one in intervals for value in (one.estimate, one.lower, one.upper))
    if not ends:
        return no_data("intervals", title, unit, empty)
    scale, ticks = value_axis([*ends, reference, *([margin.value] if margin else [])], zero=False, count=5)
    top, bottom = (22.0 if margin else 4.0), (22 if margin else 4) + len(intervals) * _ROW_PX
    drawn: list[Markup] = []
    for place, tick in enumerate(ticks):
        x = across(scale.fraction(tick.value))
        roomy = " roomy" if place % 2 and len(ticks) > 4 else ""
        drawn.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        drawn.append(element("text", tick.label, x=x, y=bottom + 16, class_=f"tick tick-x{roomy}"))
    zero = across(scale.fraction(reference))
    drawn.append(element("line", x1=zero, x2=zero, y1=top, y2=bottom, class_="axis axis-strong"))
    if margin:
        drawn.append(vertical_limit(margin, scale.fraction(margin.value), bottom))
    for place, one in enumerate(intervals):
        drawn.append(_row(scale, one, top + (place + 0.5) * _ROW_PX, value_format))
    drawn += _directions(directions, bottom)
    words = "; ".join(f"{one.label}: {_words(one, value_format)}" for one in intervals)
    height = int(bottom) + (18 if any(directions) else 0)
    return figure("intervals", title, unit, picture(title, words, height, drawn))


def _row(scale: Scale, one: Interval, y: float, write: Callable[[float], str]) -> Markup:
    """Draw one interval; its numbers stand right of the plot, or below its name where that is narrow."""
    text = one.note or _words(one, write)
    beside = element("text", text, x="100%", dx=10, y=y + 4, class_="interval-text wide")
    below = element("text", text, x="0", dx=-10, y=y + 12, class_="interval-text narrow left")
    return join([row_label(one.label, y + 4), *_marks(scale, one, y), beside, below])


def _marks(scale: Scale, one: Interval, y: float) -> list[Markup]:
    kind = f"interval interval-{one.tone}"
    parts: list[Markup] = []
    if one.lower is not None and one.upper is not None and not math.isnan(one.lower + one.upper):
        low, high = scale.clamped(one.lower), scale.clamped(one.upper)
        parts.append(element("line", x1=across(low), x2=across(high), y1=y, y2=y, class_=kind))
        for end, place, sign in ((one.lower, low, 1), (one.upper, high, -1)):
            parts.append(_cap(across(place), y, kind, 0 if math.isfinite(end) else sign))
    if one.estimate is not None and math.isfinite(one.estimate):
        at = across(scale.fraction(one.estimate))
        parts.append(element("circle", cx=at, cy=y, r=4, class_=f"{kind} interval-dot"))
    return parts


def _cap(x: str, y: float, kind: str, arrow: int) -> Markup:
    """Draw the end of an interval: a bar, or two strokes that point on where the end is open."""
    if not arrow:
        return element("line", x1=x, x2=x, y1=y - 4, y2=y + 4, class_=kind)
    # Percentages and pixels cannot be added in an attribute, so that the arrow is a nested viewport.
    path = element("path", d=f"M{5 * arrow} -4L0 0L{5 * arrow} 4", class_=f"{kind} open")
    return element("svg", path, x=x, y=y, width=1, height=1, class_="loose")


def _words(one: Interval, write: Callable[[float], str]) -> str:
    def end(value: float | None) -> str:
        if value is None or math.isnan(value):
            return MISSING
        return write(value) if math.isfinite(value) else ("∞" if value > 0 else "−∞")

    if one.estimate is None or not math.isfinite(one.estimate):
        return "not measured"
    return f"{write(one.estimate)} ({end(one.lower)} to {end(one.upper)})"


def _directions(directions: tuple[str, str], bottom: float) -> list[Markup]:
    left, right = directions
    return [
        *([element("text", f"← {left}", x="0", y=bottom + 33, class_="tick")] if left else []),
        *([element("text", f"{right} →", x="100%", y=bottom + 33, class_="tick left")] if right else []),
    ]
