"""One parameter against one metric over many runs, as the URL chooses: the shape of a search at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from markupsafe import Markup

from holdfast.tracking.comparison import ComparedMetric, ComparedText, Comparison
from holdfast.ui import urls
from holdfast.ui.kit import charts

_LOG_FROM_RATIO = 100.0
_CATEGORIES_MOST = 20


class Scatter(msgspec.Struct, frozen=True):
    """The chart, what it shows, and what else it could."""

    chart: Markup
    parameter: str
    metric: str
    parameters: tuple[str, ...]
    metrics: tuple[str, ...]


def scatter_of(found: Comparison, names: Sequence[str], query: Mapping[str, str]) -> Scatter | None:
    """The chart of `?param=` against `?against=`; None where no parameter differs or nothing was measured."""
    parameters = {row.key: row for row in found.parameters_differing}
    metrics = {row.key: row for row in found.metrics}
    if not parameters or not metrics:
        return None
    by_default = max(parameters, key=lambda key: _telling(parameters[key]))
    known = next((key for key, row in metrics.items() if row.better), next(iter(metrics)))
    parameter = query.get("param", "") if query.get("param", "") in parameters else by_default
    metric = query.get("against", "") if query.get("against", "") in metrics else known
    chart = _chart(found, names, parameters[parameter], metrics[metric])
    return Scatter(chart, parameter, metric, tuple(parameters), tuple(metrics))


def _telling(row: ComparedText) -> tuple[bool, int]:
    """How much a parameter may say: numbers before words, and many values before few."""
    return _numbers(row) is not None, len(set(row.values))


def _chart(
    found: Comparison, names: Sequence[str], parameter: ComparedText, metric: ComparedMetric
) -> Markup:
    xs, categories = _across(parameter)
    known = [x for x in xs if x is not None]
    log = not categories and min(known) > 0 and max(known) / min(known) >= _LOG_FROM_RATIO
    dots = [
        charts.Dot(name, x, None if y is None else float(y), urls.run(run.run_id))
        for name, run, x, y in zip(names, found.runs, xs, metric.values, strict=True)
    ]
    return charts.scatter_plot(
        dots,
        title=f"{metric.key} by {parameter.key}",
        x_label=f"{parameter.key}{', logarithmic' if log else ''}",
        y_label=metric.key,
        categories=categories,
        log_x=log,
    )


def _across(row: ComparedText) -> tuple[list[float | None], tuple[str, ...]]:
    """The values of a parameter as numbers, or as places of words where any of them is none."""
    numbers = _numbers(row)
    if numbers is not None:
        return numbers, ()
    words = list(dict.fromkeys(sorted(value for value in row.values if value is not None)))[:_CATEGORIES_MOST]
    places = {word: float(place) for place, word in enumerate(words)}
    return [places.get(value or "") for value in row.values], tuple(words)


def _numbers(row: ComparedText) -> list[float | None] | None:
    """The values as numbers; None where one of them is not, or there is none at all."""
    try:
        found = [None if value is None else float(value) for value in row.values]
    except ValueError:
        return None
    finite = [value for value in found if value is not None and abs(value) < float("inf")]
    return found if finite and len(finite) == sum(value is not None for value in found) else None
