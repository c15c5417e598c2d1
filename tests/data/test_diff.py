"""Two versions compared: row by row against a brute-force comparison, and by distribution from their profiles."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import from_msgpack
from holdfast.data import keys
from holdfast.data.add import build_plain, spec_of
from holdfast.data.diff import diff_rows
from holdfast.data.readers.open import open_source
from holdfast.data.records import DatasetVersion, TableSpec
from holdfast.data.shifts import field_changes, shifts
from holdfast.profiles.build import build_profile
from holdfast.profiles.records import Profile
from tests.data.test_build import version_of

PLAIN = TableSpec("rides", None, "")
KEYED = TableSpec("rides", None, "", key=("id",))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def version(
    frame: pl.DataFrame, blobs: Blobs, spec: TableSpec = KEYED, number: int = 1, **more: Any
) -> DatasetVersion:
    return version_of(build_plain(spec, open_source(frame), blobs, **more).draft, number)


def test_rows_by_key_say_which_columns_changed(blobs: Blobs) -> None:
    before = pl.DataFrame({"id": [1, 2, 3, 4], "x": [0.5, None, 3.0, 4.0], "s": ["a", "b", "c", "d"]})
    after = pl.DataFrame({"id": [5, 4, 3, 2], "x": [5.0, 4.0, None, None], "s": ["e", "D", "c", "b"]})
    found = diff_rows(version(before, blobs), version(after, blobs, number=2), blobs)
    assert (found.key, found.added, found.removed, found.changed, found.unchanged) == (("id",), 1, 1, 2, 1)
    assert found.columns == {"x": 1, "s": 1}
    assert found.examples_added[0].key == {"id": "5"}
    assert found.examples_removed[0].before == {"x": "0.5", "s": "'a'"}
    first = found.examples_changed[0]
    assert (first.key, first.before, first.after) == ({"id": "3"}, {"x": "3.0"}, {"x": "null"})


def test_files_that_both_have_are_not_read(blobs: Blobs) -> None:
    one = version(pl.DataFrame({"id": range(1000), "x": [1.0] * 1000}), blobs)
    more = pl.DataFrame({"id": range(1000, 1010), "x": [2.0] * 10})
    two = version(more, blobs, spec_of(one), 2, base=one)
    blobs.path(one.parts[0].digest).write_bytes(b"no Parquet")
    with pytest.raises(pl.exceptions.PolarsError):
        pl.read_parquet(blobs.path(one.parts[0].digest))
    other = version(pl.DataFrame({"id": [1000], "x": [2.0]}), blobs, number=3)
    assert diff_rows(two, two, blobs).unchanged == 1010
    found = diff_rows(_without_first(two), other, blobs)
    assert (found.added, found.removed, found.unchanged) == (0, 9, 1)


def _without_first(found: DatasetVersion) -> DatasetVersion:
    return msgspec.structs.replace(found, parts=found.parts[1:], rows=found.parts[1].rows)


def test_a_column_may_come_go_and_change_its_type(blobs: Blobs) -> None:
    one = version(pl.DataFrame({"id": [1, 2], "x": [1, 2], "old": ["a", "b"]}), blobs)
    two = version(pl.DataFrame({"id": [1, 2], "x": [1.0, 2.5], "new": [True, None]}), blobs, number=2)
    assert [(c.field, c.kind) for c in field_changes(one.contract.fields, two.contract.fields)] == [
        ("old", "removed"),
        ("x", "type"),
        ("new", "added"),
    ]
    found = diff_rows(one, two, blobs)
    assert (found.changed, found.unchanged, found.columns) == (1, 1, {"x": 1})


def test_columns_may_have_any_names(blobs: Blobs) -> None:
    names = ["added", "changed", "x", "x before", "added rows", "all rows", "is after", "len", "key"]
    one = pl.DataFrame({"id": [1, 2], **{name: [0, 0] for name in names}})
    two = one.with_columns(pl.when(pl.col("id") == 2).then(1).otherwise(pl.col("added")).alias("added"))
    for spec in (KEYED, PLAIN):
        found = diff_rows(version(one, blobs, spec), version(two, blobs, spec, 2), blobs)
        expected = (0, 0, 1, 1) if spec is KEYED else (1, 1, 0, 1)
        assert (found.added, found.removed, found.changed, found.unchanged) == expected
        assert found.columns == ({"added": 1} if spec is KEYED else {})


def test_a_key_that_is_there_twice_in_the_older_version_is_no_key(blobs: Blobs) -> None:
    one = version(pl.DataFrame({"id": [1, 1], "x": [1, 2]}), blobs, PLAIN)
    two = version(pl.DataFrame({"id": [1, 2], "x": [1, 2]}), blobs, number=2)
    found = diff_rows(one, two, blobs)
    assert (found.key, found.added, found.removed, found.unchanged) == ((), 1, 1, 1)
    assert "id does not tell the rows apart" in found.note


_ROW = st.tuples(st.none() | st.integers(0, 3), st.sampled_from(["a", "b", None]))
_SIDE = st.dictionaries(st.integers(0, 12), _ROW, min_size=1, max_size=12)


def frame_of(rows: dict[int, Any]) -> pl.DataFrame:
    schema = {"id": pl.Int64, "x": pl.Int64, "s": pl.String}
    return pl.DataFrame([(key, *row) for key, row in rows.items()], schema=schema, orient="row")


@settings(max_examples=40, deadline=None)
@given(_SIDE, _SIDE, st.sampled_from([2, 1_000_000]))
def test_every_difference_is_found_by_key(one: dict[int, Any], two: dict[int, Any], bucket_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "BUCKET_ROWS", bucket_rows)
        blobs = Blobs(Path(folder))
        found = diff_rows(version(frame_of(one), blobs), version(frame_of(two), blobs, number=2), blobs)
    both = one.keys() & two.keys()
    assert (found.added, found.removed) == (len(two.keys() - one.keys()), len(one.keys() - two.keys()))
    assert found.changed == sum(one[key] != two[key] for key in both)
    assert found.unchanged == sum(one[key] == two[key] for key in both)
    assert found.columns.get("x", 0) == sum(one[key][0] != two[key][0] for key in both)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(_ROW, min_size=1, max_size=12),
    st.lists(_ROW, min_size=1, max_size=12),
    st.sampled_from([2, 1_000_000]),
)
def test_every_difference_is_found_without_a_key(one: list[Any], two: list[Any], bucket_rows: int) -> None:
    schema = {"x": pl.Int64, "s": pl.String}
    frames = [pl.DataFrame(rows, schema=schema, orient="row") for rows in (one, two)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "BUCKET_ROWS", bucket_rows)
        blobs = Blobs(Path(folder))
        left, right = (version(frame, blobs, PLAIN, number) for number, frame in enumerate(frames, 1))
        found = diff_rows(left, right, blobs)
    before, after = Counter(one), Counter(two)
    assert (found.added, found.removed) == ((after - before).total(), (before - after).total())
    assert found.unchanged == (before & after).total()


def test_shifts_are_measured_on_equal_cells_and_between_them(blobs: Blobs) -> None:
    before = pl.DataFrame({"x": [float(n) for n in range(1000)], "s": ["a", "b"] * 500})
    after = pl.DataFrame({"x": [float(n) + 250 for n in range(1000)], "s": ["a", "c", "c", None] * 250})
    one = build_profile(before)
    pinned, fresh = build_profile(after, pinned=one), build_profile(after)
    for profile, exact in ((pinned, True), (fresh, False)):
        x, s = sorted(shifts(one, profile), key=lambda shift: shift.field, reverse=True)
        assert x.exact is exact
        assert x.distance == pytest.approx(0.25, abs=0.02)
        assert (x.mean_before, x.mean_after) == (499.5, 749.5)
        assert s.null_share_after == 0.25
        assert s.distance == pytest.approx(2 / 3)
    assert shifts(one, fresh)[0].categories_added == ("c",)
    assert shifts(one, one)[0].distance == 0.0


def test_versions_of_one_dataset_are_compared_on_equal_cells(blobs: Blobs) -> None:
    frame = pl.DataFrame({"id": range(500), "x": [n % 50 / 7 for n in range(500)]})
    one = version(frame, blobs)
    two = version(frame.head(300), blobs, number=2, latest=one)
    old, new = (from_msgpack(blobs.read(item.profile), Profile) for item in (one, two))
    assert [(shift.exact, shift.distance < 0.01) for shift in shifts(old, new)] == [(True, True)]
