"""Searches: a condition becomes portable SQL, an order becomes keys, a page mark becomes a bound on them.

Pages continue behind the keys of the last row, so the hundredth costs what the first does. Ordered by a metric, the
index of `latest` is walked in that order and read no further than the page reaches; runs whose value is NaN follow,
then those that have none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Dialect, Reader
from holdfast.tracking.filter import And, Comparison, Condition, Grammar, Order, Value
from holdfast.tracking.records import Experiment
from holdfast.tracking.store import experiments
from holdfast.tracking.store.runs import HEAD_CHARACTERS

Sql = tuple[str, list[Any]]

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
_MILLISECOND_US = 1000
# What a double holds exactly, and more microseconds than there will be.
_TIME_MOST = float(2**62)


class Key(msgspec.Struct, frozen=True):
    """One term of an order: `column` in the row, its SQL, and its direction."""

    column: str
    sql: str
    ascending: bool


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the phase of the search, the values of its keys, and what was asked."""

    phase: int
    values: tuple[float | int | str | None, ...]
    asked: str


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
    phases = _phases(condition, orders)
    if after is not None and after.phase >= len(phases):
        raise _bad_mark()
    found: list[tuple[int, Any]] = []
    for number, phase in enumerate(phases):
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
    values = tuple(last[key.column] for key in phases[last_phase].keys)
    return Page(tuple(row["number"] for _, row in page), write_mark(Mark(last_phase, values, asked)))


class _Phase:
    """One part of a search: a walk over `run`, perhaps led by the index of a metric."""

    def __init__(
        self, condition: Condition | None, orders: Sequence[Order], lead: Order | None, nan: int | None
    ) -> None:
        self._condition = condition
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


def _phases(condition: Condition | None, orders: Sequence[Order]) -> list[_Phase]:
    lead = orders[0] if orders and orders[0].kind == "metric" else None
    if lead is None:
        return [_Phase(condition, orders, None, None)]
    first = _Phase(condition, orders, lead, 0)
    if any(_is_about(part, lead) and part.operator != "IS NULL" for part in _conjuncts(condition)):
        # A comparison that all must fulfil leaves no run without a number there.
        return [first]
    return [first, _Phase(condition, orders, lead, 1), _Phase(condition, orders, lead, None)]


_EXPERIMENT_COLUMNS = {
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
    sort = {**_EXPERIMENT_COLUMNS, "experiment_id": "experiment.experiment_id"}
    keys = [Key(f"k{number}", sort[order.key], order.ascending) for number, order in enumerate(orders)]
    keys.append(Key("k_id", "experiment.experiment_id", True))
    sql, values = ["project = ?"], [project]
    if view != "all":
        sql.append("lifecycle = ?")
        values.append(view)
    if condition is not None:
        compiled, more = _compile_experiments(condition, reader.dialect)
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


def _compile_experiments(condition: Condition, dialect: Dialect) -> Sql:
    if not isinstance(condition, Comparison):
        parts = [_compile_experiments(part, dialect) for part in condition.parts]
        word = " AND " if isinstance(condition, And) else " OR "
        return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]
    if condition.kind == "attribute":
        column = _EXPERIMENT_COLUMNS[condition.key]
        if condition.key.endswith("time"):
            return compare_time(column, condition.operator, condition.value)
        return compare_text(column, condition.operator, condition.value, dialect)
    tag = "EXISTS (SELECT 1 FROM experiment_tag x WHERE x.experiment_number = experiment.number AND x.key = ?"
    if condition.operator in ("IS NULL", "IS NOT NULL"):
        return f"{'NOT ' if condition.operator == 'IS NULL' else ''}{tag})", [condition.key]
    sql, values = compare_text("x.value", condition.operator, condition.value, dialect)
    return f"{tag} AND {sql})", [condition.key, *values]


