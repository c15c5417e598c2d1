"""The model file that the demo copies next to its data fits the world that it is about."""

from __future__ import annotations

from holdfast.cli.demo.worlds import payments_model
from holdfast.cli.demo.worlds.payments import PaymentsWorld

SMALL = PaymentsWorld(seed=7, history_days=2, live_days=2, change_day=1)


def test_the_payments_model_is_declared_over_the_columns_of_the_world() -> None:
    spec = payments_model.train.__holdfast_model__  # type: ignore[attr-defined]
    table = spec.model.table
    columns = set(SMALL.initial_history().columns)
    assert {table.time, table.label, *table.key} <= columns
    assert table.source == "payments.parquet"
    assert table.label_delay_us >= max(delay for batch in SMALL.batches() for delay in batch.label_delays_us)
    assert spec.rollout.steps == (10, 50, 100)
    assert set(spec.retrain.on) == {"drift", "performance"}
