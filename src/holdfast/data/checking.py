"""Checking frames against their contract: every violation with its count, examples and rows.

The serving door (`decoder`) enforces the same contract on single requests; a property test holds the two together.
All rules of all columns are counted by one streaming query, so a frame may be larger than memory; only columns that
break a rule are read again for examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from holdfast.base.clock import Micros, format_duration, format_time
from holdfast.data.format_columns import fits
from holdfast.data.formats import TIME_FORMAT
from holdfast.data.policy import expects, is_null_share_beyond, noun, show
from holdfast.data.records import Contract, DataCheck, FieldContract, Violation, ViolationKind
from holdfast.data.source import parse_iso, read_source, scan_cells, unreadable
from holdfast.data.values import Values, values_of

_EXAMPLES = 3
_ROWS_READ = 1000
_NAMES_SHOWN = 12
_ROW = "_holdfast_row"


@dataclass(frozen=True)
class _Rule:
    """One way in which values of a column are wrong: `broken` is true for those, and never null."""

    kind: ViolationKind
    field: FieldContract
    broken: pl.Expr
    what: str = ""
    severity: Literal["error", "warning"] = "error"


def check_frame(
    frame: pl.DataFrame | pl.LazyFrame, contract: Contract, *, now_at: Micros | None = None
) -> list[Violation]:
    """Where a frame of inputs breaks the contract; the same rows sent one by one would fare the same.

    The frame holds the request's fields (the label may be there or not). Types, missing columns, unknown columns
    and nulls in required fields are errors; ranges, categories, formats and null shares only where the field is
    `hard`. Duplicates and a frame that is too old are errors, as only people declare them.

    Args:
        now_at: when the check is made, for the age of the newest row; without it age is not judged.

    Example:
        >>> contract = Contract("rides", 1, (FieldContract("temp", "float", minimum=0.0, maximum=1.0),))
        >>> [violation] = check_frame(pl.DataFrame({"temp": [0.5, 3.0]}), contract)
        >>> violation.kind, violation.count, violation.rows, violation.severity
        ('range', 1, (2,), 'warning')
    """
    return _check(frame.lazy(), contract, now_at, cells=False)[1]


def check_file(path: str, contract: Contract, *, now_at: Micros | None = None) -> DataCheck:
    """The same for a CSV or Parquet file; a cell of CSV is read as what the contract says its column is.

    Raises:
        SourceError: the file cannot be read at all.
    """
    cells = Path(path).suffix.lower() == ".csv"
    frame = scan_cells(path) if cells else read_source(path)
    try:
        rows, violations = _check(frame, contract, now_at, cells=cells)
    except pl.exceptions.PolarsError as error:
        raise unreadable(path, error) from error
    return DataCheck(path, contract.urn, rows, tuple(violations))


def _check(
    frame: pl.LazyFrame, contract: Contract, now_at: Micros | None, *, cells: bool
) -> tuple[int, list[Violation]]:
    schema = frame.collect_schema()
    names = {field.name for field in contract.fields}
    rules = [
        rule
        for field in contract.request_fields()
        if field.name in schema
        for rule in _rules(field, values_of(field, schema[field.name], cells=cells))
    ]
    rows, counts = _count(frame, rules)
    broken = [
        (rule, count) for rule, count in zip(rules, counts, strict=True) if _is_beyond(rule, count, rows)
    ]
    found = [_unknown(name, rows, contract) for name in schema.names() if name not in names]
    found += _missing(contract, schema, rows)
    found += _with_examples(frame, broken, rows, contract)
    order = [field.name for field in contract.fields]
    found.sort(key=lambda violation: order.index(violation.field) if violation.field in names else -1)
    found += _duplicates(frame, contract, schema)
    return rows, found + _stale(frame, contract, schema, now_at, cells=cells)


def _rules(field: FieldContract, values: Values) -> list[_Rule]:
    severity: Literal["error", "warning"] = "error" if field.hard else "warning"
    rules = [_Rule("invalid_field", field, values.misfit, f"not {noun(field.type)}")]
    if field.required:
        rules.insert(0, _Rule("invalid_field", field, values.null))
    elif field.null_share:
        rules.insert(0, _Rule("null_share", field, values.null, severity=severity))
    outside = _outside(values.typed, field)
    if outside is not None:
        kind: ViolationKind = "range" if field.categories is None else "category"
        what = "outside of the range" if kind == "range" else "an unknown category"
        rules.append(_Rule(kind, field, outside.fill_null(False), what, severity))
    if field.type == "string" and (field.format or field.pattern):
        rules.append(_format_rule(field, values.typed, severity))
    return rules


def _outside(value: pl.Expr, field: FieldContract) -> pl.Expr | None:
    """Which values lie beyond the range or the categories; None where the field has neither."""
    if field.categories is not None:
        return ~value.is_in(list(field.categories))
    if field.type not in ("float", "integer"):
        return None
    below = None if field.minimum is None else value < field.minimum
    above = None if field.maximum is None else value > field.maximum
    return below | above if below is not None and above is not None else above if below is None else below


def _format_rule(field: FieldContract, value: pl.Expr, severity: Literal["error", "warning"]) -> _Rule:
    if field.format == TIME_FORMAT:
        parsed = value.map_batches(parse_iso, return_dtype=pl.Datetime("us"))
        kind: ViolationKind = "invalid_field" if field.role == "time" else "format"
        broken = value.is_not_null() & parsed.is_null()
        return _Rule(
            kind, field, broken, "not an ISO 8601 time", "error" if field.role == "time" else severity
        )
    what = f"not of the format {field.format}" if field.pattern is None else f"not like {field.pattern}"
    return _Rule(
        "format", field, (~fits(value, field.format, field.pattern)).fill_null(False), what, severity
    )


def _count(frame: pl.LazyFrame, rules: Sequence[_Rule]) -> tuple[int, list[int]]:
    sums = [rule.broken.sum().cast(pl.Int64).alias(str(index)) for index, rule in enumerate(rules)]
    row = frame.select(pl.len().cast(pl.Int64).alias("rows"), *sums).collect(engine="streaming").row(0)
    # A rule that is a constant counts once, not once a row; only constants that are false are ever written.
    return row[0], [count or 0 for count in row[1:]]


def _is_beyond(rule: _Rule, count: int, rows: int) -> bool:
    if rule.kind != "null_share":
        return count > 0
    return is_null_share_beyond(count, rows, rule.field.null_share, exact=rule.field.hard)


def _with_examples(
    frame: pl.LazyFrame, broken: Sequence[tuple[_Rule, int]], rows: int, contract: Contract
) -> list[Violation]:
    numbered = frame.with_row_index(_ROW, offset=1)
    looks = [
        numbered.filter(rule.broken).select(_ROW, rule.field.name).head(_ROWS_READ) for rule, _ in broken
    ]
    seen = pl.collect_all(looks, engine="streaming") if looks else []
    return [
        _violation(rule, count, rows, examples, contract)
        for (rule, count), examples in zip(broken, seen, strict=True)
    ]


def _violation(rule: _Rule, count: int, rows: int, seen: pl.DataFrame, contract: Contract) -> Violation:
    field = rule.field
    first = tuple(seen[_ROW].head(_EXAMPLES).to_list())
    if rule.what:
        examples = tuple(
            show(value) for value in seen[field.name].unique(maintain_order=True).head(_EXAMPLES)
        )
        message = f"{field.name}: {examples[0]} is {rule.what}; {expects(contract, field)}"
        return Violation(rule.kind, field.name, count, message, rule.severity, examples, first)
    message = f"{field.name} is null in {count} row{'s' * (count != 1)}; {expects(contract, field)}"
    if rule.kind == "null_share":
        message = (
            f"{field.name} is null in {count} of {rows} rows ({count / rows:.2%});"
            f" {contract.urn} tolerates {field.null_share:.2%}"
        )
    return Violation(rule.kind, field.name, count, message, rule.severity, (), first)


def _unknown(name: str, rows: int, contract: Contract) -> Violation:
    names = [field.name for field in contract.request_fields()]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    known = ", ".join(names[:_NAMES_SHOWN]) + more
    message = f"{name}: {contract.urn} has no such field; its fields are: {known}"
    return Violation("unknown_field", name, rows, message)


def _missing(contract: Contract, schema: pl.Schema, rows: int) -> list[Violation]:
    return [
        Violation("missing_field", field.name, rows, f"{field.name} is missing; {expects(contract, field)}")
        for field in contract.request_fields()
        if field.name not in schema and field.required and rows
    ]


def _duplicates(frame: pl.LazyFrame, contract: Contract, schema: pl.Schema) -> list[Violation]:
    found = []
    for columns in contract.unique:
        if any(name not in schema for name in columns):
            continue
        groups = frame.select(columns).drop_nulls().group_by(columns).len("n").filter(pl.col("n") > 1)
        extra, *_ = (
            groups.select(pl.col("n").cast(pl.Int64).sum() - pl.len()).collect(engine="streaming").row(0)
        )
        if extra:
            first = groups.sort(columns).head(_EXAMPLES).collect(engine="streaming")
            examples = tuple(
                ", ".join(f"{name} = {show(row[name])}" for name in columns)
                for row in first.iter_rows(named=True)
            )
            message = f"{', '.join(columns)}: {extra} rows repeat another ({examples[0]})"
            found.append(Violation("duplicate", ", ".join(columns), extra, message, "error", examples))
    return found


def _stale(
    frame: pl.LazyFrame, contract: Contract, schema: pl.Schema, now_at: Micros | None, *, cells: bool
) -> list[Violation]:
    times = [field for field in contract.fields if field.role == "time" and field.name in schema]
    if contract.freshness_us is None or now_at is None or len(times) != 1:
        return []
    (field,) = times
    typed = values_of(field, schema[field.name], cells=cells).typed
    if field.type == "string":
        typed = typed.map_batches(parse_iso, return_dtype=pl.Datetime("us"))
    newest: datetime | None = frame.select(typed.max()).collect(engine="streaming").item()
    allowed = f"{contract.urn} allows {format_duration(contract.freshness_us)}"
    if newest is None:
        return [Violation("stale", field.name, 1, f"{field.name}: no row has a time; {allowed}")]
    newest_at = int(pl.Series([newest]).dt.epoch("us").item())
    if now_at - newest_at <= contract.freshness_us:
        return []
    age = format_duration((now_at - newest_at) // 1_000_000 * 1_000_000)
    message = f"{field.name}: the newest row is of {format_time(newest_at)}, {age} old; {allowed}"
    return [Violation("stale", field.name, 1, message)]
