"""Dataset versions built from sources and grown by logged rows."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from holdfast.base.blobs import Blobs
from holdfast.base.clock import HOUR_US, parse_time
from holdfast.base.encoding import from_msgpack
from holdfast.data.build import build_dataset, read_parts
from holdfast.data.errors import TableError
from holdfast.data.records import Contract, DatasetDraft, DatasetVersion, RowsExcluded, TableSpec
from holdfast.profiles.records import Profile

TIME = pl.col("day").str.to_datetime("%Y-%m-%d") + pl.duration(hours="hr")
SPEC = TableSpec(
    "rides",
    None,
    str(TIME),
    time_is_expression=True,
    time_roots=("day", "hr"),
    label="cnt",
    label_delay_us=HOUR_US,
    drop=("casual",),
)
LATER = parse_time("2030-01-01")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def rows(**columns: list[Any]) -> pl.DataFrame:
    base = {"day": ["2011-01-01"] * 4, "hr": [0, 1, 2, 3], "temp": [0.1, 0.2, None, 0.4]}
    return pl.DataFrame(base | {"casual": [0, 0, 0, 1], "cnt": [16, 40, 32, 13]} | columns, strict=False)


def write(frame: pl.DataFrame, folder: Path, name: str = "rides.csv") -> str:
    path = folder / name
    frame.write_csv(path) if name.endswith(".csv") else frame.write_parquet(path)
    return str(path)


def feed_file(folder: Path, name: str, *entries: tuple[str, int, float | None, str]) -> Path:
    """Logged rows: (id, hour of 2011-01-02, label, known at)."""
    path = folder / name
    pl.DataFrame(
        {
            "day": ["2011-01-02"] * len(entries),
            "hr": [hour for _, hour, _, _ in entries],
            "temp": [1] * len(entries),
            "_label": [label for _, _, label, _ in entries],
            "_known_at": [parse_time(known) for _, _, _, known in entries],
            "_row_id": [row_id for row_id, _, _, _ in entries],
            "_at": [0] * len(entries),
        },
        schema_overrides={"_label": pl.Float64},
    ).write_parquet(path)
    return path


def version_of(draft: DatasetDraft, number: int = 1) -> DatasetVersion:
    fields = {
        name: getattr(draft, name)
        for name in draft.__struct_fields__
        if name in DatasetVersion.__struct_fields__
    }
    contract = Contract(draft.table, number, draft.fields)
    return DatasetVersion(version=number, contract=contract, created_at=0, created_by="ana", **fields)


def test_a_source_becomes_a_part_a_contract_and_a_profile(tmp_path: Path, blobs: Blobs) -> None:
    draft = build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, [])
    frame = read_parts(draft.parts, blobs).collect()
    assert frame.columns == ["day", "hr", "temp", "cnt", "time", "_available_at", "_row_id"]
    assert frame.row(1) == ("2011-01-01", 1, 0.2, 40.0, datetime(2011, 1, 1, 1), datetime(2011, 1, 1, 2), "")
    assert [(field.name, field.role, field.required) for field in draft.fields] == [
        ("day", "time", True),
        ("hr", "feature", True),
        ("temp", "feature", False),
        ("cnt", "label", True),
    ]
    (part,) = draft.parts
    assert (draft.rows, part.rows, part.origin) == (4, 4, "source")
    assert (part.time_first_at, part.time_last_at) == (parse_time("2011-01-01"), parse_time("2011-01-01T03"))
    profile = from_msgpack(blobs.read(draft.profile), Profile)
    assert set(profile.names) == {"hr", "temp", "cnt"}
    assert (profile.row_count, profile.column("temp").null_count) == (4, 1)


def test_the_same_rows_give_the_same_draft_whatever_the_file(tmp_path: Path, blobs: Blobs) -> None:
    csv = build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, [])
    assert build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, []) == csv
    parquet = build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path, "t.parquet"), None, [])
    assert (parquet.fingerprint, parquet.parts) == (csv.fingerprint, csv.parts)
    changed = rows(cnt=[16, 40, 32, 14])
    assert (
        build_dataset(SPEC, TIME, blobs, LATER, write(changed, tmp_path), None, []).fingerprint
        != csv.fingerprint
    )


def test_what_was_not_known_yet_stays_out(tmp_path: Path, blobs: Blobs) -> None:
    source = write(rows(cnt=[16, None, 32, 13]), tmp_path)
    draft = build_dataset(SPEC, TIME, blobs, parse_time("2011-01-01T03:00:00"), source, None, [])
    assert read_parts(draft.parts, blobs).collect()["hr"].to_list() == [0, 2]
    assert draft.rows_excluded == RowsExcluded(unlabelled=1, not_yet_available=1)


def test_nan_is_a_missing_value(tmp_path: Path, blobs: Blobs) -> None:
    source = write(rows(temp=[0.1, float("nan"), None, 0.4]), tmp_path, "t.parquet")
    draft = build_dataset(SPEC, TIME, blobs, LATER, source, None, [])
    assert read_parts(draft.parts, blobs).collect()["temp"].to_list() == [0.1, None, None, 0.4]


def test_a_version_grows_by_what_became_known_since(tmp_path: Path, blobs: Blobs) -> None:
    cut = parse_time("2011-01-02T00:00:00")
    base = version_of(build_dataset(SPEC, TIME, blobs, cut, write(rows(), tmp_path), None, []))
    feed = feed_file(
        tmp_path,
        "feed.parquet",
        ("p_b.0", 2, 50.0, "2011-01-02T03"),
        ("p_a.0", 1, 40.0, "2011-01-02T02"),
        ("p_before.0", 0, 1.0, "2011-01-02T00"),
        ("p_open.0", 3, None, "2011-01-02T04"),
        ("p_late.0", 4, 60.0, "2011-01-02T09"),
    )
    grown = build_dataset(SPEC, TIME, blobs, parse_time("2011-01-02T05"), None, base, [feed])
    assert grown.parts[0] == base.parts[0]
    assert [part.origin for part in grown.parts] == ["source", "feed"]
    added = read_parts(grown.parts[1:], blobs).collect()
    assert added["_row_id"].to_list() == ["p_a.0", "p_b.0"]
    assert added.row(0) == (
        "2011-01-02",
        1,
        1.0,
        40.0,
        datetime(2011, 1, 2, 1),
        datetime(2011, 1, 2, 2),
        "p_a.0",
    )
    assert (grown.rows, grown.parent) == (6, 1)
    assert grown.rows_excluded == RowsExcluded(unlabelled=1, not_yet_available=1)
    assert next(field.maximum for field in grown.fields if field.name == "temp") == 1.0


def test_growing_by_nothing_gives_the_same_fingerprint(tmp_path: Path, blobs: Blobs) -> None:
    base = version_of(build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, []))
    empty = feed_file(tmp_path, "feed.parquet")
    for feed in ([], [empty]):
        grown = build_dataset(SPEC, TIME, blobs, LATER, None, base, feed)
        assert (grown.fingerprint, grown.parts) == (base.fingerprint, base.parts)


def test_a_corrected_label_counts_once_and_last(tmp_path: Path, blobs: Blobs) -> None:
    base = version_of(build_dataset(SPEC, TIME, blobs, LATER, write(rows(), tmp_path), None, []))
    base = msgspec.structs.replace(base, as_of_at=parse_time("2011-01-02"))
    for number, known in enumerate(["2011-01-02T02", "2011-01-02T04"]):
        feed = feed_file(tmp_path, f"{number}.parquet", ("p_a.0", 1, 40.0 + number, known))
        base = version_of(build_dataset(SPEC, TIME, blobs, parse_time(known), None, base, [feed]), number + 2)
    frame = read_parts(base.parts, blobs).collect()
    assert frame.filter(pl.col("_row_id") == "p_a.0")["cnt"].to_list() == [41.0]
    assert base.rows == frame.height == 5


def test_one_feed_may_hold_a_label_and_its_correction(tmp_path: Path, blobs: Blobs) -> None:
    spec = msgspec.structs.replace(SPEC, drop=())
    entries = [("p_a.0", 1, 41.0, "2011-01-02T04"), ("p_a.0", 1, 40.0, "2011-01-02T02")]
    draft = build_dataset(spec, TIME, blobs, LATER, None, None, [feed_file(tmp_path, "f.parquet", *entries)])
    assert read_parts(draft.parts, blobs).collect()["cnt"].to_list() == [41.0]


def test_a_logged_row_without_a_time_is_left_out_and_counted(tmp_path: Path, blobs: Blobs) -> None:
    base = version_of(
        build_dataset(SPEC, TIME, blobs, parse_time("2011-01-02"), write(rows(), tmp_path), None, [])
    )
    feed = feed_file(
        tmp_path, "f.parquet", ("p_a.0", 1, 4.0, "2011-01-02T02"), ("p_b.0", 2, 5.0, "2011-01-02T03")
    )
    pl.read_parquet(feed).with_columns(day=pl.Series(["2011-01-02", "soon"])).write_parquet(feed)
    grown = build_dataset(SPEC, TIME, blobs, LATER, None, base, [feed])
    assert (grown.rows, grown.rows_excluded) == (5, RowsExcluded(without_time=1))


def test_a_table_may_begin_with_logged_rows_alone(tmp_path: Path, blobs: Blobs) -> None:
    spec = msgspec.structs.replace(SPEC, drop=())
    feed = feed_file(tmp_path, "f.parquet", ("p_a.0", 1, 4.0, "2011-01-02T02"))
    assert build_dataset(spec, TIME, blobs, LATER, None, None, [feed]).rows == 1
    with pytest.raises(TableError, match="nothing was logged and labelled"):
        build_dataset(spec, TIME, blobs, LATER, None, None, [])


@pytest.mark.parametrize(
    ("columns", "spec", "says"),
    [
        (
            {},
            {"label": "count"},
            "no column 'count', which is declared as its label; its columns are: day, hr",
        ),
        ({}, {"key": ("city",)}, "no column 'city', which is declared as its key"),
        ({}, {"drop": ("x",)}, "no column 'x', which is declared as its drop"),
        ({}, {"time": "at", "time_is_expression": False}, "no column 'at', which is declared as its time"),
        ({}, {"drop": ("hr",)}, "makes the time and is dropped at once"),
        ({"cnt": [None] * 4}, {}, "the label 'cnt' is null in every row"),
        ({"cnt": ["many", "few", "many", "few"]}, {}, "no number but String, e.g. 'many'"),
        ({"hr": [0, 1, 1, 3]}, {}, "several rows have the same time (time = '2011-01-01 01:00:00')"),
        (
            {"hr": [0, 1, 1, 1], "city": ["a", "b", "c", "c"]},
            {"key": ("city",)},
            "the same key and time (city = 'c', time = '2011-01-01 01:00:00')",
        ),
        ({"day": ["2011-01-01", "x", "y", "z"]}, {}, "the time of row 2"),
        ({"_row_id": ["a"] * 4}, {}, "'_row_id' is reserved"),
    ],
)
def test_bad_tables_are_one_sentence(
    tmp_path: Path, blobs: Blobs, columns: dict[str, Any], spec: dict[str, Any], says: str
) -> None:
    source = write(rows(**columns), tmp_path, "t.parquet")
    with pytest.raises(TableError) as caught:
        build_dataset(msgspec.structs.replace(SPEC, **spec), TIME, blobs, LATER, source, None, [])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_known_yet_is_an_error(tmp_path: Path, blobs: Blobs) -> None:
    with pytest.raises(TableError, match="none of the 4 labelled rows"):
        build_dataset(SPEC, TIME, blobs, parse_time("2010-01-01"), write(rows(), tmp_path), None, [])
