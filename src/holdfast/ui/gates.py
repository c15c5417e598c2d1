"""Gates with their evidence: the measured value, its interval, and the limit it was held to."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from holdfast.registry.records import GateResult
from holdfast.ui.cells import prose
from holdfast.ui.kit import Column, Row, badge, charts, render_table
from holdfast.ui.kit.badges import Tone
from holdfast.ui.kit.format import number
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
    lower, upper = gate.interval
    tone = _TONES[gate.state]
    if gate.spec.kind == "no_worse_than_production":
        # The interval is of the difference of mean losses; its middle is the measured difference.
        one = charts.Interval("against production", (lower + upper) / 2, lower, upper, tone)
        return charts.interval_plot(
            [one],
            title=gate.gate,
            unit="difference of mean losses on the same rows, 95% interval",
            directions=("better", "worse"),
        )
    one = charts.Interval(gate.spec.metric, gate.value, lower, upper, tone)
    limit = gate.spec.threshold if gate.spec.threshold is not None else lower
    greater = gate.spec.metric in GREATER_IS_BETTER
    return charts.interval_plot(
        [one],
        title=gate.gate,
        unit=f"{gate.spec.metric} on held-out rows, 95% interval",
        reference=limit,
        margin=charts.Threshold(limit, f"limit {number(limit)}"),
        directions=("worse", "better") if greater else ("better", "worse"),
    )


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
