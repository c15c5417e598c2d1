"""Gates with their evidence: the measured value, its interval, and the limit it was held to."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from holdfast.registry.records import GateResult
from holdfast.ui.cells import prose
from holdfast.ui.evidence import relative
from holdfast.ui.kit import Column, Row, badge, charts, render_table
from holdfast.ui.kit.badges import Tone
from holdfast.ui.kit.format import number, plain_number
from holdfast.ui.words import GREATER_IS_BETTER, sentence

_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "insufficient data": "neutral"}


def gates_table(gates: Sequence[GateResult]) -> Markup:
    """One row a gate, with its sentence."""
    columns = (
        Column("gate", "Gate", sortable=False),
        Column("state", "State", sortable=False, formatter=badge),
        Column("value", "Value", align="right", sortable=False, formatter=number),
        Column("reference", "Held to", align="right", sortable=False, formatter=number),
        Column("rows", "Rows", align="right", sortable=False),
        Column("message", "Evidence", sortable=False),
    )
    rows = [
        Row(
            {
                "gate": gate.gate,
                "state": gate.state,
                "value": gate.value,
                "reference": gate.reference if gate.reference is not None else gate.spec.threshold,
                "rows": gate.rows or None,
                "message": prose(sentence(gate.message)),
            },
            key=gate.gate,
        )
        for gate in gates
    ]
    empty = Markup("<h3>No gates</h3><p>A model without gates goes live unjudged. Declare some, for example"
                   " <code>gates=[hf.no_worse_than_production(\"mae\")]</code>.</p>")  # fmt: skip
    return render_table(columns, rows, caption="Gates", empty=empty)


def gate_plots(gates: Sequence[GateResult]) -> list[Markup]:
    """An interval plot for each gate that has an interval, and slices as bars where a gate has slices."""
    drawn = [_interval(gate) for gate in gates if gate.interval is not None and not gate.slices]
    return drawn + [_slices(gate) for gate in gates if gate.slices]


def _interval(gate: GateResult) -> Markup:
    assert gate.interval is not None
    if gate.spec.kind == "no_worse_than_production":
        return _against_production(gate, gate.interval)
    lower, upper = gate.interval
    one = charts.Interval(gate.spec.metric, gate.value, lower, upper, _TONES[gate.state])
    limit = gate.spec.threshold if gate.spec.threshold is not None else lower
    greater = gate.spec.metric in GREATER_IS_BETTER
    return charts.interval_plot(
        [one],
        title=gate.gate,
        unit=f"{gate.spec.metric} on held-out rows, 95% interval",
        reference=limit,
        margin=charts.Threshold(limit, f"limit {number(limit)}"),
        directions=("worse", "better") if greater else ("better", "worse"),
        value_format=_short,
    )


def _against_production(gate: GateResult, interval: tuple[float, float]) -> Markup:
    """The difference of the mean losses, whose interval the gate keeps, relative to production's loss."""
    loss = _mean_loss(gate.spec.metric, gate.reference or 0.0)
    if loss <= 0:
        return Markup("")
    lower, upper = interval[0] / loss, interval[1] / loss
    one = charts.Interval("loss", (lower + upper) / 2, lower, upper, _TONES[gate.state])
    return charts.interval_plot(
        [one],
        title=gate.gate,
        unit="relative to production on the same rows, 95% interval",
        margin=charts.Threshold(gate.spec.margin, f"margin {relative(gate.spec.margin)}"),
        directions=("better", "worse"),
        value_format=relative,
    )


def _mean_loss(metric: str, value: float) -> float:
    """The mean row loss behind a metric: its square for a root, its complement for accuracy."""
    return value**2 if metric == "rmse" else 1 - value if metric == "accuracy" else value


def _short(value: float) -> str:
    """Two digits: an estimate with both ends of its interval must fit beside a narrow plot."""
    return plain_number(value, 2)


def _slices(gate: GateResult) -> Markup:
    bars = [
        charts.Bar(f"{item.slice} ({number(item.rows)} rows)", item.value, _TONES[item.state])
        for item in gate.slices
    ]
    threshold = gate.spec.threshold
    return charts.bar_chart(
        bars,
        title=gate.gate,
        unit=f"{gate.spec.metric} by {gate.spec.by}; slices with too few rows have no bar",
        threshold=charts.Threshold(threshold, f"limit {number(threshold)}")
        if threshold is not None
        else None,
    )
