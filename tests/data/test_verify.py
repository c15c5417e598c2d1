"""Versions are hashed again, and their rows written out."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import polars as pl
import pytest

from holdfast.base.blobs import Blobs
from holdfast.base.errors import ConflictError, InvalidError
from holdfast.data.add import build_plain
from holdfast.data.build import build_dataset
from holdfast.data.errors import StorageError
from holdfast.data.fingerprint_first import fingerprint_part, fingerprint_parts
from holdfast.data.readers.open import open_source
from holdfast.data.records import DatasetVersion, TableSpec
from holdfast.data.verify import checkout, verify_version
from tests.data.test_add import PLAIN, ROWS
from tests.data.test_build import LATER, SPEC, TIME, rows, version_of, write


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def added(source: object, blobs: Blobs, spec: TableSpec = PLAIN) -> DatasetVersion:
    return version_of(build_plain(spec, open_source(source), blobs).draft)


def test_a_flipped_byte_is_found_and_named(blobs: Blobs) -> None:
    version = added(ROWS, blobs)
    assert verify_version(version, blobs).ok
    path = blobs.path(version.parts[0].digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    found = verify_version(version, blobs)
    assert (found.ok, found.fingerprint) == (False, None)
    assert [(part.part, part.digest, part.state) for part in found.parts] == [
        (1, version.parts[0].digest, "damaged")
    ]
    path.unlink()
    assert verify_version(version, blobs).parts[0].state == "missing"


def test_rows_that_are_read_otherwise_are_found(blobs: Blobs) -> None:
    version = msgspec.structs.replace(added(ROWS, blobs), fingerprint="e" * 64)
    found = verify_version(version, blobs)
    assert (found.ok, found.fingerprint) == (False, "differs")


def test_versions_of_early_releases_are_verified_by_their_own_format(blobs: Blobs) -> None:
    version = added(ROWS, blobs)
    old = fingerprint_parts([fingerprint_part(ROWS)])
    early = msgspec.structs.replace(version, fingerprint=old, fingerprint_format=1)
    assert verify_version(early, blobs).ok


def test_a_source_that_changed_under_a_version_is_told(tmp_path: Path, blobs: Blobs) -> None:
    for version, path in (
        (added(write(rows(), tmp_path), blobs), tmp_path / "rides.csv"),
        (
            version_of(build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, [])),
            tmp_path / "rides.csv",
        ),
    ):
        assert verify_version(version, blobs).source == "unchanged"
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        found = verify_version(version, blobs)
        assert (found.ok, found.source, found.source_path) == (True, "changed", str(path))
        path.unlink()
        assert verify_version(version, blobs).source == "gone"
        path.write_bytes(content)
    assert verify_version(added(ROWS, blobs), blobs).source == "not a file"


def test_a_checkout_gives_the_same_version_again(tmp_path: Path, blobs: Blobs) -> None:
    spec = msgspec.structs.replace(PLAIN, time="at")
    version = added(ROWS, blobs, spec)
    for name in ("out.parquet", "out.csv"):
        assert checkout(version, blobs, tmp_path / name) == 4
        assert added(tmp_path / name, blobs, spec).fingerprint == version.fingerprint
    with pytest.raises(ConflictError, match="--force"):
        checkout(version, blobs, tmp_path / "out.csv")
    assert checkout(version, blobs, tmp_path / "out.csv", replace=True) == 4
    with pytest.raises(InvalidError, match=r"neither .parquet nor .csv"):
        checkout(version, blobs, tmp_path / "out.xlsx")
    assert not list(tmp_path.glob(".*.part"))


def test_a_checkout_of_a_table_has_its_columns(tmp_path: Path, blobs: Blobs) -> None:
    version = version_of(build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, []))
    checkout(version, blobs, tmp_path / "out.csv")
    assert pl.read_csv(tmp_path / "out.csv").columns == ["day", "hr", "temp", "cnt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_that_cannot_be_written_is_one_sentence(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        checkout(added(ROWS, blobs), blobs, tmp_path / "closed" / "out.csv")


def test_a_checkout_to_nowhere_is_one_sentence(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        checkout(added(ROWS, blobs), blobs, tmp_path / "file" / "out.csv")
