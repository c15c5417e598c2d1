"""The scatter plot: one point for each thing, by two of its numbers or by a word and a number."""

from collections.abc import Callable, Sequence

import msgspec
from markupsafe import Markup

from holdfast.ui.kit.charts.scales import Scale, Tick, finite, log_axis, number_axis, value_axis
from holdfast.ui.kit.charts.svg import across, element, figure, html, no_data, picture
from holdfast.ui.kit.format import number

_RADIUS = 5
_MARGIN = 0.04


class Dot(msgspec.Struct, frozen=True):
    """One point: `x` is a number, or the place of a category where the chart has `categories`."""

    name: str
    x: float | None
    y: float | None
    url: str = ""


def scatter_plot(
    dots: Sequence[Dot],
    *,
    title: str,
    x_label: str,
    y_label: str,
    categories: Sequence[str] = (),
    log_x: bool = False,
    height: int = 260,
    value_format: Callable[[float], str] = number,
    empty: str = "No run has both values.",
) -> Markup:
    """Draw dots by two values, each a link where it has one.

    With `categories` the x axis has one place for each word. `log_x` spaces numbers above zero by their
    magnitude, which suits learning rates. What has no finite value on both axes is left out and counted.
    """
    known = [dot for dot in dots if len(finite((dot.x, dot.y))) == 2 and not (log_x and (dot.x or 0) <= 0)]
    if not known:
        return no_data("scatter", title, y_label, empty)
    x, x_ticks = _x_axis([dot.x or 0.0 for dot in known], categories, log_x)
    y, y_ticks = value_axis([dot.y or 0.0 for dot in known])
    top, bottom = 8.0, float(height)

    def down(value: float) -> float:
        return bottom - y.fraction(value) * (bottom - top)

    labels = (x_label, y_label, categories)
    layers = (
        *_grid(x, x_ticks, [(tick, down(tick.value)) for tick in y_ticks], bottom),
        *(
            _dot(dot, across(_inset(x.fraction(dot.x or 0.0))), down(dot.y or 0.0), labels, value_format)
            for dot in known
        ),
    )
    left_out = len(dots) - len(known)
    unit = f"{y_label} up, {x_label} across" + (f" · {left_out} without both values" if left_out else "")
    words = "; ".join(_words(dot, *labels, value_format) for dot in known[:40])
    return figure("scatter", title, unit, picture(title, words, height, layers))


def _x_axis(values: list[float], categories: Sequence[str], log_x: bool) -> tuple[Scale, list[Tick]]:
    if categories:
        ticks = [Tick(float(place), word) for place, word in enumerate(categories)]
        return Scale(-0.5, len(categories) - 0.5), ticks
    return log_axis(values) if log_x else number_axis(min(values), max(values))


def _inset(fraction: float) -> float:
    """A little room at both ends, so that no dot is cut by the edge."""
    return _MARGIN + fraction * (1 - 2 * _MARGIN)


def _grid(
    x: Scale, x_ticks: Sequence[Tick], y_ticks: Sequence[tuple[Tick, float]], bottom: float
) -> list[Markup]:
    drawn = []
    for place, (tick, at) in enumerate(y_ticks):
        kind = "grid grid-zero" if place == 0 or tick.value == 0 else "grid"
        drawn.append(element("line", x1="0", x2="100%", y1=at, y2=at, class_=kind))
        drawn.append(element("text", tick.label, x="0", dx=-8, y=at + 4, class_="tick tick-y"))
    for place, tick in enumerate(x_ticks):
        at_x = across(_inset(x.fraction(tick.value)))
        roomy = " roomy" if place % 2 and len(x_ticks) > 4 else ""
        drawn.append(element("line", x1=at_x, x2=at_x, y1=bottom, y2=bottom + 4, class_="axis"))
        label = tick.label if len(tick.label) <= 14 else f"{tick.label[:13]}…"
        drawn.append(element("text", label, x=at_x, y=bottom + 18, class_=f"tick tick-x{roomy}"))
    return drawn


def _dot(
    dot: Dot,
    x: str,
    y: float,
    labels: tuple[str, str, Sequence[str]],
    write: Callable[[float], str],
) -> Markup:
    drawn = element(
        "circle", element("title", _words(dot, *labels, write)), cx=x, cy=y, r=_RADIUS, class_="dot s1"
    )
    if not dot.url:
        return drawn
    return html("a", drawn, href=dot.url, aria_label=_words(dot, *labels, write))


def _words(
    dot: Dot, x_label: str, y_label: str, categories: Sequence[str], write: Callable[[float], str]
) -> str:
    across_x = categories[int(dot.x or 0)] if categories else write(dot.x or 0.0)
    return f"{dot.name}: {x_label} {across_x}, {y_label} {write(dot.y or 0.0)}"
