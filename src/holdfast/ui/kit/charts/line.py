"""The line chart: several lines with bands, event marks, a threshold and stretches without an answer."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain

import msgspec
from markupsafe import Markup

from holdfast.ui.kit.charts.decimate import is_finite, thin, thin_band
from holdfast.ui.kit.charts.marks import event_layer, event_list, lanes_px
from holdfast.ui.kit.charts.scales import (
    LogScale,
    Scale,
    Tick,
    finite,
    log_axis,
    number_axis,
    time_axis,
    value_axis,
)
from holdfast.ui.kit.charts.svg import (
    ASSUMED_WIDTH_PX,
    CHARACTER_PX,
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
from holdfast.ui.kit.charts.types import Band, EventMark, Gap, Look, Series, Stroke, Threshold
from holdfast.ui.kit.format import absolute_time, number

_PATH_WIDTH = 1000
_MOST_DIRECT_LABELS = 4
_LABEL_GAP_PX = 14.0
_DIRECT_LABEL_CHARACTERS = 19
_COLOURS = 6
_STROKES: tuple[Stroke, ...] = ("solid", "dashed", "dotted")


class Plot(msgspec.Struct, frozen=True):
    """The area between the axes: scales, and pixels from top to bottom."""

    x: Scale
    y: Scale
    top: float
    bottom: float

    def down(self, value: float) -> float:
        """Return the height of a value in pixels from the top."""
        return self.bottom - self.y.fraction(value) * (self.bottom - self.top)

    def path_point(self, x: float, value: float) -> str:
        """Return the coordinates of a point in the stretched path layer."""
        return f"{compact(self.x.fraction(x) * _PATH_WIDTH)} {compact(self.down(value))}"


def look(place: int) -> Look:
    """The look of the line at a place: six colours, then the same with dashes, then with dots."""
    return Look(place % _COLOURS + 1, _STROKES[place // _COLOURS % len(_STROKES)])


def line_swatch(of: Look) -> Markup:
    """A short piece of a line, for a heading outside of the chart."""
    return _swatch(f"line s{of.colour} {of.stroke}")


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    y_label: str = "",
    bands: Sequence[Band] = (),
    events: Sequence[EventMark] = (),
    threshold: Threshold | None = None,
    gaps: Sequence[Gap] = (),
    x_is_time: bool = True,
    zero: bool | None = None,
    log: bool = False,
    height: int = 220,
    value_format: Callable[[float], str] = number,
    empty: str = "No measurements yet.",
    url: str = "",
) -> Markup:
    """Draw lines over time (or over a number, `x_is_time=False`).

    None, NaN and infinities break a line; `gaps` shades stretches with the reason. `zero` says whether the
    value axis must hold zero (see `value_axis`); an axis that does not start at zero says so. Long series
    are thinned without losing an extreme. `value_format` writes the values of the readout. With `log` the
    value axis is logarithmic, and what is not above zero breaks a line. `url` makes the title a link.

    Beyond six lines the colours come again with another stroke, so that 18 lines differ without colour alone.
    """
    lines = [_coloured(thin(_above_zero(one) if log else one), place) for place, one in enumerate(series)]
    thinned = [thin_band(band) for band in bands]
    values = finite(chain(*(one.ys for one in lines), *(band.lower + band.upper for band in thinned)))
    if not values:
        reason = "Nothing above zero, which a logarithmic axis needs." if log and series else empty
        return no_data("line", title, y_label, reason, url)
    drawn_values = values + ([threshold.value] if threshold else [])
    y, y_ticks = log_axis(drawn_values) if log else value_axis(drawn_values, zero=zero)
    low, high = _extent(lines, thinned, gaps)
    x, x_ticks = time_axis(low, high) if x_is_time else number_axis(low, high)
    shown = sorted((mark for mark in events if x.low <= mark.at <= x.high), key=lambda mark: mark.at)
    plot = Plot(x, y, top=6.0 + lanes_px(shown, x), bottom=float(height))
    layers = (
        *(_gap(plot, gap) for gap in gaps),
        *_axes(plot, x_ticks, y_ticks),
        _paths(plot, lines, thinned, height),
        *(_lone_points(plot, one) for one in lines),
        *event_layer(shown, x, plot.bottom),
        *([_threshold(plot, threshold)] if threshold else []),
        _direct_labels(plot, lines),
    )
    description = _description(lines, x_is_time, value_format, y.low)
    hover = _hover(plot, lines, (shown, gaps), x_is_time, value_format, height)
    drawn = picture(title, description, height, layers, hover)
    direct = " chart-direct" if len(lines) <= _MOST_DIRECT_LABELS else ""
    unit = " · ".join(part for part in (y_label, "UTC" if x_is_time else "", _axis_note(y)) if part)
    return figure(
        f"line{direct}",
        title,
        unit,
        drawn,
        event_list(shown, x_is_time),
        legend=_legend(lines, thinned),
        url=url,
    )


def _axis_note(y: Scale) -> str:
    if isinstance(y, LogScale):
        return "logarithmic axis"
    return "" if y.low <= 0 <= y.high else "axis does not start at 0"


def _coloured(series: Series, place: int) -> Series:
    if series.colour is not None:
        return series
    own = look(place)
    stroke = own.stroke if place >= _COLOURS else series.stroke
    return msgspec.structs.replace(series, colour=own.colour, stroke=stroke)


def _above_zero(series: Series) -> Series:
    kept = tuple(y if y is not None and is_finite(y) and y > 0 else None for y in series.ys)
    return msgspec.structs.replace(series, ys=kept)


def _extent(lines: Sequence[Series], bands: Sequence[Band], gaps: Sequence[Gap]) -> tuple[float, float]:
    across_all = [one.xs for one in lines] + [band.xs for band in bands]
    ends = [x for xs in across_all if xs for x in (xs[0], xs[-1])]
    ends += [at for gap in gaps for at in (gap.start_at, gap.end_at)]
    return min(ends), max(ends)


def _axes(plot: Plot, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> list[Markup]:
    drawn = []
    for tick in y_ticks:
        y = plot.down(tick.value)
        kind = "grid grid-zero" if tick.value == 0 or tick is y_ticks[0] else "grid"
        drawn.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_=kind))
        drawn.append(element("text", tick.label, x="0", dx=-8, y=y + 4, class_="tick tick-y"))
    for place, tick in enumerate(x_ticks):
        x = across(plot.x.fraction(tick.value))
        roomy = " roomy" if place % 2 and len(x_ticks) > 4 else ""
        drawn.append(element("line", x1=x, x2=x, y1=plot.bottom, y2=plot.bottom + 4, class_="axis"))
        drawn.append(element("text", tick.label, x=x, y=plot.bottom + 18, class_=f"tick tick-x{roomy}"))
    return drawn


def _paths(plot: Plot, lines: Sequence[Series], bands: Sequence[Band], height: int) -> Markup:
    """Draw lines and bands in a layer that stretches across; strokes keep their width."""
    areas = [
        element("path", d=d, class_=f"band s{lines[band.series].colour}")
        for band in bands
        if (d := _band_path(plot, band))
    ]
    strokes = [
        element("path", d=d, class_=f"line s{one.colour} {one.stroke}", vector_effect="non-scaling-stroke")
        # The first line is the one the chart is about, so that it is drawn last, on top.
        for one in reversed(lines)
        if (d := _line_path(plot, one))
    ]
    return element(
        "svg", *areas, *strokes, width="100%", height=height, viewBox=f"0 0 {_PATH_WIDTH} {height}",
        preserveAspectRatio="none",
    )  # fmt: skip


def _runs(present: Sequence[bool]) -> list[range]:
    """Return the stretches of consecutive present points."""
    runs: list[range] = []
    start: int | None = None
    for index, there in enumerate([*present, False]):
        if there and start is None:
            start = index
        elif not there and start is not None:
            runs.append(range(start, index))
            start = None
    return runs


def _line_path(plot: Plot, series: Series) -> str:
    points = [
        [plot.path_point(series.xs[index], series.ys[index] or 0.0) for index in run]
        for run in _runs([is_finite(y) for y in series.ys])
    ]
    return "".join(f"M{'L'.join(run)}" for run in points if len(run) > 1)


def _band_path(plot: Plot, band: Band) -> str:
    present = [is_finite(low) and is_finite(high) for low, high in zip(band.lower, band.upper, strict=True)]
    parts = []
    for run in _runs(present):
        above = [plot.path_point(band.xs[index], band.upper[index] or 0.0) for index in run]
        below = [plot.path_point(band.xs[index], band.lower[index] or 0.0) for index in reversed(run)]
        parts.append(f"M{'L'.join(above + below)}Z")
    return "".join(parts)


def _lone_points(plot: Plot, series: Series) -> Markup:
    """Draw points that have a gap on both sides, which no line would show, and the last known one."""
    runs = _runs([is_finite(y) for y in series.ys])
    alone = [run[0] for run in runs if len(run) == 1]
    last = [runs[-1][-1]] if runs and len(runs[-1]) > 1 else []
    return join(
        element(
            "circle", cx=across(plot.x.fraction(series.xs[index])), cy=plot.down(series.ys[index] or 0.0),
            r=2.5, class_=f"point s{series.colour}",
        )
        for index in alone + last
    )  # fmt: skip


def _gap(plot: Plot, gap: Gap) -> Markup:
    start, end = plot.x.clamped(gap.start_at), plot.x.clamped(gap.end_at)
    area = element(
        "rect", x=across(start), width=across(end - start), y=plot.top, height=plot.bottom - plot.top,
        class_="gap",
    )  # fmt: skip
    label = element(
        "text", gap.reason, x=across((start + end) / 2), y=plot.bottom - 8, class_="gap-label wide"
    )
    fits = len(gap.reason) * CHARACTER_PX < (end - start) * ASSUMED_WIDTH_PX
    return join([area, label if fits else ""])


def _threshold(plot: Plot, threshold: Threshold) -> Markup:
    y = plot.down(threshold.value)
    return join(
        [
            element("line", x1="0", x2="100%", y1=y, y2=y, class_="threshold"),
            element("text", threshold.label, x="0", dx=6, y=y - 5, class_="threshold-label"),
        ]
    )


def _direct_labels(plot: Plot, lines: Sequence[Series]) -> Markup:
    """Write each line's name beside its last value, moved apart where they would overlap."""
    if len(lines) > _MOST_DIRECT_LABELS:
        return Markup("")
    ends = [(plot.down(known[-1]), one) for one in lines if (known := finite(one.ys))]
    ends.sort(key=lambda end: end[0])
    heights: list[float] = []
    for y, _ in ends:
        heights.append(max(y, heights[-1] + _LABEL_GAP_PX) if heights else y)
    overflow = max(0.0, heights[-1] - plot.bottom) if heights else 0.0
    return join(
        element(
            "text", shortened(one.name, _DIRECT_LABEL_CHARACTERS), x="100%", dx=9, y=y - overflow + 4,
            class_=f"direct wide s{one.colour}",
        )
        for y, (_, one) in zip(heights, ends, strict=True)
    )  # fmt: skip


