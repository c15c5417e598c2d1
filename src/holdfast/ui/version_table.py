"""The versions of a model as a table: what became of each, and why it was trained."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.registry.records import Model, ModelVersion
from holdfast.ui import urls
from holdfast.ui.cells import link, prose
from holdfast.ui.kit import Column, Row, badge, table
from holdfast.ui.kit.format import MISSING, code_block, number, time_tag
from holdfast.ui.page import PageRequest

_METRICS_SHOWN = 2


def versions_table(
    versions: Sequence[ModelVersion], model: Model | None, now: Micros, request: PageRequest
) -> Markup:
    """One row a version, newest first."""
    metrics = main_metrics(versions)
    columns = (
        Column("version", "Version"),
        Column("stage", "Stage", formatter=badge),
        Column("alias", "Alias", sortable=False),
        *(Column(name, name, align="right", formatter=number, hint="on held-out rows") for name in metrics),
        Column("gates", "Gates", sortable=False),
        Column("because", "Trained because"),
        Column("dataset", "Data", sortable=False),
        Column("run", "Run", sortable=False),
        Column("trained", "Trained", align="right", formatter=lambda at: time_tag(at, now)),
    )
    rows = [_row(version, model, metrics) for version in versions]
    empty = Markup(
        "<h3>No version yet</h3><p>A training whose gates were judged registers one.</p>{}"
    ).format(code_block("$ holdfast train FILE"))
    return table(
        columns, rows, request.query, path=request.path, name="versions", caption="Versions", page_rows=10,
        searchable=len(rows) > 10, empty=empty,
    )  # fmt: skip


def main_metrics(versions: Sequence[ModelVersion]) -> list[str]:
    """The metrics that the gates judge, else the first ones."""
    judged = [gate.spec.metric for version in versions for gate in version.gates]
    known = [name for version in versions for name in version.metrics]
    return list(dict.fromkeys([name for name in judged if name in known] + known))[:_METRICS_SHOWN]


def gates_badge(version: ModelVersion) -> Markup | str:
    """Whether all gates passed, in one badge."""
    if not version.gates:
        return MISSING
    passed = sum(gate.state == "passed" for gate in version.gates)
    states = {gate.state for gate in version.gates}
    word = "failed" if "failed" in states else "passed" if states == {"passed"} else "insufficient data"
    return Markup('{} <span class="muted">{} of {}</span>').format(badge(word), passed, len(version.gates))


def _row(version: ModelVersion, model: Model | None, metrics: list[str]) -> Row:
    aliases = [name for name, number in (model.aliases if model else {}).items() if number == version.version]
    cells = {
        "version": f"v{version.version}",
        "stage": version.stage,
        "alias": Markup(" ").join(badge(alias) for alias in aliases) or None,
        **{name: version.metrics.get(name) for name in metrics},
        "gates": gates_badge(version),
        "because": prose(version.trained_because),
        "dataset": link(version.dataset.removeprefix("data/"), urls.of_urn(version.dataset))
        if version.dataset
        else None,
        "run": link(version.run_id[:8], urls.run(version.run_id)) if version.run_id else None,
        "trained": version.created_at,
    }
    return Row(cells, urls.version(version.name, version.version), f"v{version.version}")
