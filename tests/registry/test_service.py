"""Versions are numbered, gated, moved, approved and traced."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from holdfast.base.ledger import Ledger
from holdfast.registry import store
from holdfast.registry.errors import StageConflictError
from holdfast.registry.records import (
    ApproveRequest,
    GateResult,
    GateSpec,
    GetModelRequest,
    GetVersionRequest,
    ListModelsRequest,
    ListVersionsRequest,
    ModelFile,
    ModelVersion,
    Signature,
    SignatureColumn,
    VersionDraft,
)
from holdfast.registry.service import RegistryService
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
GATE = GateSpec("at_most", "mae", threshold=60)


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    return ledger_factory(
        (*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS),
    )


@pytest.fixture
def service(ledger: Ledger, tmp_path: Path) -> RegistryService:
    return RegistryService(ledger, Blobs(tmp_path / "blobs"), SimulatedClock(1_000))


def draft(run: int, gate: str = "passed", name: str = "bike-demand") -> VersionDraft:
    return VersionDraft(
        name=name,
        run_id=f"{run:032x}",
        task="regression",
        signature=Signature((SignatureColumn("hr", "integer"),), "regression", "cnt"),
        files=(ModelFile("skops", "native", "0" * 64, 10),),
        metrics={"mae": 50.0},
        dataset="data/rides@1",
        contract_digest="c",
        profile="p",
        bundle="b",
        spec="{}",
        gates=(GateResult(str(GATE), GATE, gate, "mae is 50"),),  # type: ignore[arg-type]
        trained_because="schedule",
    )


def register(service: RegistryService, ledger: Ledger, made: VersionDraft) -> ModelVersion:
    return ledger.write(lambda tx: service.register(tx, ANN.as_loop(), made, 500))


def move(service: RegistryService, ledger: Ledger, version: int, stage: str) -> ModelVersion:
    return ledger.write(
        lambda tx: service.transition(tx, ANN, "bike-demand", version, stage, "because", 700)  # type: ignore[arg-type]
    )


def test_versions_are_numbered_and_a_run_is_registered_once(service: RegistryService, ledger: Ledger) -> None:
    first = register(service, ledger, draft(1))
    again = register(service, ledger, draft(1))
    second = register(service, ledger, draft(2))
    assert (first.version, again, second.version) == (1, first, 2)
    assert service.latest(ANN, "bike-demand") == second
    assert service.latest(ANN, "payments") is None
    assert service.version(ANN, "bike-demand", 1) == first
    assert first.stage == "gated"
    assert [(step.stage, step.at, step.actor_kind) for step in first.transitions] == [
        ("trained", 500, "loop"),
        ("gated", 500, "loop"),
    ]
    assert service.get_model(ANN, GetModelRequest("bike-demand")).latest_version == 2
    assert [model.name for model in service.list_models(ANN, ListModelsRequest()).models] == ["bike-demand"]
    with ledger.read() as reader:
        graph = lineage.graph(reader, ANN, first.urn)
        assert [edge.source for edge in graph.upstream] == [f"tracking/run/{1:032x}"]
        assert len(audit.entries(reader, ANN, first.urn)) == 1
        kinds = [row["kind"] for row in reader.query("SELECT kind FROM event")]
    assert kinds == ["registry.versioned"] * 2


def test_another_project_sees_nothing(service: RegistryService, ledger: Ledger) -> None:
    register(service, ledger, draft(1))
    stranger = Context(Actor("bob"), "other")
    assert service.list_models(stranger, ListModelsRequest()).models == ()
    with pytest.raises(NotFoundError, match="there is no model 'bike-demand'"):
        service.get_version(stranger, GetVersionRequest("bike-demand", "1"))


def test_versions_are_paged_by_key(service: RegistryService, ledger: Ledger) -> None:
    for run in range(1, 6):
        register(service, ledger, draft(run))
    first = service.list_versions(ANN, ListVersionsRequest("bike-demand", limit=2))
    second = service.list_versions(ANN, ListVersionsRequest("bike-demand", first.next_before, 2))
    third = service.list_versions(ANN, ListVersionsRequest("bike-demand", second.next_before, 2))
    numbers = [[version.version for version in page.versions] for page in (first, second, third)]
    assert numbers == [[5, 4], [3, 2], [1]]
    assert third.next_before is None


def test_a_version_goes_live_and_retires_and_stages_do_not_skip(
    service: RegistryService, ledger: Ledger
) -> None:
    register(service, ledger, draft(1))
    register(service, ledger, draft(2, "failed"))
    live = move(service, ledger, 1, "live")
    assert (live.stage, live.transitions[-1].actor_kind, live.transitions[-1].reason) == (
        "live",
        "person",
        "because",
    )
    assert move(service, ledger, 1, "live") == live
    assert move(service, ledger, 1, "quarantined").stage == "quarantined"
    with pytest.raises(
        StageConflictError, match="is quarantined and cannot become live; a person can approve"
    ):
        move(service, ledger, 1, "live")
    with pytest.raises(StageConflictError, match="bike-demand@2 is rejected and cannot become staged"):
        move(service, ledger, 2, "staged")


@pytest.mark.parametrize("state", ["failed", "insufficient data"])
def test_only_undecided_gates_are_approved_without_force(
    state: str, service: RegistryService, ledger: Ledger
) -> None:
    rejected = register(service, ledger, draft(1, state))
    assert rejected.stage == "rejected"
    assert not rejected.gates_passed
    assert "mae is 50" in rejected.transitions[-1].reason
    with pytest.raises(ForbiddenError, match="loop is not a person"):
        service.approve(ANN.as_loop(), ApproveRequest("bike-demand", 1))
    if state == "failed":
        with pytest.raises(ConflictError, match=r"failed its gates .*--force"):
            service.approve(ANN, ApproveRequest("bike-demand", 1))
        with pytest.raises(ConflictError, match="--reason"):
            service.approve(ANN, ApproveRequest("bike-demand", 1, " ", force=True))
    request = ApproveRequest("bike-demand", 1, "seen by hand", force=state == "failed")
    approved = service.approve(ANN, request)
    assert (approved.stage, approved.transitions[-1].actor) == ("approved", "ann")
    with ledger.read() as reader:
        actions = [entry.action for entry in audit.entries(reader, ANN, approved.urn)]
        assert audit.verify(reader).intact
    assert ("registry.force_approval" in actions) == (state == "failed")


def test_aliases_follow_what_is_deployed(service: RegistryService, ledger: Ledger) -> None:
    register(service, ledger, draft(1))
    register(service, ledger, draft(2))
    ledger.write(lambda tx: service.derive_aliases(tx, ANN, "bike-demand", 1, 2))
    assert service.get_version(ANN, GetVersionRequest("bike-demand", "challenger")).version == 2
    ledger.write(lambda tx: service.derive_aliases(tx, ANN, "bike-demand", 2, None))
    assert service.get_model(ANN, GetModelRequest("bike-demand")).aliases == {"champion": 2}
    assert service.get_version(ANN, GetVersionRequest("bike-demand", "latest")).version == 2
    with pytest.raises(InvalidError, match="one of: champion, latest"):
        service.get_version(ANN, GetVersionRequest("bike-demand", "challenger"))


def test_a_model_keeps_its_task_and_its_record(service: RegistryService, ledger: Ledger) -> None:
    registered = register(service, ledger, draft(1))
    with pytest.raises(ConflictError, match="is regression, and this run trained for binary"):
        register(service, ledger, msgspec.structs.replace(draft(2), task="binary"))
    with pytest.raises(NotFoundError, match="has no version 2; its latest version is 1"):
        service.get_version(ANN, GetVersionRequest("bike-demand", "2"))
    for field in draft(1).__struct_fields__:
        assert getattr(registered, field) == getattr(draft(1), field)
