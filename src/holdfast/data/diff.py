"""Comparing dataset versions: by schema and distribution from their records, by rows from their files.

Rows are compared exactly and in bounded memory: files that both versions have are left out, and what remains is divided
by a hash of the key into buckets that are compared one after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.base.blobs import Blobs
from holdfast.data.build import read_parts
from holdfast.data.contract import RESERVED
from holdfast.data.diff_records import RowDiff, RowExample
from holdfast.data.keys import buckets, identity_columns, repeated
from holdfast.data.policy import show
from holdfast.data.records import DatasetVersion, Part
from holdfast.data.source import TIME
from holdfast.data.values import POLARS_TYPES

EXAMPLES = 3

# Names of our own stand beside the data's columns, so they begin with what no column's name does.
_OWN = "\x1f"
_BEFORE = f"{_OWN}before"
_SIDES = (f"{_OWN}is before", f"{_OWN}is after")
_ALL = f"{_OWN}all"


def diff_rows(before: DatasetVersion, after: DatasetVersion, blobs: Blobs) -> RowDiff:
    """Which rows came, went and changed between two versions, and in which columns.

    Rows are told apart by the key (and the time, where there is both) of `after`, where `before` has these columns
    too; else, and where a key is there twice, whole rows are counted.

    Raises:
        NotFoundError: a file of one of the versions is missing.
    """
    tables = any(part.origin == "feed" for part in (*before.parts, *after.parts))
    left_parts, right_parts = before.parts, after.parts
    if not tables:
        # A file of both versions holds the same rows in both. Logged rows may be corrected by later files, though.
        shared = {part.digest for part in left_parts} & {part.digest for part in right_parts}
        left_parts = tuple(part for part in left_parts if part.digest not in shared)
        right_parts = tuple(part for part in right_parts if part.digest not in shared)
    shared_rows = before.rows - (before.rows if tables else sum(part.rows for part in left_parts))
    left, right = _scan(left_parts, before, blobs), _scan(right_parts, after, blobs)
    left, right, columns = _alike(left, right)
    rows = max(sum(part.rows for part in left_parts), sum(part.rows for part in right_parts))
    key = _key(before, after, columns)
    if key:
        twice = any(_has_twice(side, key, rows) for side in (left, right))
        if not twice:
            return _by_key(left, right, key, columns, rows, shared_rows)
        note = f"{', '.join(key)} does not tell the rows apart, so whole rows are compared"
        return _by_row(left, right, columns, rows, shared_rows, note)
    return _by_row(left, right, columns, rows, shared_rows, "")


def _scan(parts: Sequence[Part], version: DatasetVersion, blobs: Blobs) -> pl.LazyFrame:
    if not parts:
        types = {field.name: POLARS_TYPES[field.type] for field in version.contract.fields}
        return pl.LazyFrame(
            schema=types | ({} if version.provenance is not None else {TIME: POLARS_TYPES["datetime"]})
        )
    return read_parts(parts, blobs)


def _alike(left: pl.LazyFrame, right: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame, list[str]]:
    """Both sides with the columns that both have, in common types."""
    one, two = left.collect_schema(), right.collect_schema()
    columns = [name for name in two if name in one and name not in RESERVED]
    types = {name: _common(one[name], two[name]) for name in columns}
    cast = [pl.col(name).cast(types[name]) for name in columns]
    return left.select(cast), right.select(cast), columns


def _common(one: pl.DataType, two: pl.DataType) -> pl.DataType:
    if one == two:
        return one
    return pl.Float64() if one.is_numeric() and two.is_numeric() else pl.String()


def _key(before: DatasetVersion, after: DatasetVersion, columns: Sequence[str]) -> tuple[str, ...]:
    key = identity_columns(after.contract.fields)
    if after.provenance is None:
        # A declared table has one row an entity and time; its time is computed and stands in a column of its own.
        key = (*(field.name for field in after.contract.fields if field.role == "key"), TIME)
    return key if all(name in columns for name in key) else ()


def _has_twice(side: pl.LazyFrame, key: Sequence[str], rows: int) -> bool:
    return any(repeated(bucket, key).head(1).collect().height for bucket in buckets(side, key, rows))


def _by_key(
    left: pl.LazyFrame,
    right: pl.LazyFrame,
    key: Sequence[str],
    columns: Sequence[str],
    rows: int,
    shared: int,
) -> RowDiff:
    others = [name for name in columns if name not in key]
    counts = dict.fromkeys(("added", "removed", "changed", "unchanged"), 0)
    counts["unchanged"] = shared
    by_column = dict.fromkeys(others, 0)
    examples: dict[str, list[RowExample]] = {"added": [], "removed": [], "changed": []}
    changes = {name: ~pl.col(name).eq_missing(pl.col(name + _BEFORE)) for name in others}
    is_before, is_after = (pl.col(side).is_not_null() for side in _SIDES)
    kinds = {
        "added": ~is_before & is_after,
        "removed": is_before & ~is_after,
        "changed": is_before & is_after & pl.any_horizontal(pl.lit(False), *changes.values()),
    }
    for one, two in zip(buckets(left, key, rows), buckets(right, key, rows), strict=True):
        renamed = one.rename({name: name + _BEFORE for name in others})
        joined = two.with_columns(pl.lit(True).alias(_SIDES[1])).join(
            renamed.with_columns(pl.lit(True).alias(_SIDES[0])),
            on=list(key),
            how="full",
            coalesce=True,
            nulls_equal=True,
        )
        found = joined.collect()
        here = found.select(
            *(condition.sum().alias(_OWN + kind) for kind, condition in kinds.items()),
            pl.len().alias(_ALL),
            *((changes[name] & is_before & is_after).sum().alias(name) for name in others),
        ).row(0, named=True)
        for kind in kinds:
            counts[kind] += here[_OWN + kind]
        counts["unchanged"] += here[_ALL] - sum(here[_OWN + kind] for kind in kinds)
        for name in others:
            by_column[name] += here[name]
        for kind, condition in kinds.items():
            missing = EXAMPLES - len(examples[kind])
            if missing > 0 and here[_OWN + kind]:
                examples[kind] += _examples(
                    found.filter(condition).sort(key).head(missing), kind, key, others
                )
    return RowDiff(
        key=tuple(key),
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        columns={name: count for name, count in by_column.items() if count},
        examples_added=tuple(examples["added"]),
        examples_removed=tuple(examples["removed"]),
        examples_changed=tuple(examples["changed"]),
    )


def _examples(rows: pl.DataFrame, kind: str, key: Sequence[str], others: Sequence[str]) -> list[RowExample]:
    found = []
    for row in rows.iter_rows(named=True):
        old = {name: _text(row[name + _BEFORE]) for name in others}
        new = {name: _text(row[name]) for name in others}
        if kind == "changed":
            moved = [name for name in others if old[name] != new[name]]
            old, new = {name: old[name] for name in moved}, {name: new[name] for name in moved}
        found.append(
            RowExample(
                {name: _text(row[name]) for name in key},
                None if kind == "added" else old,
                None if kind == "removed" else new,
            )
        )
    return found


def _by_row(
    left: pl.LazyFrame, right: pl.LazyFrame, columns: Sequence[str], rows: int, shared: int, note: str
) -> RowDiff:
    added = removed = 0
    examples: dict[str, list[RowExample]] = {"added": [], "removed": []}
    total = shared
    for one, two in zip(buckets(left, columns, rows), buckets(right, columns, rows), strict=True):
        joined = _counted(two, columns, _SIDES[1]).join(
            _counted(one, columns, _SIDES[0]), on=list(columns), how="full", coalesce=True, nulls_equal=True
        )
        found = joined.with_columns(pl.col(_SIDES).fill_null(0).cast(pl.Int64)).collect()
        more = pl.col(_SIDES[1]) - pl.col(_SIDES[0])
        here = found.select(more.clip(0).sum().alias("added"), (-more).clip(0).sum().alias("removed")).row(0)
        added, removed = added + here[0], removed + here[1]
        total += int(found.select(pl.min_horizontal(_SIDES).sum()).item())
        for kind, condition in (("added", more > 0), ("removed", more < 0)):
            missing = EXAMPLES - len(examples[kind])
            if missing > 0:
                picked = found.filter(condition).select(columns).sort(columns).head(missing)
                examples[kind] += [_whole(row, kind) for row in picked.iter_rows(named=True)]
    return RowDiff(
        key=(),
        added=added,
        removed=removed,
        changed=0,
        unchanged=total,
        examples_added=tuple(examples["added"]),
        examples_removed=tuple(examples["removed"]),
        note=note,
    )


def _counted(side: pl.LazyFrame, columns: Sequence[str], name: str) -> pl.LazyFrame:
    return side.group_by(columns).agg(pl.len().alias(name))


def _whole(row: dict[str, object], kind: str) -> RowExample:
    values = {name: _text(value) for name, value in row.items()}
    return RowExample({}, values if kind == "removed" else None, values if kind == "added" else None)


def _text(value: object) -> str:
    return show(value if value is None or isinstance(value, bool | int | float | str) else str(value))
