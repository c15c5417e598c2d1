"""Feature views are numbered by definition, linked to their table, listed and found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.base import events, lineage
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError
from holdfast.base.ledger import Ledger
from holdfast.features import store
from holdfast.features.errors import ViewNotFoundError
from holdfast.features.records import FeatureView, FeatureViewSpec, GetViewRequest, ListViewsRequest
from holdfast.features.service import FeatureService
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
SPEC = FeatureViewSpec("demand", "rides", 5, 9, ("city",), "Demand before.", "c0de")


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    return ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *store.MIGRATIONS))


@pytest.fixture
def service(ledger: Ledger) -> FeatureService:
    return FeatureService(ledger)


def record(
    ledger: Ledger,
    service: FeatureService,
    spec: FeatureViewSpec = SPEC,
    columns: tuple[str, ...] = ("last",),
    context: Context = ANN,
    **more: Any,
) -> FeatureView:
    return ledger.write(lambda tx: service.record_view(tx, context, spec, columns, 1_000, **more))


def test_the_same_definition_is_the_same_version(ledger: Ledger, service: FeatureService) -> None:
    first = record(ledger, service)
    assert (first.version, first.columns, first.created_at, first.created_by) == (1, ("last",), 1_000, "ann")
    assert record(ledger, service) == first
    assert record(ledger, service, msgspec.structs.replace(SPEC, description="Reworded.")) == first


@pytest.mark.parametrize(
    "change",
    [{"ttl_us": 6}, {"lookback_us": 10}, {"entity": ()}, {"code_digest": "0ther"}, {"table": "cars"}],
)
def test_any_change_of_the_definition_is_a_new_version(
    ledger: Ledger, service: FeatureService, change: dict[str, Any]
) -> None:
    first = record(ledger, service)
    assert record(ledger, service, msgspec.structs.replace(SPEC, **change)).version == 2
    assert record(ledger, service, columns=("last", "total")).version == 3
    assert record(ledger, service) == first


def test_views_are_found_by_urn_and_listed_by_project(ledger: Ledger, service: FeatureService) -> None:
    record(ledger, service)
    second = record(ledger, service, columns=("last", "total"))
    record(ledger, service, msgspec.structs.replace(SPEC, name="amounts"))
    record(ledger, service, context=Context(Actor("ben"), "other"))
    assert service.view(ANN, second.urn) == second
    assert service.get_view(ANN, GetViewRequest("demand", "latest")) == second
    listed = service.list_views(ANN, ListViewsRequest()).views
    assert [view.urn for view in listed] == ["features/amounts@1", "features/demand@2"]
    for unknown in ("features/demand@3", "features/demand@x", "features/demand"):
        with pytest.raises(ViewNotFoundError, match="its versions are 1 to 2"):
            service.view(ANN, unknown)
    with pytest.raises(ViewNotFoundError, match="there are: amounts, demand"):
        service.view(ANN, "features/speed@1")


def test_lineage_leads_to_the_table_or_its_version(ledger: Ledger, service: FeatureService) -> None:
    view = record(ledger, service, dataset="data/rides@1")
    record(ledger, service, dataset="data/rides@2")
    record(ledger, service)
    with ledger.read() as reader:
        upstream = lineage.graph(reader, ANN, view.urn).upstream
    assert {edge.source for edge in upstream} == {"data/rides", "data/rides@1", "data/rides@2"}
    assert {edge.relation for edge in upstream} == {"computed into"}


def test_a_bad_name_is_refused(ledger: Ledger, service: FeatureService) -> None:
    with pytest.raises(InvalidError, match="not a name"):
        record(ledger, service, msgspec.structs.replace(SPEC, name="a b"))
