"""Tags, deletion and retention: what is referred to stays, what goes leaves its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, SimulatedClock
from holdfast.base.errors import InvalidError
from holdfast.base.ledger import Ledger
from holdfast.data import store
from holdfast.data.errors import DatasetInUseError, DatasetNotFoundError
from holdfast.data.records import (
    AddDatasetRequest,
    DeleteVersionRequest,
    GetDatasetRequest,
    KeptVersion,
    ListTagsRequest,
    RemoveTagRequest,
    RetainRequest,
    SetTagRequest,
)
from holdfast.data.retention import RetentionService
from holdfast.data.service import DataService
from tests.data.test_service import ANN, stored
from tests.postgresql import LedgerFactory


class World:
    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger = ledger
        self.blobs = Blobs(folder)
        self.clock = SimulatedClock(DAY_US)
        self.data = DataService(ledger, self.blobs, self.clock)
        self.retention = RetentionService(ledger, self.clock, self.data)

    def add(self, content: bytes) -> int:
        self.clock.advance(self.clock.now() + DAY_US)
        request = AddDatasetRequest("rides", stored(self.blobs, content, as_of_at=0))
        return self.data.add_dataset(ANN, request).version.version

    def numbers(self) -> list[int]:
        with self.ledger.read() as reader:
            return [version.version for version in store.all_versions(reader, ANN.project, "rides")]

    def use(self, version: int) -> None:
        self.ledger.write(
            lambda tx: lineage.record_edge(tx, ANN, f"data/rides@{version}", "trained", "tracking/run/abc", 1)
        )


@pytest.fixture
def world(ledger_factory: LedgerFactory, tmp_path: Path) -> World:
    migrations = (*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS, *store.MIGRATIONS)
    return World(ledger_factory(migrations), tmp_path / "blobs")


def test_a_tag_names_a_version_and_moves(world: World) -> None:
    for content in (b"1", b"2"):
        world.add(content)
    world.retention.set_tag(ANN, SetTagRequest("rides", "gold", "1"))
    assert world.data.get_dataset(ANN, GetDatasetRequest("rides", "gold")).version == 1
    assert world.retention.set_tag(ANN, SetTagRequest("rides", "gold")).version == 2
    world.retention.set_tag(ANN, SetTagRequest("rides", "safe", "gold"))
    tags = world.retention.list_tags(ANN, ListTagsRequest("rides")).tags
    assert [(tag.tag, tag.version, tag.set_by) for tag in tags] == [("gold", 2, "ann"), ("safe", 2, "ann")]
    with pytest.raises(DatasetNotFoundError, match="its versions are 1 to 2, its tags gold, safe"):
        world.data.get_dataset(ANN, GetDatasetRequest("rides", "silver"))
    left = world.retention.remove_tag(ANN, RemoveTagRequest("rides", "gold"))
    assert [tag.tag for tag in left.tags] == ["safe"]
    with pytest.raises(DatasetNotFoundError, match="no tag 'gold'; its tags are: safe"):
        world.retention.remove_tag(ANN, RemoveTagRequest("rides", "gold"))
    for bad in ("latest", "3", "a b"):
        with pytest.raises(InvalidError):
            world.retention.set_tag(ANN, SetTagRequest("rides", bad))


def test_what_is_referred_to_is_never_deleted(world: World) -> None:
    for content in (b"1", b"2", b"3"):
        world.add(content)
    world.use(1)
    world.retention.set_tag(ANN, SetTagRequest("rides", "gold", "2"))
    with pytest.raises(DatasetInUseError, match="rides@1 stays: tracking/run/abc was made of it"):
        world.retention.delete_version(ANN, DeleteVersionRequest("rides", 1))
    with pytest.raises(DatasetInUseError, match="tagged gold"):
        world.retention.delete_version(ANN, DeleteVersionRequest("rides", 2))
    assert world.numbers() == [3, 2, 1]


def test_a_number_is_not_given_again(world: World) -> None:
    for content in (b"1", b"2"):
        world.add(content)
    assert world.retention.delete_version(ANN, DeleteVersionRequest("rides", 2)).version == 2
    with pytest.raises(DatasetNotFoundError, match="rides@2 was deleted by ann at"):
        world.data.get_dataset(ANN, GetDatasetRequest("rides", "2"))
    assert world.add(b"2") == 3
    assert world.data.get_dataset(ANN, GetDatasetRequest("rides", "latest")).version == 3


def test_retention_is_by_number_and_age_and_says_what_stays(world: World) -> None:
    for content in (b"1", b"2", b"3", b"4", b"5"):
        world.add(content)
    world.use(2)
    dry = world.retention.retain(ANN, RetainRequest("rides", 1, "2d", dry_run=True))
    assert (dry.deleted, dry.remaining) == ((3, 1), 3)
    assert world.numbers() == [5, 4, 3, 2, 1]
    done = world.retention.retain(ANN, RetainRequest("rides", 1, "2d"))
    assert done.kept == (KeptVersion(2, "tracking/run/abc was made of it"),)
    assert world.numbers() == [5, 4, 2]
    assert world.retention.retain(ANN, RetainRequest("rides", 2)).deleted == ()
    with pytest.raises(InvalidError, match="keep_last is below 1"):
        world.retention.retain(ANN, RetainRequest("rides", 0))
    with pytest.raises(DatasetNotFoundError):
        world.retention.retain(ANN, RetainRequest("cars"))


def test_a_deleted_version_names_no_blob_any_more(world: World) -> None:
    """The collection of blobs keeps what any row names."""
    world.add(b"1")
    world.add(b"2")
    digest = stored(world.blobs, b"1").profile
    world.retention.delete_version(ANN, DeleteVersionRequest("rides", 1))
    with world.ledger.read() as reader:
        for table in ("dataset_version", "dataset_deleted", "dataset_tag"):
            assert not any(digest in str(dict(row)) for row in reader.query(f"SELECT * FROM {table}"))
