"""Bars: values by name, and two distributions over the same bins. Every bar starts at zero."""

import itertools
from collections.abc import Callable, Sequence

from markupsafe import Markup

from holdfast.ui.kit.charts.decimate import is_finite
from holdfast.ui.kit.charts.scales import finite, value_axis
from holdfast.ui.kit.charts.svg import (
    Hover,
    Readout,
    across,
    compact,
    element,
    figure,
    html,
    join,
    no_data,
    picture,
    shortened,
)
from holdfast.ui.kit.charts.types import Bar, Threshold
from holdfast.ui.kit.format import MISSING, number, percent, plain_number

_ROW_PX = 26
_LONG_CHARACTERS, _SHORT_CHARACTERS = 23, 15
_MOST_BIN_LABELS = 8


def row_label(text: str, y: float, url: str = "") -> Markup:
    """Write the name of a row left of the plot: longer where there is room, whole in the tooltip."""
    drawn = join(
        [
            element("title", text),
            element("tspan", shortened(text, _LONG_CHARACTERS), x="0", dx=-10, class_="label-long"),
            element("tspan", shortened(text, _SHORT_CHARACTERS), x="0", dx=-10, class_="label-short"),
        ]
    )
    label = element("text", drawn, x="0", y=y, class_="row-label")
    return element("a", label, href=url) if url else label


def bar_chart(
    bars: Sequence[Bar],
    *,
    title: str,
    unit: str = "",
    threshold: Threshold | None = None,
    value_format: Callable[[float], str] = plain_number,
    empty: str = "Nothing measured yet.",
) -> Markup:
    """Draw horizontal bars from zero, in the order given, with their values written out.

    A value of None or NaN is written as missing and has no bar. `threshold` is a vertical limit.
    """
    values = finite(bar.value for bar in bars)
    if not values:
        return no_data("bars", title, unit, empty)
    scale, _ = value_axis(values + ([threshold.value] if threshold else []) + [0.0], zero=True, count=4)
    top = 18.0 if threshold else 2.0
    height = int(top + len(bars) * _ROW_PX)
    drawn: list[Markup] = []
    zero = scale.fraction(0)
    if threshold:
        drawn.append(vertical_limit(threshold, scale.fraction(threshold.value), height))
    for place, bar in enumerate(bars):
        y = top + place * _ROW_PX
        drawn.append(row_label(bar.label, y + 17, bar.url))
        known = bar.value is not None and is_finite(bar.value)
        end = scale.fraction(bar.value) if known and bar.value is not None else zero
        if known:
            drawn.append(
                element(
                    "rect", x=across(min(zero, end)), width=across(abs(end - zero)), y=y + 5, height=16, rx=2,
                    class_=f"bar bar-{bar.tone}",
                )
            )  # fmt: skip
        text = value_format(bar.value) if known and bar.value is not None else MISSING
        drawn.append(element("text", text, x=across(max(zero, end)), dx=6, y=y + 17, class_="bar-value"))
    drawn.append(element("line", x1=across(zero), x2=across(zero), y1=top, y2=height, class_="axis"))
    words = ", ".join(
        f"{bar.label} {value_format(bar.value) if bar.value is not None else 'not measured'}" for bar in bars
    )
    return figure("bars", title, unit, picture(title, words, height, drawn))


def vertical_limit(threshold: Threshold, at: float, height: float) -> Markup:
    """Draw a limit across all rows, its label on the side that has room."""
    x = across(at)
    side, dx = ("left", -5) if at > 0.6 else ("", 5)
    return join(
        [
            element("line", x1=x, x2=x, y1=4, y2=height, class_="threshold"),
            element("text", threshold.label, x=x, dx=dx, y=12, class_=f"threshold-label {side}".strip()),
        ]
    )


