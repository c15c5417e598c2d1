"""Reading sources and computing event times."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from holdfast.data.errors import SourceError, TableError
from holdfast.data.source import compile_time, find_bad_times, parse_iso, read_source, with_time

HOURLY = pl.col("day").str.to_datetime("%m/%d/%Y") + pl.duration(hours="hr")


def test_csv_types_come_from_all_rows_and_na_is_null(tmp_path: Path) -> None:
    lines = ["a,b,c"] + ["1,2,x"] * 200 + ["NA,2.5,"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    frame = read_source(str(tmp_path / "t.csv")).collect()
    assert frame.schema == {"a": pl.Int64, "b": pl.Float64, "c": pl.String}
    assert frame.row(200) == (None, 2.5, None)


def test_parquet_loses_its_pandas_dress(tmp_path: Path) -> None:
    east = timezone(timedelta(hours=2))
    pl.DataFrame(
        {
            "origin": pl.Series(["JFK", None], dtype=pl.Categorical),
            "hour": pl.Series([datetime(2013, 1, 1, 5, tzinfo=east), None], dtype=pl.Datetime("ns", "UTC")),
            "day": pl.Series([date(2013, 1, 1), None]),
            "count": pl.Series([1, 2], dtype=pl.UInt8),
            "__index_level_0__": [7, 8],
        }
    ).write_parquet(tmp_path / "t.parquet")
    frame = read_source(str(tmp_path / "t.parquet")).collect()
    assert frame.schema == {
        "origin": pl.String,
        "hour": pl.Datetime("us"),
        "day": pl.Datetime("us"),
        "count": pl.UInt8,
    }
    assert frame.row(0) == ("JFK", datetime(2013, 1, 1, 3), datetime(2013, 1, 1), 1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.csv", None, "does not exist"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", "cannot be read (invalid utf-8"),
        ("t.parquet", b"nonsense", "cannot be read"),
        ("t.xlsx", b"nonsense", "neither CSV nor Parquet"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read_source(str(tmp_path / name))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        read_source(str(tmp_path))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["2013-01-01", "2013-01-01T05:00", "2013-01-01T05:00:00+02:00"], [0, 5, 3]),
        ([date(2013, 1, 1)], [0]),
        ([datetime(2013, 1, 1, 5, tzinfo=timezone(timedelta(hours=-1)))], [6]),
    ],
)
def test_a_time_column_is_brought_to_utc(column: list[object], expected: list[int]) -> None:
    frame = with_time(pl.LazyFrame({"at": column}), "at").collect()
    assert frame.schema["time"] == pl.Datetime("us")
    assert frame["time"].to_list() == [datetime(2013, 1, 1, hour) for hour in expected]


def test_an_expression_computes_the_time_on_frames_and_batches_alike() -> None:
    frame = pl.DataFrame({"day": ["12/31/2012", "1/1/2011"], "hr": [23, 0]})
    whole = with_time(frame.lazy(), HOURLY).collect()["time"]
    assert whole.to_list() == [datetime(2012, 12, 31, 23), datetime(2011, 1, 1)]
    times = compile_time(HOURLY, frame.schema)
    assert [times(frame.slice(row, 1))[0] for row in range(2)] == whole.to_list()


def test_a_missing_column_is_named_with_the_existing_ones() -> None:
    with pytest.raises(TableError, match=r"no column 'dteday'.*its columns are: day, hr"):
        with_time(pl.LazyFrame({"day": ["x"], "hr": [1]}), "dteday")
    with pytest.raises(TableError, match="no column 'hr'"):
        with_time(pl.LazyFrame({"day": ["1/1/2011"]}), HOURLY)


@pytest.mark.parametrize("bad", ["soon", None])
@pytest.mark.parametrize("position", [0, 1, 37, 99])
def test_a_bad_time_is_shown_with_its_row(bad: str | None, position: int) -> None:
    days = ["1/1/2011"] * 100
    days[position] = bad  # type: ignore[call-overload]
    frame = pl.DataFrame({"day": days, "hr": [1] * 100}, schema={"day": pl.String, "hr": pl.Int64})
    with pytest.raises(TableError, match=f"row {position + 1} .* day = {bad!r}, hr = 1"):
        with_time(frame.lazy(), HOURLY)
    assert find_bad_times(frame, HOURLY) == [position]


def test_all_bad_times_are_found() -> None:
    frame = pl.DataFrame({"at": ["2011-01-01", "01/02/2011", None, "2011-01-02", "later"]})
    assert find_bad_times(frame, "at") == [1, 2, 4]


def test_times_that_are_not_times_are_refused() -> None:
    with pytest.raises(TableError, match=r"Int64, which is not a time.*from_epoch"):
        with_time(pl.LazyFrame({"at": [1, 2]}), "at")
    with pytest.raises(TableError, match="cannot be computed"):
        with_time(pl.LazyFrame({"at": [1, 2]}), pl.col("at").str.to_datetime())
    with pytest.raises(TableError, match="'time' of its own"):
        with_time(pl.LazyFrame({"at": ["2011-01-01"], "time": [1]}), "at")


def test_iso_is_not_guessed() -> None:
    texts = pl.Series(["01/02/2011", "2011-02-30", "2011-02-03 04:05:06.000007", None])
    assert parse_iso(texts).to_list() == [None, None, datetime(2011, 2, 3, 4, 5, 6, 7), None]
