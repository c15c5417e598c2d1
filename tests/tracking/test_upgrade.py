"""A ledger of the first release becomes one of today, with everything in it."""

from __future__ import annotations

import math

from holdfast.base import events, lineage
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.ledger import SqliteLedger
from holdfast.tracking import store
from holdfast.tracking.records import Artifact, GetRunRequest
from holdfast.tracking.service import ExperimentService, MetricService, TrackingService

ANN = Context(Actor("ann"))
OTHERS = (*events.MIGRATIONS, *lineage.MIGRATIONS)


def write_as_the_first_release(ledger):
    def change(transaction):
        for number, experiment in enumerate(["bikes", "payments", "Default", "bikes"] * 40):
            run_id = f"{number:032x}"
            transaction.execute(
                "INSERT INTO run (project, run_id, experiment, name, status, started_at, ended_at, created_by, seed,"
                " parameters, tags, datasets, code, environment, artifacts) VALUES ('default', ?, ?, 'n', 'finished',"
                " ?, 900, 'ann', 7, ?, ?, '[\"data/rides@1\"]', 'null', 'null', ?)",
                (
                    run_id,
                    experiment,
                    100 + number,
                    f'{{"depth": "{number}"}}',
                    '{"by": "test"}',
                    f'[{{"path": "a/gates.json", "digest": "{"d" * 64}", "size_bytes": 12}}]',
                ),
            )
            for step, value in enumerate(["1.5", "nan", "inf", "0.1"]):
                row = ("default", run_id, "mae", step, 50, value)
                transaction.execute("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?)", row)
            transaction.execute("INSERT INTO metric_latest VALUES (?, ?, ?, ?, ?, ?)", row)

    ledger.write(change)


def test_runs_of_the_first_release_are_there(tmp_path):
    old = SqliteLedger(tmp_path / "ledger.db", (*OTHERS, store.MIGRATIONS[0]))
    write_as_the_first_release(old)
    old.close()
    ledger = SqliteLedger(tmp_path / "ledger.db", (*OTHERS, *store.MIGRATIONS))
    try:
        service = TrackingService(ledger)
        service.upgrade()
        service.upgrade()
        run = service.get_run(ANN, GetRunRequest(f"{9:032x}"))
        assert (run.experiment, run.parameters, run.tags, run.seed) == (
            "payments",
            {"depth": "9"},
            {"by": "test"},
            7,
        )
        assert (run.metrics, run.datasets) == ({"mae": 0.1}, ("data/rides@1",))
        assert run.artifacts == (Artifact("a/gates.json", "d" * 64, 12),)
        with ledger.read() as reader:
            row = reader.one(
                "SELECT count(*) AS n FROM run r JOIN experiment e ON e.number = r.experiment_number"
                " WHERE e.name = 'bikes'"
            )
        assert row["n"] == 80
        values = MetricService(ledger).history(ANN, run.run_id, "mae").values
        assert (values[0], math.isnan(values[1]), values[2:]) == (1.5, True, [math.inf, 0.1])
        experiments = ExperimentService(ledger, SimulatedClock(5000))
        found = experiments.search(ANN, order_by=["experiment_id"]).experiments
        assert [(item.experiment_id, item.name) for item in found] == [
            ("0", "Default"),
            ("1", "bikes"),
            ("2", "payments"),
        ]
        with ledger.read() as reader:
            for table in ("run_before_2", "metric", "metric_latest"):
                assert reader.one(f"SELECT count(*) AS n FROM {table}")["n"] == 0
    finally:
        ledger.close()