def behind(keys: Sequence[Key], values: Sequence[Any]) -> Sql:
    """The condition that a row comes after the given keys in their order.

    A key whose value is None was absent in the last row and is so in every row of the same rank.

    Raises:
        InvalidError: there are more or fewer values than keys.
    """
    if len(values) != len(keys):
        raise _bad_mark()
    sql, parameters = "1 = 0", list[Any]()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        if value is None:
            continue
        beyond = ">" if key.ascending else "<"
        sql = f"({key.sql} {beyond} ? OR ({key.sql} = ? AND {sql}))"
        parameters = [value, value, *parameters]
    first = keys[0]
    if values[0] is not None and first.column == "k_lead":
        # Said once more, plainly, so that the walk over the index begins there.
        sql = f"{first.sql} {'>=' if first.ascending else '<='} ? AND {sql}"
        parameters = [values[0], *parameters]
    return sql, parameters


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
        return compare_text(column, comparison.operator, comparison.value, dialect)
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
        return f"lead.value {comparison.operator} ?", [_real(comparison.value)]
    if comparison.kind == "metric":
        sql, values = f"x.is_nan = 0 AND x.value {comparison.operator} ?", [_real(comparison.value)]
    else:
        sql, values = compare_text("x.value", comparison.operator, comparison.value, dialect)
        if comparison.operator == "=":
            sql, values = f"x.head = ? AND {sql}", [str(comparison.value)[:HEAD_CHARACTERS], *values]
    return (
        f"EXISTS (SELECT 1 FROM {table} x WHERE x.run_number = run.number AND x.key = ? AND {sql})",
        [comparison.key, *values],
    )


def compare_text(column: str, operator: str, value: Value, dialect: Dialect) -> Sql:
    """A comparison of a text. LIKE minds the case, ILIKE does not, and neither knows an escape."""
    if isinstance(value, tuple):
        return f"{column} {operator} ({', '.join('?' * len(value))})", list(value)
    if operator in ("LIKE", "ILIKE"):
        if dialect == "postgresql":
            return f"{column} {operator} ? ESCAPE ''", [value]
        if operator == "ILIKE":
            return f"{column} LIKE ?", [value]
        return f"{column} GLOB ?", [_glob(str(value))]
    return f"{column} {operator} ?", [value]


def compare_time(column: str, operator: str, value: Value) -> Sql:
    """A comparison of a time given in milliseconds with a column of microseconds, by whole milliseconds."""
    first = int(max(-_TIME_MOST, min(_TIME_MOST, _real(value) * _MILLISECOND_US)))
    last = first + _MILLISECOND_US - 1
    if operator == "=":
        return f"{column} BETWEEN ? AND ?", [first, last]
    if operator == "!=":
        return f"{column} NOT BETWEEN ? AND ?", [first, last]
    return f"{column} {operator} ?", [last if operator in (">", "<=") else first]


def experiment_numbers(reader: Reader, project: str, experiment_ids: Sequence[int]) -> list[int]:
    """The numbers of those experiments that exist."""
    return experiments.numbers(reader, project, experiment_ids)


def fingerprint(*asked: object) -> str:
    """What a page mark belongs to, in few characters.

    Example:
        >>> fingerprint("metrics.mae < 3", ["start_time"]) == fingerprint("metrics.mae < 4", ["start_time"])
        False
    """
    return hashlib.blake2s(repr(asked).encode(), digest_size=8).hexdigest()


def read_mark(text: str, asked: str) -> Mark:
    """A page mark of a search; `asked` identifies what was asked.

    Raises:
        InvalidError: it is none, or one of another search.
    """
    try:
        mark = msgspec.msgpack.decode(base64.urlsafe_b64decode(text.encode()), type=Mark)
    except (ValueError, msgspec.MsgspecError):
        raise _bad_mark() from None
    if mark.asked != asked:
        raise InvalidError(
            "the page token belongs to another search", hint="repeat filter and order_by with it"
        )
    return mark


def write_mark(mark: Mark) -> str:
    """The text of a page mark."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(mark)).decode()


def _bad_mark() -> InvalidError:
    return InvalidError("Invalid page token", hint="pass on the next_page_token of the page before")


def _conjuncts(condition: Condition | None) -> list[Comparison]:
    if isinstance(condition, Comparison):
        return [condition]
    if isinstance(condition, And):
        return [part for item in condition.parts for part in _conjuncts(item)]
    return []


def _is_about(comparison: Comparison, lead: Order) -> bool:
    return comparison.kind == "metric" and comparison.key == lead.key


def _real(value: Value) -> float:
    assert isinstance(value, int | float)
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _glob(pattern: str) -> str:
    """A LIKE pattern as SQLite's GLOB, which minds the case."""
    return "".join(
        {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(letter, letter) for letter in pattern
    )
