"""A small real world: a home, a ledger, a registered version with its baseline, and a prediction log on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import to_msgpack
from holdfast.base.home import Home
from holdfast.base.ledger import Ledger, SqliteLedger
from holdfast.monitoring import store
from holdfast.monitoring.service import MonitoringService
from holdfast.registry import store as registry_store
from holdfast.registry.baseline import Baseline, build_baseline
from holdfast.registry.records import ModelFile, ModelVersion, Signature, SignatureColumn, VersionDraft
from holdfast.registry.service import RegistryService
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import (
    DeploymentKey,
    LabelFrame,
    PredictionFrame,
    RejectionFrame,
    SchemaFrame,
)
from holdfast.serving.spool import SpoolWriter, deployment_folder

CONTEXT = Context(Actor("ada"))
KEY = DeploymentKey("default", "production", "bikes")
START = 20_000 * DAY_US
TRAINING_DAYS = 120
SIGNATURE = Signature(
    (
        SignatureColumn("temp", "float"),
        SignatureColumn("wind", "float"),
        SignatureColumn("weather", "string", categories=("clear", "rain", "snow")),
        SignatureColumn("rides_1h", "float", view="demand@1"),
    ),
    "regression",
    "cnt",
)
MIGRATIONS = (
    *events.MIGRATIONS,
    *audit.MIGRATIONS,
    *lineage.MIGRATIONS,
    *registry_store.MIGRATIONS,
    *store.MIGRATIONS,
)


def make_rows(rng: np.random.Generator, count: int, shift: float = 0.0) -> pl.DataFrame:
    """Independent rows of the world; `shift` moves the temperature by so many standard deviations."""
    return pl.DataFrame(
        {
            "temp": rng.normal(shift, 1.0, count),
            "wind": rng.gamma(2.0, 1.0, count),
            "weather": rng.choice(["clear", "rain", "snow"], count, p=[0.6, 0.3, 0.1]),
            "rides_1h": rng.poisson(20, count).astype(np.float64),
        }
    )


def make_baseline(seed: int = 1, rows_per_day: int = 200) -> Baseline:
    """Trained on 120 days before START, the last 24 of them held out with a mean absolute error of 2."""
    rng = np.random.default_rng(seed)
    count = TRAINING_DAYS * rows_per_day
    at = START - TRAINING_DAYS * DAY_US + np.arange(count) * (DAY_US // rows_per_day)
    held_out = slice(count * 4 // 5, None)
    outputs = rng.normal(50, 10, count)[held_out]
    labels = outputs + rng.exponential(2.0, outputs.size)
    return build_baseline(SIGNATURE, make_rows(rng, count), at, at[held_out], outputs, labels, "mae")


class World:
    """Writes to the real log and watches it with the real service."""

    def __init__(self, folder: Path, baseline: Baseline | None = None, ledger: Ledger | None = None) -> None:
        self.home = Home(folder)
        self.home.prepare()
        self.ledger = ledger or SqliteLedger(self.home.ledger, MIGRATIONS)
        self.blobs = Blobs(self.home.blobs)
        self.clock = SimulatedClock(START)
        self.registry = RegistryService(self.ledger, self.blobs, self.clock)
        self.baseline = baseline or make_baseline()
        self.version = self.register(1)
        self.writer = self._writer(0)
        self.service = self.restarted()
        self._count = 0

    def restarted(self) -> MonitoringService:
        """A service that knows nothing but what the ledger and the log say, as after a kill."""
        self.service = MonitoringService(
            self.ledger, self.blobs, self.clock, self.registry, PredictionLog(self.home)
        )
        return self.service

    def register(self, run: int, profile: str | None = None) -> ModelVersion:
        """A further version; `profile` empty is one of which training left no baseline."""
        draft = VersionDraft(
            name="bikes",
            run_id=f"{run:032x}",
            task="regression",
            signature=SIGNATURE,
            files=(ModelFile("skops", "native", "0" * 64, 10),),
            metrics={"mae": 2.0},
            dataset="data/rides@1",
            contract_digest="c",
            profile=self.blobs.put(to_msgpack(self.baseline)) if profile is None else profile,
            bundle="b",
            spec="{}",
        )
        return self.ledger.write(lambda tx: self.registry.register(tx, CONTEXT, draft, START))

    def predict(
        self,
        day: int,
        rows: pl.DataFrame,
        outputs: npt.NDArray[np.float64],
        *,
        version: int = 1,
        request_id: str | None = None,
        shadow: bool = False,
        error: str | None = None,
        flags: list[str] | None = None,
        worker: int = 0,
    ) -> list[str]:
        """Logs one request of these rows, spread over the morning of a day, and returns the prediction ids."""
        self._count += 1
        request = request_id or f"r{self._count}"
        at = START + day * DAY_US + self._count % 1000
        frame = PredictionFrame(
            request_id=request,
            at=at,
            received_at=at,
            revision=1,
            version=version,
            role="champion",
            propensity=1.0,
            inputs=[rows[name].to_list() for name in ("temp", "wind", "weather")],
            features=[[row["temp"], row["wind"], 0.0, row["rides_1h"]] for row in rows.to_dicts()],
            outputs=[None] * rows.height if error else outputs.tolist(),
            latency_us=700,
            shadow=shadow,
            error=error,
            flags=flags or [],
        )
        writer = self.writer if worker == 0 else self._writer(worker)
        writer.append_prediction(frame)
        return [f"p_{request}.{row}" for row in range(rows.height)]

    def label(self, day: int, ids: list[str], values: npt.NDArray[np.float64]) -> None:
        """Logs labels that become known on a day."""
        at = START + day * DAY_US
        self.writer.append([LabelFrame(at, at, ids, values.tolist(), [at] * len(ids))])

    def reject(self, day: int, code: str = "invalid_field") -> None:
        at = START + day * DAY_US
        self._count += 1
        self.writer.append([RejectionFrame(f"r{self._count}", at, at, code, "temp is not a number")])

    def serve(
        self,
        rng: np.random.Generator,
        day: int,
        *,
        rows: int = 200,
        shift: float = 0.0,
        loss: float = 2.0,
        version: int = 1,
        labelled: bool = True,
        label_delay_days: int = 1,
    ) -> None:
        """A usual day: one request of many rows, and their labels some days later."""
        frame = make_rows(rng, rows, shift)
        outputs = rng.normal(50, 10, rows)
        ids = self.predict(day, frame, outputs, version=version)
        if labelled:
            self.label(day + label_delay_days, ids, outputs + rng.exponential(loss, rows))

    def close(self) -> None:
        self.writer.close()
        self.ledger.close()

    def _writer(self, worker: int) -> SpoolWriter:
        writer = SpoolWriter(deployment_folder(self.home.spool, KEY), f"w{worker}", START)
        for version in (1, 2, 3):
            writer.declare(
                SchemaFrame(version, ["temp", "wind", "weather"], ["temp", "wind", "weather", "rides_1h"])
            )
        return writer
