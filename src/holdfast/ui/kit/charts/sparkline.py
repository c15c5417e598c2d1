"""The sparkline: the shape of a series in the height of a line of text."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from holdfast.ui.kit.charts.decimate import is_finite
from holdfast.ui.kit.charts.scales import finite
from holdfast.ui.kit.charts.svg import compact, element
from holdfast.ui.kit.format import number


def sparkline(
    values: Sequence[float | None],
    *,
    title: str = "",
    width: int = 96,
    height: int = 24,
    value_format: Callable[[float], str] = number,
) -> Markup:
    """Draw evenly spaced values; missing ones are gaps and the last known one is a dot.

    A sparkline has no axis: it shows shape, never size, so the numbers stand in its description. Nothing
    but missing values gives a dotted rule.
    """
    known = finite(values)
    if not known:
        rule = element("path", d=f"M2 {height / 2}H{width - 2}", class_="spark-none")
        return _frame(f"{title}: no values".removeprefix(": "), width, height, rule)
    low, span = min(known), max(known) - min(known)
    step = (width - 6) / max(len(values) - 1, 1)

    def point(index: int, value: float) -> str:
        share = (value - low) / span if span else 0.5
        return f"{compact(3 + index * step)} {compact(height - 3 - share * (height - 6))}"

    path, pen_down = "", False
    for index, value in enumerate(values):
        if value is None or not is_finite(value):
            pen_down = False
            continue
        # A point between two gaps is a stroke of no length, which the round cap makes a dot.
        path += f"L{point(index, value)}" if pen_down else f"M{point(index, value)}h0"
        pen_down = True
    last = max(index for index, value in enumerate(values) if is_finite(value))
    x, y = point(last, known[-1]).split(" ")
    words = f"{title}: from {value_format(known[0])} to {value_format(known[-1])}, between " + (
        f"{value_format(low)} and {value_format(max(known))}"
    )
    dot = element("circle", cx=x, cy=y, r="2", class_="spark-dot")
    return _frame(words.removeprefix(": "), width, height, element("path", d=path, class_="spark"), dot)


def _frame(words: str, width: int, height: int, *content: Markup) -> Markup:
    return element(
        "svg", element("title", words), *content, width=width, height=height, viewBox=f"0 0 {width} {height}",
        role="img", aria_label=words, class_="sparkline",
    )  # fmt: skip
