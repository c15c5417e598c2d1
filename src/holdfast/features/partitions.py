"""The point-in-time join of rows and views that are larger than memory, by partitions of their keys.

Rows of one entity never meet those of another, so rows and view are cut by a hash of the entity and joined piece by
piece; the pieces are then put back into the order of the rows, a range of rows at a time. A view without an entity
is joined to ranges of rows instead, and must itself fit into memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.join import ViewRows, join_views
from holdfast.features.times import CREATED_AT

_ROW = "_row"
_ROWS_A_GROUP = 50_000


def join_to_file(
    rows: pl.LazyFrame,
    views: Sequence[ViewRows],
    target: Path,
    *,
    rows_at_once: int = 1_000_000,
    use_availability: bool = True,
) -> int:
    """Writes the rows with the views' features as one Parquet file, in order; returns how many rows they are.

    The result is that of `join_views`, cell for cell. Memory holds about `rows_at_once` rows of either side at a
    time, for keys of which none has a large share of all rows.

    Raises:
        FeatureJoinError: as `join_views`; nothing is written then.

    Example:
        >>> import tempfile
        >>> from datetime import datetime
        >>> rows = pl.LazyFrame({"time": [datetime(2011, 1, 1, 9)], "city": ["a"]})
        >>> view = pl.LazyFrame({"time": [datetime(2011, 1, 1, 8)], "city": ["a"], "rain": [16.0]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "rows.parquet"
        ...     count = join_to_file(rows, [ViewRows(view, ("city",), 3_600_000_000, ("rain",))], target)
        ...     pl.read_parquet(target)["rain"].to_list()
        [16.0]
    """
    join_views(rows.head(0), [view._replace(frame=view.frame.lazy().head(0)) for view in views])
    count = int(rows.select(pl.len()).collect().item())
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".joining-") as folder:
        parts = Path(folder)
        for number, view in enumerate(views):
            pieces = _pieces(rows, view, count, rows_at_once)
            for place, (left, right) in enumerate(pieces):
                joined = join_views(left, [view._replace(frame=right)], use_availability=use_availability)
                found = joined.select(_ROW, *view.columns).sort(_ROW)
                found.write_parquet(parts / f"view-{number}-{place}.parquet", row_group_size=_ROWS_A_GROUP)
        ranges = [
            _put_together(rows, views, parts, start, rows_at_once)
            for start in range(0, max(count, 1), rows_at_once)
        ]
        pl.concat([pl.scan_parquet(path) for path in ranges]).sink_parquet(parts / "whole.parquet")
        (parts / "whole.parquet").rename(target)
    return count


def _pieces(
    rows: pl.LazyFrame, view: ViewRows, count: int, rows_at_once: int
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Pieces of the rows (their number, time and keys) with the part of the view that each may need."""
    frame = view.frame.lazy()
    existing = frame.collect_schema().names()
    names = [
        TIME,
        *(name for name in (AVAILABLE_AT, CREATED_AT) if name in existing),
        *view.entity,
        *view.columns,
    ]
    left = rows.select(TIME, *view.entity).with_row_index(_ROW)
    right = frame.select(names)
    if not view.entity:
        whole = right.collect(engine="streaming")
        for start in range(0, count, rows_at_once):
            yield left.slice(start, rows_at_once).collect(engine="streaming"), whole
        return
    total = max(count, int(right.select(pl.len()).collect().item()))
    partitions = -(-total // rows_at_once)
    for partition in range(partitions):
        piece = [
            side.filter(_hash(side.collect_schema(), view.entity) % partitions == partition)
            for side in (left, right)
        ]
        one, two = pl.collect_all(piece, engine="streaming")
        yield one, two


def _hash(schema: pl.Schema, entity: Sequence[str]) -> pl.Expr:
    """A hash that is the same on both sides, whose keys may be of different widths."""
    keys = [pl.col(name).cast(pl.Int64 if schema[name].is_integer() else pl.String) for name in entity]
    return pl.struct(keys).hash(seed=0)


def _put_together(
    rows: pl.LazyFrame, views: Sequence[ViewRows], parts: Path, start: int, rows_at_once: int
) -> Path:
    """One range of the rows with the features of every view, in a file of its own."""
    frames = [rows.slice(start, rows_at_once).collect(engine="streaming")]
    inside = pl.col(_ROW).is_between(start, start + rows_at_once - 1)
    for number, view in enumerate(views):
        files = sorted(parts.glob(f"view-{number}-*.parquet"))
        found = [pl.scan_parquet(file).filter(inside).collect(engine="streaming") for file in files]
        frames.append(pl.concat(found).sort(_ROW).select(view.columns) if found else _nothing(view))
    path = parts / f"range-{start}.parquet"
    pl.concat(frames, how="horizontal").write_parquet(path)
    return path


def _nothing(view: ViewRows) -> pl.DataFrame:
    return view.frame.lazy().select(view.columns).head(0).collect()
