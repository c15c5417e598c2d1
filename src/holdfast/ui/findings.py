"""What checks found: as a table with effect, threshold and power, and as distributions side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.monitoring.records import PROBLEMS, Check, Finding
from holdfast.profiles.algebra import merge_all
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile
from holdfast.registry.records import ModelVersion
from holdfast.ui.bins import readable_bins
from holdfast.ui.cells import prose
from holdfast.ui.kit import Column, Row, badge, charts, table
from holdfast.ui.kit.format import MISSING, number, percent
from holdfast.ui.services import PageServices

_CATEGORIES_SHOWN = 9


def findings_table(checks: Sequence[Check], query: Mapping[str, str], path: str) -> Markup:
    """Every finding of some checks, problems first."""
    rows = [
        Row(
            {**_cells(finding), "check": check.kind, "rows": check.rows},
            key=f"{check.kind}/{finding.subject}",
        )
        for check in checks
        for finding in check.findings
    ]
    rows.sort(key=lambda row: row.cells["rank"])
    columns = (
        Column("subject", "What"),
        Column("check", "Check"),
        Column("state", "State", formatter=badge),
        Column("effect", "Effect", align="right", formatter=_signed),
        Column("threshold", "Threshold", align="right", formatter=number),
        Column("p", "p", align="right", formatter=_p_value, hint="adjusted over all columns"),
        Column("power", "Could be seen", align="right", formatter=number, hint="minimum detectable effect"),
        Column("rows", "Rows", align="right"),
        Column("message", "In words", sortable=False),
    )
    return table(
        columns, rows, query, path=path, name="findings", caption="Findings", page_rows=15,
        searchable=len(rows) > 8, empty=Markup("<p>No check has run yet: checks begin with the first day of"
        " predictions.</p>"),
    )  # fmt: skip


def _cells(finding: Finding) -> dict[str, object]:
    order = (*PROBLEMS, "insufficient data", "ok", "not supported")
    return {
        "subject": finding.subject,
        "state": finding.state,
        "effect": finding.effect,
        "threshold": finding.threshold,
        "p": finding.p_value,
        "power": finding.minimum_detectable_effect,
        "message": prose(finding.message),
        "rank": (order.index(finding.state), -(finding.effect or 0.0)),
    }


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{'+' if value > 0 else ''}{number(value)}"


def _p_value(value: float | None) -> str:
    """A p-value; below a ten-thousandth its exact size says nothing."""
    return MISSING if value is None else "< 0.0001" if value < 0.0001 else number(value, 2)


def drifted(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that tell of a problem, strongest first."""
    found = [finding for finding in findings if finding.state in PROBLEMS]
    return sorted(found, key=lambda finding: -(finding.effect or 0.0))


def histograms(
    services: PageServices,
    context: Context,
    environment: str,
    version: ModelVersion,
    span: tuple[Micros, Micros],
    findings: Iterable[Finding],
    most: int = 6,
) -> list[Markup]:
    """Training against the window for each column that a finding names, in the cells of the baseline."""
    baseline = services.monitoring.baseline(version)
    subjects = list(dict.fromkeys(finding.subject for finding in findings))
    if baseline is None or not subjects:
        return []
    with services.ledger.read() as reader:
        windows = services.monitoring.windows(reader, context, environment, version.name, *span)
    mine = [window for window in windows if window.version == version.version]
    pairs = (
        (baseline.inputs, _merged([window.inputs for window in mine])),
        (baseline.prediction, _merged([window.prediction for window in mine])),
    )
    drawn = []
    for subject in subjects:
        for reference, current in pairs:
            if current is not None and subject in reference.names and subject in current.names:
                drawn.append(_pair(subject, reference.column(subject), current.column(subject)))
                break
    return drawn[:most]


def _merged(profiles: Iterable[Profile | None]) -> Profile | None:
    present = [profile for profile in profiles if profile is not None]
    return merge_all(present) if present else None


def _pair(
    title: str, reference: NumericColumn | CategoricalColumn, current: NumericColumn | CategoricalColumn
) -> Markup:
    if isinstance(reference, NumericColumn) and isinstance(current, NumericColumn):
        return _numeric_pair(title, reference, current)
    assert isinstance(reference, CategoricalColumn)
    assert isinstance(current, CategoricalColumn)
    names = sorted(reference.counts, key=lambda name: -reference.counts[name])[:_CATEGORIES_SHOWN]
    kept = set(names)

    def counts(column: CategoricalColumn) -> list[float]:
        rest = sum(count for name, count in column.counts.items() if name not in kept) + column.other_count
        return [float(column.counts.get(name, 0)) for name in names] + [float(rest)]

    return charts.histogram_pair(
        counts(reference), counts(current), labels=[*names, "other"], title=title, unit=_shares(current)
    )


def _numeric_pair(title: str, reference: NumericColumn, current: NumericColumn) -> Markup:
    if len(reference.edges) < 2 or reference.edges != current.edges:
        return Markup("")
    bins = readable_bins(reference, current)
    unit = f"mean {number(reference.mean)} → {number(current.mean)}"
    return charts.histogram_pair(bins.reference, bins.current, edges=bins.edges, title=title, unit=unit)


def _shares(column: CategoricalColumn) -> str:
    new = percent(column.other_count / column.count, 2) if column.count else ""
    return f"{new} new categories now" if column.other_count and new else ""
