"""Searches of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Dialect, Reader
from holdfast.tracking.filter import And, Comparison, Condition, Order
from holdfast.tracking.records import Experiment
from holdfast.tracking.store import experiments
from holdfast.tracking.store.compare import Sql, compare_text, compare_time
from holdfast.tracking.store.paging import Key, Mark, behind, read_mark, write_mark

_COLUMNS = {
    "name": "experiment.name",
    "experiment_id": "CAST(experiment.experiment_id AS TEXT)",
    "creation_time": "experiment.created_at",
    "last_update_time": "experiment.updated_at",
}


def search_experiments(
    reader: Reader,
    project: str,
    condition: Condition | None,
    orders: Sequence[Order],
    view: str,
    limit: int,
    mark: str | None,
    asked: str,
) -> tuple[list[Experiment], str | None]:
    """One page of experiments, and the mark of the next one."""
    for order in orders:
        if order.kind != "attribute":
            raise InvalidError(
                "experiments are ordered by name, experiment_id, creation_time or last_update_time"
            )
    # Ids are compared as texts in a condition, and are numbers when they are sorted.
    sort = {**_COLUMNS, "experiment_id": "experiment.experiment_id"}
    keys = [Key(f"k{number}", sort[order.key], order.ascending) for number, order in enumerate(orders)]
    keys.append(Key("k_id", "experiment.experiment_id", True))
    sql, values = ["project = ?"], [project]
    if view != "all":
        sql.append("lifecycle = ?")
        values.append(view)
    if condition is not None:
        compiled, more = _compile(condition, reader.dialect)
        sql.append(compiled)
        values.extend(more)
    if mark is not None:
        compiled, more = behind(keys, read_mark(mark, asked).values)
        sql.append(compiled)
        values.extend(more)
    order_sql = ", ".join(f"{key.sql}{'' if key.ascending else ' DESC'}" for key in keys)
    found = experiments.search(
        reader, f"{' AND '.join(sql)} ORDER BY {order_sql} LIMIT ?", [*values, limit + 1]
    )
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    fields: dict[str, Any] = {
        "name": last.name,
        "experiment_id": int(last.experiment_id),
        "creation_time": last.created_at,
        "last_update_time": last.updated_at,
    }
    at = (*(fields[order.key] for order in orders), int(last.experiment_id))
    return found[:limit], write_mark(Mark(0, at, asked))


def _compile(condition: Condition, dialect: Dialect) -> Sql:
    if not isinstance(condition, Comparison):
        parts = [_compile(part, dialect) for part in condition.parts]
        word = " AND " if isinstance(condition, And) else " OR "
        return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]
    if condition.kind == "attribute":
        column = _COLUMNS[condition.key]
        if condition.key.endswith("time"):
            return compare_time(column, condition.operator, condition.value)
        return compare_text(column, condition.operator, condition.value, dialect)
    tag = "EXISTS (SELECT 1 FROM experiment_tag x WHERE x.experiment_number = experiment.number AND x.key = ?"
    if condition.operator in ("IS NULL", "IS NOT NULL"):
        return f"{'NOT ' if condition.operator == 'IS NULL' else ''}{tag})", [condition.key]
    sql, values = compare_text("x.value", condition.operator, condition.value, dialect)
    return f"{tag} AND {sql})", [condition.key, *values]
