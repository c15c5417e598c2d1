"""Sorting, filtering and paging of a table by the URL: pure functions over rows and the query mapping.

Parameters: `sort` (a column key, `-key` for descending), `q` (text that any cell contains), `page` (from
1), and one parameter for each `Choice`. A table with a name prefixes them (`runs.sort`), so that several
tables live on one page. Whatever a URL says that makes no sense is ignored, never an error.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup

from holdfast.ui.kit.format import MISSING, number

_DIGITS = re.compile(r"(\d+)")


class Column(msgspec.Struct, frozen=True):
    """One column. `formatter` turns the cell's value into text or Markup; sorting uses the raw value."""

    key: str
    title: str
    align: Literal["left", "right"] = "left"
    sortable: bool = True
    formatter: Callable[[Any], str] | None = None
    hint: str = ""


class Row(msgspec.Struct, frozen=True):
    """One row: raw values by column key, the page it opens, and a key that survives a live refresh."""

    cells: Mapping[str, Any]
    url: str = ""
    key: str = ""


class Choice(msgspec.Struct, frozen=True):
    """A filter by one column: only rows whose raw value, as text, equals the chosen option."""

    key: str
    title: str
    options: tuple[str, ...]


class Selection(msgspec.Struct, frozen=True):
    """The rows one URL shows, with the numbers the pager needs."""

    rows: tuple[Row, ...]
    matched: int
    total: int
    page: int
    pages: int
    sort: str
    text: str
    chosen: Mapping[str, str]


def parameter(name: str, key: str) -> str:
    """Return the query parameter of a table: prefixed where the table has a name."""
    return f"{name}.{key}" if name else key


def url_with(path: str, query: Mapping[str, str], changes: Mapping[str, str | None]) -> str:
    """Return `path` with the query changed; None removes a parameter, all others are kept.

    >>> url_with("/runs", {"q": "a b", "page": "3"}, {"page": None, "sort": "-at"})
    '/runs?q=a+b&sort=-at'
    """
    merged: dict[str, str | None] = {**query, **changes}
    pairs = [(key, value) for key, value in merged.items() if value is not None and value != ""]
    return f"{path}?{urlencode(pairs)}" if pairs else path or "?"


def cell_text(column: Column, value: Any) -> str:
    """Return what a cell shows; Markup stays Markup, and everything else is escaped by the template."""
    if column.formatter is not None:
        return column.formatter(value)
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return value if isinstance(value, Markup) else str(value)


def sort_key(value: Any) -> tuple[int, Any]:
    """Order any mix of values: numbers, then text in natural order (v2 before v10)."""
    if isinstance(value, int | float):
        return (0, value)
    text = Markup(value).striptags() if isinstance(value, Markup) else str(value)
    parts = _DIGITS.split(text.casefold())
    return (1, [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)])


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def sort_rows(rows: Sequence[Row], key: str, descending: bool) -> list[Row]:
    """Sort rows by one column; missing values come last in both directions, ties keep their order."""
    present = [row for row in rows if not _is_missing(row.cells.get(key))]
    missing = [row for row in rows if _is_missing(row.cells.get(key))]
    return sorted(present, key=lambda row: sort_key(row.cells[key]), reverse=descending) + missing


def filter_rows(
    columns: Sequence[Column], rows: Sequence[Row], text: str, chosen: Mapping[str, str]
) -> list[Row]:
    """Keep the rows where some shown cell contains `text` (case ignored) and every choice is met."""
    needle = text.casefold().strip()

    def contains(row: Row) -> bool:
        shown = (str(cell_text(column, row.cells.get(column.key))) for column in columns)
        return any(needle in Markup(cell).striptags().casefold() for cell in shown)

    return [
        row
        for row in rows
        if all(str(row.cells.get(key)) == option for key, option in chosen.items())
        and (not needle or contains(row))
    ]


def valid_sort(columns: Sequence[Column], wanted: str, default: str) -> str:
    """Return the wanted sort if it names a sortable column, else the default."""
    known = {column.key for column in columns if column.sortable}
    return wanted if wanted.removeprefix("-") in known else default


def chosen_options(choices: Sequence[Choice], query: Mapping[str, str], name: str = "") -> dict[str, str]:
    """Return the options the query chose among those that exist."""
    wanted = {choice.key: query.get(parameter(name, choice.key), "") for choice in choices}
    return {choice.key: wanted[choice.key] for choice in choices if wanted[choice.key] in choice.options}


def select_rows(
    columns: Sequence[Column],
    rows: Sequence[Row],
    query: Mapping[str, str],
    *,
    name: str = "",
    choices: Sequence[Choice] = (),
    default_sort: str = "",
    page_rows: int = 50,
) -> Selection:
    """Filter, sort and cut an in-memory list as the URL says.

    A page beyond the last shows the last one, so that a bookmark survives a shrinking list.
    """
    text = query.get(parameter(name, "q"), "")
    chosen = chosen_options(choices, query, name)
    matched = filter_rows(columns, rows, text, chosen)
    sort = valid_sort(columns, query.get(parameter(name, "sort"), ""), default_sort)
    if sort:
        matched = sort_rows(matched, sort.removeprefix("-"), sort.startswith("-"))
    pages = max(1, math.ceil(len(matched) / page_rows))
    wanted = query.get(parameter(name, "page"), "1")
    page = min(max(1, int(wanted)), pages) if wanted.isascii() and wanted.isdigit() else 1
    shown = matched[(page - 1) * page_rows : page * page_rows]
    return Selection(
        rows=tuple(shown), matched=len(matched), total=len(rows), page=page, pages=pages, sort=sort,
        text=text, chosen=chosen,
    )  # fmt: skip
