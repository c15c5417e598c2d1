"""Comparisons as SQL that SQLite and PostgreSQL understand alike."""

from __future__ import annotations

from typing import Any

from holdfast.base.ledger.protocol import Dialect
from holdfast.tracking.filter import Value

Sql = tuple[str, list[Any]]

_MILLISECOND_US = 1000
# What a double holds exactly, and more microseconds than there will be.
_TIME_MOST = float(2**62)


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
    first = int(max(-_TIME_MOST, min(_TIME_MOST, real(value) * _MILLISECOND_US)))
    last = first + _MILLISECOND_US - 1
    if operator == "=":
        return f"{column} BETWEEN ? AND ?", [first, last]
    if operator == "!=":
        return f"{column} NOT BETWEEN ? AND ?", [first, last]
    return f"{column} {operator} ?", [last if operator in (">", "<=") else first]


def in_capitals(value: Value) -> Value:
    """The texts of a comparison with a status, which MLflow writes in capitals and people do not."""
    if isinstance(value, tuple):
        return tuple(item.upper() for item in value)
    return value.upper() if isinstance(value, str) else value


def real(value: Value) -> float:
    """A number of a condition as a double; one too large is infinite."""
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
