"""What changes from one version to another, as their contracts and profiles tell without reading a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.data.diff_records import ColumnShift, FieldChange
from holdfast.data.records import FieldContract
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile

_CATEGORIES_SHOWN = 10


def field_changes(before: Sequence[FieldContract], after: Sequence[FieldContract]) -> Iterator[FieldChange]:
    """Columns that came, went, or changed type or role."""
    old, new = {field.name: field for field in before}, {field.name: field for field in after}
    for name, field in old.items():
        if name not in new:
            yield FieldChange(name, "removed", field.type)
    for name, field in new.items():
        if name not in old:
            yield FieldChange(name, "added", "", field.type)
            continue
        if old[name].type != field.type:
            yield FieldChange(name, "type", old[name].type, field.type)
        if old[name].role != field.role:
            yield FieldChange(name, "role", old[name].role, field.role)


def shifts(before: Profile, after: Profile) -> list[ColumnShift]:
    """How each column that both profiles have moved, the farthest first."""
    old = {column.name: column for column in before.columns}
    found = [
        _shift(old[column.name], column)
        for column in after.columns
        if column.name in old and type(old[column.name]) is type(column)
    ]
    return sorted(found, key=lambda shift: (-shift.distance, shift.field))


def _shift(
    before: NumericColumn | CategoricalColumn, after: NumericColumn | CategoricalColumn
) -> ColumnShift:
    nulls = (_null_share(before), _null_share(after))
    if isinstance(before, NumericColumn) and isinstance(after, NumericColumn):
        return ColumnShift(
            after.name,
            _largest_gap(before, after),
            before.edges == after.edges,
            *nulls,
            before.mean if before.count else None,
            after.mean if after.count else None,
        )
    assert isinstance(before, CategoricalColumn) and isinstance(after, CategoricalColumn)
    new = [name for name, count in after.counts.items() if count and not before.counts.get(name)]
    gone = [name for name, count in before.counts.items() if count and not after.counts.get(name)]
    return ColumnShift(
        field=after.name,
        distance=_moved_share(before, after),
        exact=before.counts.keys() == after.counts.keys(),
        null_share_before=nulls[0],
        null_share_after=nulls[1],
        # A category that a profile did not pin may be among its others: then nobody can say that it is new.
        categories_added=tuple(sorted(new)[:_CATEGORIES_SHOWN]) if not before.other_count else (),
        categories_removed=tuple(sorted(gone)[:_CATEGORIES_SHOWN]) if not after.other_count else (),
    )


def _null_share(column: NumericColumn | CategoricalColumn) -> float:
    return column.null_count / column.row_count if column.row_count else 0.0


def _largest_gap(before: NumericColumn, after: NumericColumn) -> float:
    """The Kolmogorov-Smirnov distance at the edges of both; between its edges a histogram is read as even."""
    if not before.count or not after.count:
        return 0.0 if before.count == after.count else 1.0
    edges = sorted({*before.edges, *after.edges})
    return max((abs(_share_below(after, edge) - _share_below(before, edge)) for edge in edges), default=0.0)


def _share_below(column: NumericColumn, value: float) -> float:
    """The share of finite values below `value`."""
    edges = column.edges
    below = 0
    for number, edge in enumerate(edges):
        below += column.counts[number]
        if value <= edge:
            inside = column.counts[number] if number and value < edge else 0
            start = edges[number - 1] if number else edge
            rest = (edge - value) / (edge - start) if inside and edge > start else 0.0
            return (below - inside * rest) / column.count
    return 1.0


def _moved_share(before: CategoricalColumn, after: CategoricalColumn) -> float:
    """The total variation distance over the categories that either has pinned; the rest of each counts as one."""
    if not before.count or not after.count:
        return 0.0 if before.count == after.count else 1.0
    names = before.counts.keys() | after.counts.keys()
    old = [before.counts.get(name, 0) / before.count for name in names]
    new = [after.counts.get(name, 0) / after.count for name in names]
    rest = abs(before.other_count / before.count - after.other_count / after.count)
    return (sum(abs(one - two) for one, two in zip(old, new, strict=True)) + rest) / 2
