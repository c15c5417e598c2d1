"""A composed home on a simulated clock, with versions registered directly: the loop without waiting for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, SimulatedClock, parse_time
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import to_json
from holdfast.base.home import Home
from holdfast.base.ledger import Ledger, SqliteLedger
from holdfast.data.records import Contract, FieldContract, TableSpec
from holdfast.loop.records import DeclareRequest, LoopSpec, RetrainPolicy
from holdfast.registry.records import (
    GateResult,
    GateSpec,
    ModelVersion,
    Signature,
    SignatureColumn,
    VersionDraft,
)
from holdfast.rollout.records import RolloutPolicy
from holdfast.server.compose import MIGRATIONS, Services, compose
from holdfast.training.records import ModelSpec

ADA = Context(Actor("ada"))
START_AT = parse_time("2026-01-01T00:00:00Z")
SHADOW = RolloutPolicy("shadow_then_switch", shadow_us=7 * DAY_US)
PASSED = GateResult("mae ≤ 60", GateSpec("at_most", "mae", threshold=60), "passed", "mae is 20")
FAILED = GateResult(
    "mae ≤ 60", GateSpec("at_most", "mae", threshold=60), "failed", "mae is 90, at most 60 was asked"
)


@dataclass
class World:
    """One home with one declared model, `bikes`."""

    home: Home
    ledger: Ledger
    clock: SimulatedClock
    services: Services

    @classmethod
    def open(cls, folder: Path, ledger: Ledger | None = None, home: Home | None = None) -> World:
        home = home or Home(folder / "home")
        home.prepare()
        ledger = ledger or SqliteLedger(home.ledger, MIGRATIONS)
        clock = SimulatedClock(START_AT)
        services = compose(home, ledger, clock, settle=lambda: True, wake=lambda: None, rng=Random(7))
        return cls(home, ledger, clock, services)

    def close(self) -> None:
        self.services.launcher.close()
        self.ledger.close()

    def declare(
        self, *, rollout: RolloutPolicy = SHADOW, retrain: RetrainPolicy | None = None, active: bool = True
    ) -> None:
        table = TableSpec("rides", None, "at", label="cnt")
        spec = LoopSpec(ModelSpec("bikes", table, "regression"), rollout, retrain=retrain or RetrainPolicy())
        code = bundle.encode(bundle.SourceBundle("bikes.py", {"bikes.py": b"x = 1\n"}))
        self.services.loop.declare(ADA, DeclareRequest("bikes", spec, code, active))

    def register(self, *gates: GateResult) -> ModelVersion:
        """A further version whose gates said what is given; passed by default."""
        contract = Contract(
            "rides", 1, (FieldContract("temp", "float"), FieldContract("cnt", "float", "label"))
        )
        draft = VersionDraft(
            name="bikes",
            run_id=f"{Random(self.next_version()).getrandbits(128):032x}",
            task="regression",
            signature=Signature((SignatureColumn("temp", "float"),), "regression", "cnt"),
            files=(),
            metrics={"mae": 20.0},
            dataset="data/rides@1",
            contract_digest=Blobs(self.home.blobs).put(to_json(contract).encode()),
            profile="",
            bundle="0" * 64,
            spec="{}",
            gates=gates or (PASSED,),
        )
        return self.ledger.write(lambda tx: self.services.registry.register(tx, ADA, draft, self.clock.now()))

    def next_version(self) -> int:
        latest = self.services.registry.latest(ADA, "bikes")
        return 1 if latest is None else latest.version + 1

    def tick(self, days: float = 0) -> int:
        """Moves the clock and lets the loop look until it decides nothing more; returns the decisions."""
        self.clock.advance(self.clock.now() + int(days * DAY_US))
        total = 0
        while decided := self.services.loop.tick(ADA):
            total += decided
        return total

    def kinds(self) -> list[str]:
        """The kinds of all decisions, oldest first."""
        from holdfast.loop.records import ListDecisionsRequest

        return [item.kind for item in self.services.loop.list_decisions(ADA, ListDecisionsRequest("bikes"))][
            ::-1
        ]

    def stage(self, version: int) -> str:
        return self.services.registry.version(ADA, "bikes", version).stage

    def traffic(self) -> dict[int, tuple[str, int]]:
        """Version → role and share, as the deployment file says."""
        from holdfast.serving.deployment_file import read_deployment_file

        file = read_deployment_file(self.home, "default", "production", "bikes")
        assert file is not None
        return {item.version: (item.role, item.share) for item in file.variants}
