"""Searches: a condition becomes portable SQL, an order becomes keys, a page mark becomes a bound on them.

Pages continue behind the keys of the last row, so the hundredth costs what the first does. Ordered by a metric, the
index of `latest` is walked in that order and read no further than the page reaches; runs whose value is NaN follow,
then those that have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from holdfast.base.ledger.protocol import Dialect, Reader
from holdfast.tracking.filter import NUMERIC, PRESENCE, And, Comparison, Condition, Grammar, Order
from holdfast.tracking.records import RunStatus
from holdfast.tracking.store import experiments
from holdfast.tracking.store.compare import Sql, compare_text, compare_time, in_capitals, real
from holdfast.tracking.store.paging import Key, Mark, bad_mark, behind, read_mark, write_mark
from holdfast.tracking.store.runs import HEAD_CHARACTERS

_RUN_COLUMNS = {
    "run_id": "run.run_id",
    "run_name": "run.name",
    "user_id": "run.created_by",
    "status": "upper(run.status)",
    "artifact_uri": "run.artifact_root",
    "start_time": "run.started_at",
    "end_time": "run.ended_at",
}
RUNS = Grammar(
    kinds=frozenset({"metric", "parameter", "tag", "attribute", "dataset"}),
    attributes={
        **{name: name for name in _RUN_COLUMNS},
        **dict.fromkeys(("created", "Created"), "start_time"),
        **dict.fromkeys(("run name", "Run name", "Run Name"), "run_name"),
    },
    numbers=frozenset({"start_time", "end_time"}),
)
# What people ask is checked further than what MLflow's client asks, whose own server finds nothing there.
OWN_RUNS = msgspec.structs.replace(RUNS, times=True, choices={"status": get_args(RunStatus)})
# So many runs are collected and sorted rather than met on a walk.
_FEW_MOST = 2000
_COLLECTED = -1


class Page(msgspec.Struct, frozen=True):
    """The numbers of the runs found, and the mark of the next page."""

    numbers: tuple[int, ...]
    next_mark: str | None


def search_runs(
    reader: Reader,
    experiment_numbers: Sequence[int],
    condition: Condition | None,
    view: str,
    orders: Sequence[Order],
    limit: int,
    mark: str | None,
    asked: str,
) -> Page:
    """One page of runs.

    Raises:
        InvalidError: the page mark is not one of this search.
    """
    if not experiment_numbers:
        return Page((), None)
    after = None if mark is None else read_mark(mark, asked)
    few = _few(reader, experiment_numbers, condition)
    # A page goes on in the way the one before was found, so that its keys mean the same.
    walked = few is None if after is None else after.phase >= 0
    phases = _phases(condition, orders) if walked else [_Phase(condition, orders, None, None, few)]
    first = 0 if walked else _COLLECTED
    if after is not None and after.phase - first >= len(phases):
        raise bad_mark()
    found: list[tuple[int, Any]] = []
    for number, phase in enumerate(phases, first):
        if after is not None and number < after.phase:
            continue
        bound = after.values if after is not None and number == after.phase else None
        rows = phase.rows(reader, experiment_numbers, view, bound, limit + 1 - len(found))
        found.extend((number, row) for row in rows)
        if len(found) > limit:
            break
    page = found[:limit]
    if len(found) <= limit:
        return Page(tuple(row["number"] for _, row in page), None)
    last_phase, last = page[-1]
    values = tuple(last[key.column] for key in phases[last_phase - first].keys)
    return Page(tuple(row["number"] for _, row in page), write_mark(Mark(last_phase, values, asked)))


class _Phase:
    """One part of a search: a walk over `run`, perhaps led by the index of a metric."""

    def __init__(
        self,
        condition: Condition | None,
        orders: Sequence[Order],
        lead: Order | None,
        nan: int | None,
        few: Sequence[int] | None = None,
    ) -> None:
        self._condition = condition
        self._few = few
        self._lead = lead
        self._nan = nan
        self._joins: list[str] = []
        self._join_values: list[Any] = []
        self.keys = [key for number, order in enumerate(orders) for key in self._order_keys(number, order)]
        if not any(order.kind == "attribute" and order.key == "start_time" for order in orders):
            self.keys.append(Key("k_start", "run.started_at", False))
        self.keys.append(Key("k_id", "run.run_id", True))

    def rows(
        self, reader: Reader, among: Sequence[int], view: str, bound: Sequence[Any] | None, limit: int
    ) -> list[Any]:
        conditions, values = self._source(among)
        if view != "all":
            conditions.append("run.lifecycle = ?")
            values.append(view)
        if self._condition is not None:
            sql, more = compile_runs(self._condition, reader.dialect, self._lead)
            conditions.append(sql)
            values.extend(more)
        if bound is not None:
            sql, more = behind(self.keys, bound)
            conditions.append(sql)
            values.extend(more)
        source = "latest lead CROSS JOIN run" if self._nan is not None else "run"
        selected = ", ".join(["run.number", *(f"{key.sql} AS {key.column}" for key in self.keys)])
        order = ", ".join(f"{key.sql}{'' if key.ascending else ' DESC'}" for key in self.keys)
        return reader.query(
            f"SELECT {selected} FROM {source} {' '.join(self._joins)}"
            f" WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?",
            [*self._join_values, *values, limit],
        )

    def _source(self, numbers: Sequence[int]) -> tuple[list[str], list[Any]]:
        among = "= ?" if len(numbers) == 1 else f"IN ({', '.join('?' * len(numbers))})"
        if self._few is not None:
            # The plus keeps the index of experiments out of it: a few runs are found by their numbers.
            marks = ", ".join("?" * len(self._few)) or "NULL"
            return [f"+run.experiment_number {among}", f"run.number IN ({marks})"], [*numbers, *self._few]
        if self._lead is None:
            return [f"run.experiment_number {among}"], list(numbers)
        if self._nan is None:
            return [
                f"run.experiment_number {among}",
                "NOT EXISTS (SELECT 1 FROM latest l WHERE l.run_number = run.number AND l.key = ?)",
            ], [*numbers, self._lead.key]
        return [
            f"run.number = lead.run_number AND lead.experiment_number {among} AND lead.key = ?"
            " AND lead.is_nan = ?"
        ], [*numbers, self._lead.key, self._nan]

    def _order_keys(self, number: int, order: Order) -> list[Key]:
        if order is self._lead:
            return [Key("k_lead", "lead.value", order.ascending)] if self._nan == 0 else []
        if order.kind == "attribute":
            column = _RUN_COLUMNS[order.key]
            rank = [Key(f"r{number}", f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END", True)]
            return [*(rank if order.key == "end_time" else []), Key(f"k{number}", column, order.ascending)]
        table = {"metric": "latest", "parameter": "run_parameter", "tag": "run_tag"}[order.kind]
        alias = f"o{number}"
        self._joins.append(
            f"LEFT JOIN {table} {alias} ON {alias}.run_number = run.number AND {alias}.key = ?"
        )
        self._join_values.append(order.key)
        nan = f"WHEN {alias}.is_nan = 1 THEN 1 " if order.kind == "metric" else ""
        return [
            Key(f"r{number}", f"CASE WHEN {alias}.key IS NULL THEN 2 {nan}ELSE 0 END", True),
            Key(f"k{number}", f"{alias}.value", order.ascending),
        ]


def _few(reader: Reader, experiment_numbers: Sequence[int], condition: Condition | None) -> list[int] | None:
    """The runs that fulfil one of the comparisons that all must fulfil, when an index says that they are few.

    Walking an order and testing each run is fast when many match, and slow when hardly any does. The index knows
    which it is, at the price of reading a few thousand entries at most.
    """
    for comparison in _conjuncts(condition):
        source = _indexed(comparison, experiment_numbers)
        if source is None:
            continue
        sql, values = source
        row = reader.one(f"SELECT count(*) AS n FROM ({sql} LIMIT ?) x", [*values, _FEW_MOST + 1])
        if row is not None and row["n"] <= _FEW_MOST:
            return [found["run_number"] for found in reader.query(sql, values)]
    return None


def _indexed(comparison: Comparison, experiment_numbers: Sequence[int]) -> Sql | None:
    """The runs of a comparison as an index finds them, or None where none does."""
    if comparison.operator in (*PRESENCE, "!="):
        return None
    if comparison.kind == "metric":
        marks = ", ".join("?" * len(experiment_numbers))
        sql = f"SELECT run_number FROM latest WHERE experiment_number IN ({marks}) AND key = ? AND is_nan = 0"
        return f"{sql} AND value {comparison.operator} ?", [
            *experiment_numbers,
            comparison.key,
            real(comparison.value),
        ]
    if comparison.kind in ("parameter", "tag") and comparison.operator == "=":
        table = "run_parameter" if comparison.kind == "parameter" else "run_tag"
        value = str(comparison.value)
        return f"SELECT run_number FROM {table} WHERE key = ? AND head = ? AND value = ?", [
            comparison.key,
            value[:HEAD_CHARACTERS],
            value,
        ]
    return None


def _phases(condition: Condition | None, orders: Sequence[Order]) -> list[_Phase]:
    lead = orders[0] if orders and orders[0].kind == "metric" else None
    if lead is None:
        return [_Phase(condition, orders, None, None)]
    first = _Phase(condition, orders, lead, 0)
    if any(_is_about(part, lead) and part.operator in NUMERIC for part in _conjuncts(condition)):
        # A comparison that all must fulfil leaves no run without a number there.
        return [first]
    return [first, _Phase(condition, orders, lead, 1), _Phase(condition, orders, lead, None)]


def compile_runs(condition: Condition, dialect: Dialect, lead: Order | None = None) -> Sql:
    """A condition on `run`; comparisons of the leading metric use its row instead of looking for it."""
    if isinstance(condition, Comparison):
        return _compare_run(condition, dialect, lead)
    parts = [
        compile_runs(part, dialect, lead if isinstance(condition, And) else None) for part in condition.parts
    ]
    word = " AND " if isinstance(condition, And) else " OR "
    return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


def _compare_run(comparison: Comparison, dialect: Dialect, lead: Order | None) -> Sql:
    if comparison.kind == "attribute":
        column = _RUN_COLUMNS[comparison.key]
        if comparison.key in RUNS.numbers:
            return compare_time(column, comparison.operator, comparison.value)
        value = in_capitals(comparison.value) if comparison.key == "status" else comparison.value
        return compare_text(column, comparison.operator, value, dialect)
    if comparison.kind == "dataset":
        column = "i.context" if comparison.key == "context" else f"d.{comparison.key}"
        sql, values = compare_text(column, comparison.operator, comparison.value, dialect)
        return (
            "EXISTS (SELECT 1 FROM run_input i JOIN dataset_used d ON d.number = i.dataset_number"
            f" WHERE i.run_number = run.number AND {sql})",
            values,
        )
    table = {"metric": "latest", "parameter": "run_parameter", "tag": "run_tag"}[comparison.kind]
    if comparison.operator in ("IS NULL", "IS NOT NULL"):
        absent = "NOT " if comparison.operator == "IS NULL" else ""
        return f"{absent}EXISTS (SELECT 1 FROM {table} x WHERE x.run_number = run.number AND x.key = ?)", [
            comparison.key
        ]
    if lead is not None and _is_about(comparison, lead):
        return f"lead.value {comparison.operator} ?", [real(comparison.value)]
    if comparison.kind == "metric":
        sql, values = f"x.is_nan = 0 AND x.value {comparison.operator} ?", [real(comparison.value)]
    else:
        sql, values = compare_text("x.value", comparison.operator, comparison.value, dialect)
        if comparison.operator == "=":
            sql, values = f"x.head = ? AND {sql}", [str(comparison.value)[:HEAD_CHARACTERS], *values]
    return (
        f"EXISTS (SELECT 1 FROM {table} x WHERE x.run_number = run.number AND x.key = ? AND {sql})",
        [comparison.key, *values],
    )


def experiment_numbers(reader: Reader, project: str, experiment_ids: Sequence[int]) -> list[int]:
    """The numbers of those experiments that exist."""
    return experiments.numbers(reader, project, experiment_ids)


def _conjuncts(condition: Condition | None) -> list[Comparison]:
    if isinstance(condition, Comparison):
        return [condition]
    if isinstance(condition, And):
        return [part for item in condition.parts for part in _conjuncts(item)]
    return []


def _is_about(comparison: Comparison, lead: Order) -> bool:
    return comparison.kind == "metric" and comparison.key == lead.key
