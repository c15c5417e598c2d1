"""What a contract says of columns, gathered frame by frame: the same as from the whole at once, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import polars as pl

from holdfast.data.contract import CATEGORIES_MOST, field_role, field_type
from holdfast.data.format_columns import INFER_ROWS_LEAST, INFERRED, fitting
from holdfast.data.records import FieldContract, FieldType, TableSpec


class Facts:
    """Range, nulls and categories of every column of a growing number of rows.

    Example:
        >>> facts = Facts()
        >>> facts.add(pl.DataFrame({"origin": ["JFK", None]}))
        >>> facts.add(pl.DataFrame({"origin": ["EWR", "JFK"]}))
        >>> facts.fields(TableSpec("flights", None, ""))[0].categories
        ('EWR', 'JFK')
    """

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, _Column] = {}

    @classmethod
    def of_contract(cls, fields: Sequence[FieldContract], rows: int) -> Facts:
        """The facts of rows that were seen before, as their contract keeps them."""
        facts = cls()
        facts.rows = rows
        for field in fields:
            nulls = round(field.null_share * rows)
            known = None if field.categories is None and nulls < rows else set(field.categories or ())
            formats = (field.format,) if field.format is not None else ()
            facts._columns[field.name] = _Column(
                field.type,
                nulls,
                field.minimum,
                field.maximum,
                known,
                INFERRED if known is not None else formats,
            )
        return facts

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows; every frame has the same columns."""
        types = {name: field_type(name, type_) for name, type_ in frame.schema.items()}
        found = frame.select(expression for name in types for expression in _measures(name, types[name])).row(
            0, named=True
        )
        self.rows += frame.height
        for name, type_ in types.items():
            column = self._columns.setdefault(name, _Column(type_, categories=set()))
            column.nulls += found[f"{name} nulls"]
            if type_ in ("float", "integer"):
                column.widen(found[f"{name} minimum"], found[f"{name} maximum"])
            elif type_ == "string":
                column.meet(frame.get_column(name))

    def fields(self, spec: TableSpec) -> tuple[FieldContract, ...]:
        """The contract's fields, as `infer_fields` finds them in the whole."""
        return tuple(self._field(name, column, spec) for name, column in self._columns.items())

    def _field(self, name: str, column: _Column, spec: TableSpec) -> FieldContract:
        role = field_role(name, column.type, spec)
        return FieldContract(
            name=name,
            type="float" if role == "label" else column.type,
            role=role,
            required=column.nulls == 0,
            minimum=column.minimum,
            maximum=column.maximum,
            categories=tuple(sorted(column.categories)) if column.categories else None,
            null_share=column.nulls / self.rows if self.rows else 0.0,
            format=column.format(self.rows),
        )


class _Column:
    """`categories` are the different texts while there are at most 100, None from then on.

    `formats` are those that every text fits; they are looked for once the texts are too many for categories.
    """

    def __init__(
        self,
        type_: FieldType,
        nulls: int = 0,
        minimum: float | None = None,
        maximum: float | None = None,
        categories: set[str] | None = None,
        formats: Sequence[str] = INFERRED,
    ) -> None:
        self.type = type_
        self.nulls = nulls
        self.minimum = minimum
        self.maximum = maximum
        self.categories = categories
        self._formats = tuple(formats)

    def format(self, rows: int) -> str | None:
        enough = rows - self.nulls >= INFER_ROWS_LEAST
        found = self.type == "string" and self.categories is None and self._formats and enough
        return self._formats[0] if found else None

    def widen(self, minimum: float | None, maximum: float | None) -> None:
        if minimum is not None:
            self.minimum = minimum if self.minimum is None else min(self.minimum, minimum)
        if maximum is not None:
            self.maximum = maximum if self.maximum is None else max(self.maximum, maximum)

    def meet(self, texts: pl.Series) -> None:
        if self.categories is None and not self._formats:
            return
        different = texts.unique().drop_nulls()
        if self.categories is None:
            self._formats = fitting(different, self._formats)
            return
        if len(different) <= CATEGORIES_MOST:
            self.categories |= set(different)
        if len(different) > CATEGORIES_MOST or len(self.categories) > CATEGORIES_MOST:
            before = pl.Series(sorted(self.categories), dtype=pl.String)
            self._formats = fitting(different, fitting(before, self._formats))
            self.categories = None


def _measures(name: str, type_: FieldType) -> list[pl.Expr]:
    column = pl.col(name)
    measures: list[Any] = [column.null_count().alias(f"{name} nulls")]
    if type_ in ("float", "integer"):
        numbers = column.cast(pl.Float64)
        if type_ == "float":
            numbers = numbers.filter(numbers.is_finite())
        measures += [numbers.min().alias(f"{name} minimum"), numbers.max().alias(f"{name} maximum")]
    return cast("list[pl.Expr]", measures)