def _legend(lines: Sequence[Series], bands: Sequence[Band]) -> Markup:
    keys = [
        html("li", _swatch(f"line s{one.colour} {one.stroke}"), one.name, class_="legend-line")
        for one in lines
        if len(lines) > 1
    ]
    keys += [html("li", _swatch(f"band s{lines[band.series].colour}"), band.name) for band in bands]
    return html("ul", *keys, class_="legend") if keys else Markup("")


def _swatch(kind: str) -> Markup:
    shape = (
        element("rect", x=0, y=2, width=18, height=8, class_=kind)
        if kind.startswith("band")
        else element("path", d="M0 6H18", class_=kind)
    )
    return element("svg", shape, class_="swatch", viewBox="0 0 18 12", aria_hidden="true")


def _x_text(x: float, is_time: bool) -> str:
    return absolute_time(int(x), seconds=int(x) % 60_000_000 != 0) if is_time else number(x, 4)


def _description(lines: Sequence[Series], is_time: bool, write: Callable[[float], str], low: float) -> str:
    parts = []
    for one in lines:
        known = [(x, y) for x, y in zip(one.xs, one.ys, strict=True) if y is not None and is_finite(y)]
        if known:
            values = [y for _, y in known]
            parts.append(
                f"{one.name}: {write(known[0][1])} at {_x_text(known[0][0], is_time)}, "
                f"{write(known[-1][1])} at {_x_text(known[-1][0], is_time)}, "
                f"between {write(min(values))} and {write(max(values))}."
            )
        else:
            parts.append(f"{one.name}: no values.")
    if low > 0:
        parts.append("The value axis does not start at zero.")
    return " ".join(parts)


