"""Event marks: vertical lines with labels in lanes above the plot, and the same events as a list."""

from collections.abc import Sequence

from markupsafe import Markup

from holdfast.ui.kit.charts.scales import Scale
from holdfast.ui.kit.charts.svg import ASSUMED_WIDTH_PX, CHARACTER_PX, across, element, html, join, shortened
from holdfast.ui.kit.charts.types import EventMark
from holdfast.ui.kit.format import absolute_time, number

_LANE_PX = 16
_MOST_LANES = 4
_LABEL_CHARACTERS = 34


def _lanes(marks: Sequence[EventMark], x: Scale) -> list[int | None]:
    """Give each label the lowest lane where it does not run into another; None where all are full."""
    ends = [-1.0] * _MOST_LANES
    lanes: list[int | None] = []
    for mark in marks:
        width = (len(shortened(mark.label, _LABEL_CHARACTERS)) * CHARACTER_PX + 16) / ASSUMED_WIDTH_PX
        start = x.fraction(mark.at) - (width if _leftward(mark, x) else 0.0)
        lane = next((index for index, end in enumerate(ends) if start > end), None)
        if lane is not None:
            ends[lane] = start + width
        lanes.append(lane)
    return lanes


def _leftward(mark: EventMark, x: Scale) -> bool:
    """A label in the last fifth of the plot is written to the left of its mark."""
    width = len(shortened(mark.label, _LABEL_CHARACTERS)) * CHARACTER_PX + 16
    return x.fraction(mark.at) + width / ASSUMED_WIDTH_PX > 1


def lanes_px(marks: Sequence[EventMark], x: Scale) -> float:
    """Return the height the labels need above the plot."""
    if not marks:
        return 0.0
    used = max((lane for lane in _lanes(marks, x) if lane is not None), default=0)
    return float((used + 1) * _LANE_PX + 4)


def event_layer(marks: Sequence[EventMark], x: Scale, bottom: float) -> list[Markup]:
    """Draw the marks: with their words where the chart is wide, with the number of the list where not."""
    drawn = []
    for place, (mark, lane) in enumerate(zip(marks, _lanes(marks, x), strict=True), start=1):
        at, top = across(x.fraction(mark.at)), (lane or 0) * _LANE_PX
        left = _leftward(mark, x)
        kind = f"event event-{mark.tone}"
        drawn.append(element("line", x1=at, x2=at, y1=top + 4, y2=bottom, class_=kind))
        drawn.append(element("circle", cx=at, cy=top + 5, r=3, class_=f"{kind} event-head"))
        if lane is not None:
            drawn.append(
                element(
                    "text", shortened(mark.label, _LABEL_CHARACTERS), x=at, dx=-7 if left else 7, y=top + 9,
                    class_=f"event-label wide{' left' if left else ''}",
                )
            )  # fmt: skip
        drawn.append(element("text", str(place), x=at, dx=6, y=top + 9, class_="event-label narrow"))
    return drawn


def event_list(marks: Sequence[EventMark], x_is_time: bool) -> Markup:
    """List the marks for screen readers and for charts too narrow to write on."""
    if not marks:
        return Markup("")
    items = [
        html(
            "li",
            html("span", mark.label, class_="event-name"),
            " ",
            html("span", absolute_time(int(mark.at), seconds=False) if x_is_time else number(mark.at, 4)),
        )
        for mark in marks
    ]
    return html("ol", join(items), class_="chart-events")
