"""The join of rows that are larger than memory: the same cells, and less memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.features.errors import FeatureJoinError
from holdfast.features.join import ViewRows, join_views
from holdfast.features.partitions import join_to_file
from tests.features.test_join import KEYS, ROWS, VIEW, Feature, Row, left_frame, view_frame


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, VIEW, st.integers(0, 6), st.integers(0, 2), st.integers(1, 5))
def test_partitions_are_the_whole(
    tmp_path: Path, rows: list[Row], view: list[Feature], ttl: int, keys: int, rows_at_once: int
) -> None:
    left, frame = left_frame(rows), view_frame(view)
    views = [
        ViewRows(frame.lazy(), KEYS[:keys], ttl, ("value",)),
        ViewRows(frame.lazy(), ("line",), ttl + 2, ("name",)),
    ]
    target = tmp_path / "joined.parquet"
    assert join_to_file(left.lazy(), views, target, rows_at_once=rows_at_once) == len(rows)
    assert pl.read_parquet(target).equals(join_views(left, views))
    assert [path.name for path in tmp_path.iterdir()] == ["joined.parquet"]


def test_what_cannot_be_joined_writes_nothing(tmp_path: Path) -> None:
    view = ViewRows(view_frame([]).lazy(), ("city",), 1, ("label",))
    with pytest.raises(FeatureJoinError, match="the view has no column 'label'"):
        join_to_file(left_frame([]).lazy(), [view], tmp_path / "joined.parquet")
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys
from pathlib import Path
import polars as pl
from holdfast.features.join import ViewRows, join_views
from holdfast.features.partitions import join_to_file
def peak():
    # Of this program alone: `ru_maxrss` begins at the peak of the process that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

before = peak()
rows, view, target = pl.scan_parquet(sys.argv[1]), pl.scan_parquet(sys.argv[2]), Path(sys.argv[3])
views = [ViewRows(view, ("user",), 86_400_000_000, tuple(f"f{n}" for n in range(12)))]
if sys.argv[4] == "whole":
    join_views(rows, views).write_parquet(target)
else:
    join_to_file(rows, views, target, rows_at_once=150_000)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory's peak from /proc")
def test_partitions_need_a_fraction_of_the_memory(tmp_path: Path) -> None:
    count = 1_500_000
    number = pl.int_range(count, eager=True)
    base = pl.DataFrame(
        {"user": number * 7919 % 40_000, "time": (number * 104_729 % count).cast(pl.Datetime("us"))}
    )
    base.with_columns(label=number % 2).write_parquet(tmp_path / "rows.parquet")
    features = {f"f{place}": number * (place + 1) / 7 for place in range(12)}
    base.with_columns(**features).write_parquet(tmp_path / "view.parquet", row_group_size=100_000)
    peaks = {}
    for way in ("whole", "partitions"):
        command = [
            sys.executable,
            "-c",
            textwrap.dedent(PROGRAM),
            "rows.parquet",
            "view.parquet",
            f"{way}.parquet",
        ]
        done = subprocess.run([*command, way], cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks[way] = int(done.stdout)
    assert pl.read_parquet(tmp_path / "whole.parquet").equals(
        pl.read_parquet(tmp_path / "partitions.parquet")
    )
    assert peaks["partitions"] < 0.8 * peaks["whole"], peaks
