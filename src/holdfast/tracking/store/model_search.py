"""Searches of logged models: the keys to sort by become columns of an inner query, and pages continue behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Dialect, Reader
from holdfast.tracking.filter import And, Comparison, Condition, Grammar, Order
from holdfast.tracking.records import LoggedModel
from holdfast.tracking.store import logged_models
from holdfast.tracking.store.compare import Sql, compare_text, compare_time, in_capitals
from holdfast.tracking.store.paging import Key, Mark, behind, read_mark, write_mark

_COLUMNS = {
    "name": "m.name",
    "model_id": "m.model_id",
    "model_type": "m.model_type",
    "status": "upper(m.status)",
    "source_run_id": "m.source_run_id",
    "experiment_id": "CAST(e.experiment_id AS TEXT)",
    "creation_timestamp": "m.created_at",
    "last_updated_timestamp": "m.updated_at",
}
MODELS = Grammar(
    kinds=frozenset({"metric", "parameter", "tag", "attribute"}),
    attributes={
        **{name: name for name in _COLUMNS},
        **dict.fromkeys(("creation_time", "creation_timestamp_ms"), "creation_timestamp"),
        **dict.fromkeys(("last_updated_time", "last_updated_timestamp_ms"), "last_updated_timestamp"),
    },
    numbers=frozenset({"creation_timestamp", "last_updated_timestamp"}),
)
_TABLES = {
    "metric": "logged_model_metric",
    "parameter": "logged_model_parameter",
    "tag": "logged_model_tag",
}

# A dataset's name, and its digest where only one version of it counts.
Dataset = tuple[str, str]


class ModelOrder(msgspec.Struct, frozen=True):
    """One key to sort by; a metric may be that of one dataset."""

    order: Order
    dataset: Dataset | None = None


def search_models(
    reader: Reader,
    experiment_numbers: Sequence[int],
    condition: Condition | None,
    datasets: Sequence[Dataset],
    orders: Sequence[ModelOrder],
    limit: int,
    mark: str | None,
    asked: str,
) -> tuple[list[LoggedModel], str | None]:
    """One page of active models, and the mark of the next page."""
    if not experiment_numbers:
        return [], None
    columns, values, keys = _order(orders)
    inner = (
        f"SELECT {', '.join([logged_models.COLUMNS, *columns])} FROM {logged_models.SOURCE}"
        f" WHERE m.lifecycle = 'active' AND m.experiment_number IN ({', '.join('?' * len(experiment_numbers))})"
    )
    values.extend(experiment_numbers)
    if condition is not None:
        sql, more = _compile(condition, reader.dialect, datasets)
        inner += f" AND {sql}"
        values.extend(more)
    elif datasets:
        sql, more = _of_datasets(datasets)
        inner += (
            f" AND EXISTS (SELECT 1 FROM logged_model_metric x WHERE x.model_number = m.number AND {sql})"
        )
        values.extend(more)
    outer = ""
    if mark is not None:
        sql, more = behind(keys, read_mark(mark, asked).values)
        outer = f" WHERE {sql}"
        values.extend(more)
    order = ", ".join(f"{key.sql}{'' if key.ascending else ' DESC'}" for key in keys)
    rows = reader.query(f"SELECT * FROM ({inner}) t{outer} ORDER BY {order} LIMIT ?", [*values, limit + 1])
    found = logged_models.complete(reader, rows[:limit])
    if len(rows) <= limit:
        return found, None
    last = rows[limit - 1]
    return found, write_mark(Mark(0, tuple(_key_value(last, key) for key in keys), asked))


def _order(orders: Sequence[ModelOrder]) -> tuple[list[str], list[Any], list[Key]]:
    columns: list[str] = []
    values: list[Any] = []
    keys: list[Key] = []
    for number, wanted in enumerate(orders):
        sql, more = _sort_value(wanted)
        columns.append(f"{sql} AS k{number}")
        values.extend(more)
        keys.append(Key(f"r{number}", f"CASE WHEN t.k{number} IS NULL THEN 1 ELSE 0 END", True))
        keys.append(Key(f"k{number}", f"t.k{number}", wanted.order.ascending))
    keys.append(Key("created_at", "t.created_at", False))
    keys.append(Key("model_id", "t.model_id", True))
    return columns, values, keys


def _sort_value(wanted: ModelOrder) -> Sql:
    order = wanted.order
    if order.kind == "attribute":
        return _COLUMNS[order.key], []
    if order.kind != "metric":
        table = _TABLES[order.kind]
        return f"(SELECT x.value FROM {table} x WHERE x.model_number = m.number AND x.key = ?)", [order.key]
    sql, values = _of_datasets([wanted.dataset] if wanted.dataset else [])
    return (
        "(SELECT x.value FROM logged_model_metric x WHERE x.model_number = m.number AND x.key = ?"
        f" AND x.is_nan = 0 AND {sql} ORDER BY x.measured_at DESC, x.step DESC LIMIT 1)",
        [order.key, *values],
    )


def _key_value(row: Any, key: Key) -> Any:
    if key.column.startswith("r"):
        return 1 if row[f"k{key.column[1:]}"] is None else 0
    return row[key.column]


def _compile(condition: Condition, dialect: Dialect, datasets: Sequence[Dataset]) -> Sql:
    if not isinstance(condition, Comparison):
        parts = [_compile(part, dialect, datasets) for part in condition.parts]
        word = " AND " if isinstance(condition, And) else " OR "
        return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]
    if condition.kind == "attribute":
        column = _COLUMNS[condition.key]
        if condition.key in MODELS.numbers:
            return compare_time(column, condition.operator, condition.value)
        value = in_capitals(condition.value) if condition.key == "status" else condition.value
        return compare_text(column, condition.operator, value, dialect)
    found = f"EXISTS (SELECT 1 FROM {_TABLES[condition.kind]} x WHERE x.model_number = m.number AND x.key = ?"
    if condition.operator in ("IS NULL", "IS NOT NULL"):
        return f"{'NOT ' if condition.operator == 'IS NULL' else ''}{found})", [condition.key]
    if condition.kind == "metric":
        if not isinstance(condition.value, int | float):
            raise InvalidError(f"Expected a number for metrics.{condition.key}")
        sql, values = _of_datasets(datasets)
        return (
            f"{found} AND x.is_nan = 0 AND x.value {condition.operator} ? AND {sql})",
            [condition.key, float(condition.value), *values],
        )
    sql, values = compare_text("x.value", condition.operator, condition.value, dialect)
    return f"{found} AND {sql})", [condition.key, *values]


def _of_datasets(datasets: Sequence[Dataset]) -> Sql:
    if not datasets:
        return "1 = 1", []
    parts, values = [], list[Any]()
    for name, digest in datasets:
        parts.append("(x.dataset_name = ? AND x.dataset_digest = ?)" if digest else "x.dataset_name = ?")
        values.extend([name, digest] if digest else [name])
    return f"({' OR '.join(parts)})", values
