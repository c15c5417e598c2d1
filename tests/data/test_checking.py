"""What only whole frames can show: null shares, duplicates, age; and files of any size."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from holdfast.base.clock import DAY_US, parse_time
from holdfast.data.checking import check_file, check_frame
from holdfast.data.errors import SourceError
from holdfast.data.records import Contract, FieldContract


@pytest.mark.parametrize(
    ("nulls", "hard", "severity"),
    [(5, False, None), (10, False, None), (14, False, "warning"), (5, True, None), (6, True, "error")],
)
def test_a_share_of_nulls_is_exceeded_beyond_chance_or_exactly(
    nulls: int, hard: bool, severity: str | None
) -> None:
    field = FieldContract("x", "float", required=False, null_share=0.05, hard=hard)
    frame = pl.DataFrame({"x": [None] * nulls + [1.0] * (100 - nulls)})
    found = check_frame(frame, Contract("t", 1, (field,)))
    assert [violation.severity for violation in found] == ([severity] if severity else [])
    if severity == "warning":
        assert found[0].message == "x is null in 14 of 100 rows (14.00%); t@1 tolerates 5.00%"


def test_duplicates_are_counted_beyond_the_first_and_nulls_are_no_duplicates() -> None:
    contract = Contract(
        "t",
        1,
        (FieldContract("id", "integer", required=False), FieldContract("day", "string")),
        (("id", "day"),),
    )
    frame = pl.DataFrame({"id": [1, 1, 1, 2, None, None], "day": ["a", "a", "a", "a", "a", "a"]})
    (violation,) = check_frame(frame, contract)
    assert (violation.kind, violation.field, violation.count) == ("duplicate", "id, day", 2)
    assert violation.message == "id, day: 2 rows repeat another (id = 1, day = 'a')"


def test_the_newest_row_must_be_fresh_when_the_contract_says_so() -> None:
    contract = Contract("t", 1, (FieldContract("at", "datetime", "time"),), freshness_us=2 * DAY_US)
    frame = pl.DataFrame({"at": [datetime(2026, 1, 1), datetime(2026, 1, 3)]})  # noqa: DTZ001
    assert check_frame(frame, contract, now_at=parse_time("2026-01-05T00:00:00Z")) == []
    (violation,) = check_frame(frame, contract, now_at=parse_time("2026-01-05T06:00:00Z"))
    assert violation.message == "at: the newest row is of 2026-01-03T00:00:00Z, 54h old; t@1 allows 2d"
    assert check_frame(frame, contract) == []


def test_cells_of_csv_are_judged_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("n,x,yes,day\n1,1e3,true,2026-01-01\n1.5,inf,TRUE,soon\nNA,nan,1,2026-02-30\n")
    fields = (
        FieldContract("n", "integer", required=False),
        FieldContract("x", "float", required=False),
        FieldContract("yes", "boolean"),
        FieldContract("day", "datetime"),
    )
    found = check_file(str(path), Contract("t", 1, fields))
    assert found.rows == 3
    assert [(item.field, item.kind, item.rows, item.examples) for item in found.violations] == [
        ("n", "invalid_field", (2,), ("'1.5'",)),
        ("x", "invalid_field", (2,), ("'inf'",)),
        ("yes", "invalid_field", (3,), ("'1'",)),
        ("day", "invalid_field", (2, 3), ("'soon'", "'2026-02-30'")),
    ]


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(SourceError, match="cannot be read"):
        check_file(str(path), Contract("t", 1, (FieldContract("a", "string"),)))