def _hover(
    plot: Plot,
    lines: Sequence[Series],
    notes: tuple[Sequence[EventMark], Sequence[Gap]],
    is_time: bool,
    write: Callable[[float], str],
    height: int,
) -> Hover:
    xs = sorted({x for one in lines for x in one.xs})
    return Hover(
        x=tuple(round(plot.x.fraction(x), 5) for x in xs),
        labels=tuple(_x_text(x, is_time) for x in xs),
        series=tuple(_readout(plot, one, xs, write, height) for one in lines),
        notes=_notes(xs, *notes),
    )


def _notes(xs: Sequence[float], events: Sequence[EventMark], gaps: Sequence[Gap]) -> dict[int, str]:
    """Return what the readout adds at a point: the events nearest to it and the reason of a gap."""
    notes: dict[int, list[str]] = defaultdict(list)
    for mark in events if xs else ():
        notes[min(range(len(xs)), key=lambda index: abs(xs[index] - mark.at))].append(mark.label)
    for gap in gaps:
        for index, x in enumerate(xs):
            if gap.start_at <= x <= gap.end_at:
                notes[index].append(gap.reason)
    return {index: " · ".join(words) for index, words in notes.items()}


def _readout(
    plot: Plot, series: Series, xs: Sequence[float], write: Callable[[float], str], height: int
) -> Readout:
    known = {x: y for x, y in zip(series.xs, series.ys, strict=True) if y is not None and is_finite(y)}
    return Readout(
        name=series.name,
        colour=series.colour or 0,
        text=tuple(write(known[x]) if x in known else None for x in xs),
        y=tuple(round(plot.down(known[x]) / height, 4) if x in known else None for x in xs),
    )
