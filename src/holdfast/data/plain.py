"""Rows as a dataset version keeps them: five plain types, times in UTC, missing values null.

Nothing is rounded or repaired silently: what does not fit is an error that shows the value, and what is read in another
form than it was written (NaN as missing, mixed columns as text) is told in a note.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.data.contract import RESERVED, conform_frame, field_type
from holdfast.data.errors import SourceError, TableError, missing_column
from holdfast.data.policy import show
from holdfast.data.records import FieldContract, TableSpec
from holdfast.data.source import parse_iso
from holdfast.data.values import POLARS_TYPES

PANDAS_INDEX = "__index_level_0__"

_OFFSET = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"
_NUMBERS_SHARE = 0.5
_MIXTURE_ROWS = 1000
_UTC = pl.Datetime("us")


class PlainRows:
    """Turns the frames of one source into plain rows, all of the same columns and types.

    Args:
        spec: key, time and label, and the columns to drop. `time` may be empty: then there is none.
        fields: the contract of the version to append to; None where the frames decide.
    """

    def __init__(self, spec: TableSpec, fields: Sequence[FieldContract] | None = None) -> None:
        self._spec = spec
        self._fields = fields
        self._rows = 0
        self._zoned: bool | None = None
        self._nan: dict[str, int] = {}
        self._numbers: dict[str, tuple[int, int, str]] = {}

    def take(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The next rows, plain.

        Raises:
            TableError: a declared column is missing, or a value does not fit; shows it.
        """
        if self._rows == 0:
            self._check_columns(frame.columns)
        drop = [PANDAS_INDEX, *self._spec.drop]
        rows = self._plain(frame.drop(drop, strict=False))
        if self._spec.time and rows.height:
            rows = rows.with_columns(self._times(rows.get_column(self._spec.time)))
        if self._fields is not None:
            rows = self._conform(rows)
        self._rows += frame.height
        return rows

    def notes(self) -> list[str]:
        """What the user should know of how the rows were read."""
        found = [
            f"{name}: {count} values that are no numbers (NaN) are missing values now"
            for name, count in self._nan.items()
        ]
        for name, (numbers, others, example) in self._numbers.items():
            if others and numbers > _NUMBERS_SHARE * (numbers + others):
                found.append(
                    f"{name} is kept as text: {numbers} of its values are numbers and {others} are not, "
                    f"e.g. {show(example)}"
                )
        return found

    def _check_columns(self, existing: Sequence[str]) -> None:
        spec = self._spec
        declared = [("label", spec.label)] if spec.label is not None else []
        declared += [("key", name) for name in spec.key] + [("drop", name) for name in spec.drop]
        declared += [("time", spec.time)] if spec.time else []
        for role, name in declared:
            if name not in existing:
                raise missing_column(spec.name, role, name, existing)
            if role != "drop" and name in spec.drop:
                raise TableError(f"{spec.name}: column {name!r} is the {role} and dropped at once")
        patterns = [name for name in existing if name == "*" or (name.startswith("^") and name.endswith("$"))]
        taken = [*patterns, *(name for name in RESERVED if name in existing)]
        if taken:
            raise TableError(
                f"{spec.name}: the column name {taken[0]!r} is reserved", hint="rename the column"
            )
        if self._fields is None:
            return
        kept = [name for name in existing if name not in (PANDAS_INDEX, *spec.drop)]
        known = [field.name for field in self._fields]
        missing, more = [n for n in known if n not in kept], [n for n in kept if n not in known]
        if missing or more:
            what = f"lack {', '.join(missing)}" if missing else f"also have {', '.join(more)}"
            raise TableError(
                f"rows that are appended to {spec.name} must have its columns, but these {what}",
                hint="correct them, leave columns out with --drop, or add them as a new version without --append",
            )

    def _plain(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All columns in their plain types, by one query."""
        rows = frame.select(_plain_column(column) for column in frame)
        for column in rows:
            before = frame.get_column(column.name)
            if column.dtype == pl.String and before.dtype == pl.String:
                self._watch_mixture(column)
            elif before.dtype.is_float() and column.null_count() > before.null_count():
                missing = column.null_count() - before.null_count()
                self._nan[column.name] = self._nan.get(column.name, 0) + missing
        return rows

    def _watch_mixture(self, column: pl.Series) -> None:
        """Counts numbers among texts: a few texts turn a column of numbers into one of texts without a word."""
        numbers, others, example = self._numbers.get(column.name, (0, 0, ""))
        if others and not numbers:
            return  # The first rows were all texts: it is a column of texts.
        first = column.drop_nulls().head(_MIXTURE_ROWS)
        if not numbers and len(first) == first.cast(pl.Float64, strict=False).null_count():
            self._numbers[column.name] = (0, others + len(first), "")
            return
        parsed = column.cast(pl.Float64, strict=False)
        texts = column.filter(parsed.is_null() & column.is_not_null())
        example = example or (str(texts[0]) if len(texts) else "")
        count = len(column) - parsed.null_count()
        self._numbers[column.name] = (numbers + count, others + len(texts), example)

    def _times(self, column: pl.Series) -> pl.Series:
        times = column
        if column.dtype == pl.String:
            zoned = column.str.contains(_OFFSET).drop_nulls()
            if self._zoned is None and len(zoned):
                self._zoned = bool(zoned[0])
            if (zoned != self._zoned).any():
                other = column.drop_nulls().filter(zoned != self._zoned)[0]
                have, others = ("have a zone", "has none") if self._zoned else ("have no zone", "has one")
                raise TableError(
                    f"{self._spec.name}: the times in {column.name!r} {have}, but {show(other)} {others}",
                    hint="write all of them with their zone, such as 2012-01-01T07:00:00Z",
                )
            times = parse_iso(column)
        elif column.dtype != _UTC:
            raise TableError(
                f"{self._spec.name}: the time {column.name!r} is {column.dtype}, which is not a time",
                hint="name a column of dates, times or strings in ISO 8601",
            )
        if times.null_count():
            row = int(times.is_null().arg_true()[0])
            raise TableError(
                f"{self._spec.name}: the time in row {self._rows + row + 1} is missing or no time "
                f"({column.name} = {show(str(column[row]) if column[row] is not None else None)})",
                hint="correct the row (times are ISO 8601 such as 2012-01-01T07:00:00Z)",
            )
        return times

    def _conform(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The types of the version to append to; a null where none was before is the contract's business, not ours."""
        assert self._fields is not None
        lenient = [_without_label(field) for field in self._fields]
        return conform_frame(rows, lenient).select([field.name for field in self._fields])


def _without_label(field: FieldContract) -> FieldContract:
    return FieldContract(field.name, field.type, field.role, required=False)


def _plain_column(column: pl.Series) -> pl.Expr | pl.Series:
    type_ = column.dtype
    if isinstance(type_, pl.Datetime | pl.Date):
        return _naive_utc(column.name, type_)
    if isinstance(type_, pl.Categorical | pl.Enum | pl.Null):
        return pl.col(column.name).cast(pl.String)
    plain = POLARS_TYPES[field_type(column.name, type_)]
    if plain == pl.Int64 and type_ in (pl.UInt64, pl.Int128, pl.UInt128):
        return _integers(column)
    expression = pl.col(column.name).cast(plain)
    return expression.fill_nan(None) if type_.is_float() else expression


def _integers(column: pl.Series) -> pl.Series:
    narrow = column.cast(pl.Int64, strict=False)
    if len(worst := column.filter(narrow.is_null() & column.is_not_null())):
        raise SourceError(
            f"{column.name} has {worst[0]}, which is no integer of 64 bits",
            hint="convert the column to text or to a float, or leave it out with --drop",
        )
    return narrow


def _naive_utc(name: str, type_: pl.Datetime | pl.Date) -> pl.Expr:
    column = pl.col(name)
    if isinstance(type_, pl.Datetime) and type_.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(_UTC)
