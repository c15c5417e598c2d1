"""Dataset versions are numbered, recognised by their rows, linked and listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError
from holdfast.base.ledger import Ledger
from holdfast.data import store
from holdfast.data.errors import DatasetMovedError, DatasetNotFoundError, TableError
from holdfast.data.records import (
    AddDatasetRequest,
    DatasetDraft,
    DatasetVersion,
    FieldContract,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
    Part,
)
from holdfast.data.service import DataService
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
FIELDS = (FieldContract("temp", "float", minimum=0.0, maximum=1.0),)


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    return ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS))


@pytest.fixture
def service(ledger: Ledger, tmp_path: Path) -> DataService:
    return DataService(ledger, Blobs(tmp_path / "blobs"), SimulatedClock(5_000))


def draft(rows: int, **changes: object) -> DatasetDraft:
    part = Part(f"{rows:064x}", rows, "source", fingerprint=f"{rows:064x}")
    made = DatasetDraft("rides", f"{rows:064x}", (part,), rows, FIELDS, "0" * 64, 99, source="/data/hour.csv")
    return msgspec.structs.replace(made, **changes)


def record(
    ledger: Ledger, service: DataService, made: DatasetDraft, context: Context = ANN
) -> DatasetVersion:
    return ledger.write(lambda transaction: service.record_dataset(transaction, context, made, 1_000))


def test_versions_are_numbered_and_carry_their_contract(ledger: Ledger, service: DataService) -> None:
    one = record(ledger, service, draft(10))
    two = record(ledger, service, draft(20, parent=1))
    assert (one.version, two.version) == (1, 2)
    assert two.contract.urn == "rides@2"
    assert (two.created_at, two.created_by, two.parts) == (1_000, "ann", draft(20).parts)
    assert service.get_dataset(ANN, GetDatasetRequest("rides", "2")) == two
    assert service.get_dataset(ANN, GetDatasetRequest("rides", "latest")) == two


def test_the_same_rows_are_the_same_version(ledger: Ledger, service: DataService) -> None:
    first = record(ledger, service, draft(10))
    record(ledger, service, draft(20))
    assert record(ledger, service, draft(10, as_of_at=500)) == first
    with ledger.read() as reader:
        (told,) = reader.query("SELECT COUNT(*) AS count FROM event WHERE kind = 'data.versioned'")
        assert told["count"] == 2
        latest = service.latest(reader, ANN, "rides")
    assert latest is not None and latest.version == 2


def stored(blobs: Blobs, content: bytes, **changes: object) -> DatasetDraft:
    digest = blobs.put(content)
    part = Part(digest, 1, "source", fingerprint=digest)
    made = draft(1, fingerprint=digest, parts=(part,), profile=digest)
    return msgspec.structs.replace(made, **changes)


def test_added_versions_must_be_stored_and_go_on_from_the_newest(
    ledger: Ledger, service: DataService, tmp_path: Path
) -> None:
    blobs = Blobs(tmp_path / "blobs")
    one = service.add_dataset(ANN, AddDatasetRequest("rides", stored(blobs, b"1", as_of_at=0)))
    assert (one.created, one.version.version, one.version.as_of_at) == (True, 1, 5_000)
    again = service.add_dataset(ANN, AddDatasetRequest("rides", stored(blobs, b"1")))
    assert (again.created, again.version) == (False, one.version)
    grown = AddDatasetRequest("rides", stored(blobs, b"2", parent=1))
    assert service.add_dataset(ANN, grown).version.parent == 1
    with pytest.raises(DatasetMovedError, match="newest version is 2 by now; append again"):
        service.add_dataset(ANN, AddDatasetRequest("rides", stored(blobs, b"3", parent=1)))
    # The answer to an append may have been lost: the same append again is the version that it made.
    assert not service.add_dataset(ANN, grown).created
    for bad, says in (
        (draft(10), "is not stored here"),
        (stored(blobs, b"4", rows=7), "do not add up"),
        (stored(blobs, b"4", table="cars"), "not of 'rides'"),
    ):
        with pytest.raises(TableError, match=says):
            service.add_dataset(ANN, AddDatasetRequest("rides", bad))


def test_the_same_files_are_the_same_rows_whatever_the_format_of_the_fingerprint(
    ledger: Ledger, service: DataService
) -> None:
    first = record(ledger, service, draft(10, fingerprint_format=1))
    assert record(ledger, service, draft(10, fingerprint="e" * 64)) == first


def test_lineage_leads_to_the_source_and_the_parent(ledger: Ledger, service: DataService) -> None:
    record(ledger, service, draft(10))
    record(ledger, service, draft(20, parent=1))
    with ledger.read() as reader:
        found = lineage.graph(reader, ANN, "data/rides@2").upstream
    assert [(edge.source, edge.relation, edge.target) for edge in found] == [
        ("data/rides@1", "grew into", "data/rides@2"),
        ("source//data/hour.csv", "read into", "data/rides@1"),
    ]


def test_lists_are_paged_and_kept_apart_by_project(ledger: Ledger, service: DataService) -> None:
    for rows in range(1, 6):
        record(ledger, service, draft(rows))
    record(ledger, service, draft(1, table="payments"))
    other = Context(Actor("ben"), "other")
    record(ledger, service, draft(7), other)
    listed = service.list_datasets(ANN, ListDatasetsRequest()).datasets
    assert [(item.table, item.latest_version, item.rows) for item in listed] == [
        ("payments", 1, 1),
        ("rides", 5, 5),
    ]
    page = service.list_versions(ANN, ListDatasetVersionsRequest("rides", limit=3))
    assert ([item.version for item in page.versions], page.next_before) == ([5, 4, 3], 3)
    page = service.list_versions(ANN, ListDatasetVersionsRequest("rides", before=3, limit=3))
    assert ([item.version for item in page.versions], page.next_before) == ([2, 1], None)
    assert service.get_dataset(other, GetDatasetRequest("rides", "latest")).rows == 7


def test_what_is_not_there_says_what_there_is(ledger: Ledger, service: DataService) -> None:
    with pytest.raises(DatasetNotFoundError, match="holdfast train FILE"):
        service.get_dataset(ANN, GetDatasetRequest("rides", "latest"))
    record(ledger, service, draft(1))
    with pytest.raises(DatasetNotFoundError, match="there are datasets of: rides"):
        service.list_versions(ANN, ListDatasetVersionsRequest("cars"))
    for version in ("2", "champion", "0"):
        with pytest.raises(DatasetNotFoundError, match="its versions are 1 to 1"):
            service.get_dataset(ANN, GetDatasetRequest("rides", version))
    with pytest.raises(InvalidError, match="not a name"):
        record(ledger, service, draft(1, table="../x"))


def test_the_door_imports_light() -> None:
    code = (
        "import sys, holdfast.data.service, holdfast.data.decoder, holdfast.features.records;"
        "print([name for name in ('polars', 'numpy', 'scipy', 'sklearn', 'lmdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