def histogram_pair(
    reference: Sequence[float],
    current: Sequence[float],
    *,
    title: str,
    edges: Sequence[float] = (),
    labels: Sequence[str] = (),
    names: tuple[str, str] = ("training", "now"),
    unit: str = "",
    height: int = 160,
    empty: str = "No rows in this window.",
) -> Markup:
    """Draw two distributions over the same bins as shares of their own totals.

    `reference` and `current` are counts a bin; bins are named either by `edges` (one more than counts,
    ascending, the outer ones may be infinite) or by `labels` (one a count). Bins are drawn equally wide,
    and where their real widths differ the chart says so.
    """
    if len(reference) != len(current):
        raise ValueError(f"{len(reference)} reference bins but {len(current)} current bins")
    if bool(edges) == bool(labels) or len(edges or (*labels, "")) != len(reference) + 1:
        raise ValueError("give either one edge more than bins or one label a bin")
    if not reference or (sum(reference) <= 0 and sum(current) <= 0):
        return no_data("histogram", title, unit, empty)
    shares = [_shares(reference), _shares(current)]
    scale, ticks = value_axis([*shares[0], *shares[1], 0.0], zero=True, count=3)
    count, bottom, drawn = len(reference), float(height), []
    for tick in ticks:
        y = bottom - scale.fraction(tick.value) * (bottom - 6)
        drawn.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        drawn.append(element("text", percent(tick.value), x="0", dx=-8, y=y + 4, class_="tick tick-y"))
    for place, share in enumerate(shares[0]):
        tall = scale.fraction(share) * (bottom - 6)
        drawn.append(
            element(
                "rect", x=across((place + 0.06) / count), width=across(0.88 / count), y=bottom - tall,
                height=tall, class_="bar bar-reference",
            )
        )  # fmt: skip
    drawn.append(_outline([bottom - scale.fraction(share) * (bottom - 6) for share in shares[1]], height))
    drawn += _bin_labels(edges, labels, bottom)
    bins = tuple(labels) or tuple(_bin_name(a, b) for a, b in itertools.pairwise(edges))
    hover = Hover(
        x=tuple(round((place + 0.5) / count, 5) for place in range(count)),
        labels=tuple(f"{name} {unit}".strip() for name in bins),
        series=tuple(
            Readout(
                name=name, colour=colour, text=tuple(percent(share) for share in values),
                y=tuple(round(1 - scale.fraction(share) * (1 - 6 / height), 4) for share in values),
            )
            for name, colour, values in ((names[0], 0, shares[0]), (names[1], 1, shares[1]))
        ),
    )  # fmt: skip
    words = "; ".join(
        f"{name}: {names[0]} {percent(a)}, {names[1]} {percent(b)}"
        for name, a, b in zip(bins, *shares, strict=True)
    )
    note = " · ".join(part for part in (unit, "share of rows", _width_note(edges)) if part)
    legend = _pair_legend(names, sum(reference), sum(current))
    return figure("histogram", title, note, picture(title, words, height, drawn, hover), legend=legend)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total > 0 else 0.0 for count in counts]


def _outline(tops: Sequence[float], height: int) -> Markup:
    """Draw the current distribution as a stepped line, so that the reference stays visible behind it."""
    step = 1000 / len(tops)
    path = f"M0 {height}" + "".join(
        f"V{compact(top)}H{compact((place + 1) * step)}" for place, top in enumerate(tops)
    )
    line = element("path", d=f"{path}V{height}", class_="steps s1", vector_effect="non-scaling-stroke")
    return element(
        "svg", line, width="100%", height=height, viewBox=f"0 0 1000 {height}", preserveAspectRatio="none"
    )


def _bin_labels(edges: Sequence[float], labels: Sequence[str], bottom: float) -> list[Markup]:
    named = [plain_number(edge) for edge in edges] if edges else [shortened(label, 14) for label in labels]
    places = len(named) - 1 if edges else len(named)
    every = -(-len(named) // _MOST_BIN_LABELS)
    return [
        element(
            "text", name, x=across(index / places if edges else (index + 0.5) / places), y=bottom + 18,
            class_=f"tick tick-x{' roomy' if len(named) > 4 and (index // every) % 2 else ''}",
        )
        for index, name in enumerate(named)
        if index % every == 0
    ]  # fmt: skip


def _bin_name(low: float, high: float) -> str:
    return f"{plain_number(low)} to {plain_number(high)}"


def _width_note(edges: Sequence[float]) -> str:
    widths = finite(b - a for a, b in itertools.pairwise(edges))
    differ = len(widths) < len(edges) - 1 or (widths and max(widths) > 1.01 * min(widths))
    return "bins differ in width" if edges and differ else ""


def _pair_legend(names: tuple[str, str], reference: float, current: float) -> Markup:
    def key(kind: str, name: str, total: float) -> Markup:
        box = element("rect", x=1, y=1, width=12, height=10, class_=kind)
        swatch = element("svg", box, class_="swatch", viewBox="0 0 14 12", aria_hidden="true")
        return html("li", swatch, f"{name} ({number(int(total))} rows)")

    return html(
        "ul",
        key("bar bar-reference", names[0], reference),
        key("steps s1", names[1], current),
        class_="legend",
    )
