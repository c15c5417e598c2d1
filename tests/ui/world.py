"""A seeded world for the pages: services over a temporary ledger, and the tools that tell a story into it.

Runs, versions, decisions and rollouts go through the services' own transaction-level methods, checks and alerts come
from the real policies over the windows that are written here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, HOUR_US, SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import to_json, to_msgpack
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.data.records import Contract, DatasetDraft, Part, TableSpec
from holdfast.features.records import FeatureViewSpec
from holdfast.loop.actions import Actions, Why, evidence_of
from holdfast.loop.records import DeclareRequest, LoopSpec
from holdfast.monitoring import store as monitoring_store
from holdfast.monitoring.records import LossSums, Window
from holdfast.profiles.build import build_profile
from holdfast.registry.baseline import Baseline, build_baseline
from holdfast.registry.catalog.service.models import ModelCatalog
from holdfast.registry.records import (
    GateSpec,
    ModelFile,
    ModelVersion,
    Signature,
    SignatureColumn,
    VersionDraft,
)
from holdfast.server.compose import MIGRATIONS, Services, compose
from holdfast.tracking.records import Artifact, CodeSnapshot, EnvironmentSnapshot, RunResult
from holdfast.tracking.service import ExperimentService
from holdfast.training.records import ModelSpec
from holdfast.ui.services import PageServices
from tests.ui.draws import Subject, answers, contract_of, gates, log_losses, other_metrics, sums

ADA = Context(Actor("ada"))
MARA = Context(Actor("mara"))
LOOP = ADA.as_loop()
ENVIRONMENT = "production"

_PACKAGES = {
    "numpy": "2.4.0", "polars": "2.1.0", "scikit-learn": "1.9.0", "scipy": "1.17.0", "skops": "0.16.0",
    "onnxruntime": "1.31.0", "msgspec": "0.22.0", "starlette": "1.10.0", "granian": "2.8.7", "lmdb": "3.0.0",
    "jinja2": "3.1.6", "click": "8.5.0", "rich": "15.0.0", "blake3": "1.2.0", "croniter": "7.0.0",
}  # fmt: skip
_DIFF = """diff --git a/payments.py b/payments.py
@@ -31,7 +31,7 @@ def train(data: hf.TrainingSet, params: hf.Params):
-    return HistGradientBoostingClassifier(max_depth=4).fit(data.X, data.y)
+    return HistGradientBoostingClassifier(max_depth=6, learning_rate=0.08).fit(data.X, data.y)
"""


@dataclass
class World:
    """The services, and the writer of the story. Moments are days since `start_at`."""

    services: PageServices
    ledger: SqliteLedger
    blobs: Blobs
    clock: SimulatedClock
    actions: Actions
    start_at: int
    generator: np.random.Generator
    digits: Random
    composed: Services
    baselines: dict[str, Baseline] = field(default_factory=dict)

    @property
    def experiments(self) -> ExperimentService:
        return self.composed.logging.experiments

    @property
    def models(self) -> ModelCatalog:
        return self.composed.models

    def at(self, day: float) -> int:
        return self.start_at + int(day * DAY_US)

    def advance(self, day: float) -> int:
        self.clock.advance(self.at(day))
        return self.clock.now()

    def declare(self, subject: Subject, context: Context = ADA) -> LoopSpec:
        views = tuple(
            FeatureViewSpec(name, subject.table, 14 * DAY_US, 14 * DAY_US) for name in subject.views
        )
        model = ModelSpec(
            subject.name,
            TableSpec(
                subject.table, f"{subject.table}.csv", "time", label=subject.label, label_delay_us=DAY_US
            ),
            subject.task,
            features=views,
            gates=(GateSpec("at_most", subject.metric, subject.gate),),
        )
        spec = LoopSpec(model, subject.policy, subject.monitor, subject.retrain)
        packed = bundle.encode(
            bundle.SourceBundle(f"{subject.table}.py", {f"{subject.table}.py": b"# a model"})
        )
        self.services.loop.declare(context, DeclareRequest(subject.name, spec, packed, active=True))
        return spec

    def request_training(self, subject: Subject, rule: str, reason: str, alerts: tuple[int, ...] = ()) -> str:
        run_id = f"{self.digits.getrandbits(128):032x}"
        evidence = (
            {"alerts": list(alerts), "new_labels": 4_120, "job": 1} if alerts else {"new_labels": 4_120}
        )
        why = Why(rule, reason, evidence)
        subject_urn = f"tracking/run/{run_id}"
        self.ledger.write(
            lambda tx: self.actions.decide(
                tx, LOOP, ENVIRONMENT, subject.name, "retrain", subject_urn, why, "", self.clock.now()
            )
        )
        return run_id

    def fail(self, subject: Subject, run_id: str, error: str) -> None:
        now = self.clock.now()

        def change(tx: Any) -> None:
            self.services.tracking.start_run(tx, LOOP, run_id, subject.name, now, seed=7)
            self.services.tracking.fail_run(tx, LOOP, run_id, error, now + 3_000_000)
            why = Why("training", error, {"run": run_id})
            urn = f"tracking/run/{run_id}"
            self.actions.decide(tx, LOOP, ENVIRONMENT, subject.name, "training failed", urn, why, "", now)

        self.ledger.write(change)

    def train(
        self,
        subject: Subject,
        run_id: str,
        because: str,
        *,
        drift: float = 0.0,
        passes: bool = True,
        rows: int = 6_000,
    ) -> ModelVersion:
        """A finished run with its dataset, and the version that came of it."""
        now = self.clock.now()
        frame = pl.DataFrame(subject.rows(self.generator, 3_000, drift))
        signature = self._signature(subject, frame)
        baseline = self._baseline(subject, signature, frame, now)
        contract = contract_of(subject, frame)
        spec = self.services.loop.declaration(ADA, subject.name)
        value = baseline.losses.mean * (1.0 if passes else 1.9)
        metrics = {subject.metric: value, **other_metrics(subject.task, value)}
        draft = VersionDraft(
            name=subject.name, run_id=run_id, task=subject.task, signature=signature, files=self._files(),
            metrics=metrics, dataset="", contract_digest=self.blobs.put(to_json(contract).encode()),
            profile=self.blobs.put(to_msgpack(baseline)), bundle=spec.bundle, spec=to_json(spec.spec),
            gates=gates(subject, value, passes), trained_because=because,
        )  # fmt: skip

        def change(tx: Any) -> ModelVersion:
            return self._register(tx, subject, draft, frame, contract, rows, now)

        version = self.ledger.write(change)
        self.baselines[version.urn] = baseline
        return version

    def _register(
        self,
        tx: Any,
        subject: Subject,
        draft: VersionDraft,
        frame: pl.DataFrame,
        contract: Contract,
        rows: int,
        now: int,
    ) -> ModelVersion:
        import msgspec

        services = self.services
        with_views = tuple(
            services.features.record_view(
                tx,
                LOOP,
                FeatureViewSpec(name, subject.table, 14 * DAY_US, 14 * DAY_US),
                [f"{name}_mean"],
                now,
            ).urn
            for name in subject.views
        )
        data = self._dataset(tx, subject, contract, rows, now)
        services.tracking.start_run(
            tx,
            LOOP,
            draft.run_id,
            subject.name,
            now,
            seed=7,
            parameters={"max_depth": "6", "learning_rate": "0.08"},
        )
        result = RunResult(
            metrics=draft.metrics,
            parameters={"max_iter": "300"},
            datasets=(data,),
            code=CodeSnapshot(
                draft.bundle, f"{subject.table}.py", "9f31c07be2a84d5590bd3ce1a1f0e6cc01d2aa97", _DIFF
            ),
            environment=EnvironmentSnapshot("3.11.9", "Linux-6.1-x86_64", 2, _PACKAGES),
            artifacts=(Artifact("report.json", self.blobs.put(b"{}"), 2),),
        )
        services.tracking.finish_run(tx, LOOP, draft.run_id, result, now + 41_000_000)
        draft = msgspec.structs.replace(draft, dataset=data, feature_views=with_views)
        return services.registry.register(tx, LOOP, draft, now + 41_000_000)

    def _dataset(self, tx: Any, subject: Subject, contract: Contract, rows: int, now: int) -> str:
        latest = self.services.data.latest(tx, LOOP, subject.table)
        part = Part(
            self.blobs.put(f"{subject.table}{now}".encode()), rows, "feed" if latest else "source",
            now - 60 * DAY_US, now, f"{now:064x}",
        )  # fmt: skip
        parts = (*(latest.parts if latest else ()), part)
        draft = DatasetDraft(
            subject.table, f"{now:064x}", parts, sum(one.rows for one in parts), contract.fields, "", now,
            source=None if latest else f"{subject.table}.csv", source_digest=None if latest else "c" * 64,
            parent=latest.version if latest else None,
        )  # fmt: skip
        return self.services.data.record_dataset(tx, LOOP, draft, now).urn

    def _files(self) -> tuple[ModelFile, ...]:
        native, compiled = (self.blobs.put(self.digits.randbytes(40)) for _ in range(2))
        return (
            ModelFile("skops", "native", native, 812_311),
            ModelFile("onnx", "compiled", compiled, 401_220, "agrees on 512 rows within 1.2e-07"),
        )

    def _signature(self, subject: Subject, frame: pl.DataFrame) -> Signature:
        columns = tuple(
            SignatureColumn(
                name,
                "string" if kind == pl.String else "float",
                view=f"{subject.views[0]}@1" if subject.views and name.endswith("_mean") else None,
                categories=tuple(sorted(frame[name].unique().to_list())) if kind == pl.String else None,
            )
            for name, kind in frame.schema.items()
        )
        return Signature(columns, subject.task, subject.label)

    def _baseline(self, subject: Subject, signature: Signature, frame: pl.DataFrame, now: int) -> Baseline:
        count = len(frame)
        times = np.sort(now - (self.generator.random(count) * 60 * DAY_US).astype(np.int64))
        outputs, labels = answers(self.generator, subject, count, 0.0)
        return build_baseline(signature, frame, times, times, outputs, labels, subject.metric)

    def serve(
        self, subject: Subject, version: ModelVersion, day: int, *, drift: float = 0.0, rows: int = 400,
        labelled: bool = True, loss: float | None = None,
    ) -> None:  # fmt: skip
        """One day of answers of one version: profiles of what came in, and the losses of what was labelled."""
        baseline = self.baselines[version.urn]
        frame = pl.DataFrame(subject.rows(self.generator, rows, drift))
        outputs, labels = answers(self.generator, subject, rows, drift if loss is None else loss)
        losses = np.abs(outputs - labels) if subject.metric == "mae" else log_losses(outputs, labels)
        window = Window(
            version=version.version,
            day_at=self.at(day) // DAY_US * DAY_US,
            rows=rows,
            requests=rows,
            latency_us_sum=rows * 900,
            metric=subject.metric,
            losses=sums(losses) if labelled else LossSums(),
            inputs=build_profile(frame, pinned=baseline.inputs),
            prediction=build_profile({"prediction": outputs}, pinned=baseline.prediction),
        )
        self.ledger.write(
            lambda tx: monitoring_store.save_windows(tx, "default", ENVIRONMENT, subject.name, [window])
        )

    def check(self, subject: Subject, version: ModelVersion) -> None:
        self.services.monitoring.check(
            LOOP,
            ENVIRONMENT,
            subject.name,
            version.version,
            subject.monitor,
            self.baselines[version.urn],
            self.clock.now(),
        )

    def go_live(self, subject: Subject, version: ModelVersion, rule: str = "first version") -> None:
        reason = f"version {version.version} is the first whose gates passed"
        why = Why(
            rule, reason, {"gates": [evidence_of(gate) for gate in version.gates], "metrics": version.metrics}
        )
        self.ledger.write(
            lambda tx: self.actions.go_live(
                tx, LOOP, ENVIRONMENT, subject.name, version.version, "deploy", why, self.clock.now()
            )
        )

    def start_rollout(self, subject: Subject, version: ModelVersion) -> Any:
        why = Why(
            subject.policy.strategy,
            f"version {version.version} passed its gates",
            {"gates": [evidence_of(gate) for gate in version.gates], "metrics": version.metrics},
        )

        def change(tx: Any) -> Any:
            deployment = self.services.deployments.require(tx, LOOP, ENVIRONMENT, subject.name)
            return self.actions.start_rollout(
                tx, LOOP, deployment, version.version, subject.policy, why, self.clock.now()
            )

        return self.ledger.write(change)


def build(folder: Path, start_at: int) -> World:
    """Services over a fresh home."""
    home = Home(folder)
    home.prepare()
    clock = SimulatedClock(start_at)
    ledger, blobs = SqliteLedger(folder / "ledger.db", MIGRATIONS), Blobs(home.blobs)
    composed = compose(home, ledger, clock, settle=lambda: True, wake=lambda: None, rng=Random(11))
    actions = Actions(composed.registry, composed.rollouts, composed.deployments)
    # The replay of the log is another room's; these pages are tested with and without a line of its making.
    services = replace(composed.pages(clock, ledger), counterfactual=None)
    return World(
        services, ledger, blobs, clock, actions, start_at, np.random.default_rng(5), Random(3), composed
    )


__all__ = ["ADA", "ENVIRONMENT", "HOUR_US", "LOOP", "MARA", "Subject", "World", "build"]
