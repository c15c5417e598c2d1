"""The one table of all pages.

`table` takes every row and does sorting, filtering and paging itself; `render_table` draws rows that a
store has already sorted and cut (keyset pages), with the links the caller gives.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from markupsafe import Markup

from holdfast.ui.kit.environment import kit_environment
from holdfast.ui.kit.table_query import (
    Choice,
    Column,
    Row,
    Selection,
    cell_text,
    chosen_options,
    parameter,
    select_rows,
    url_with,
    valid_sort,
)

NO_ROWS = Markup("<p>Nothing here yet.</p>")


class Paging(msgspec.Struct, frozen=True):
    """Where the neighbours of a page are, and what this page is (`1–50 of 1,204`).

    A list that can only be read forward says `previous="← First page"`.
    """

    label: str = ""
    previous_url: str = ""
    next_url: str = ""
    previous: str = "← Previous"


class Sorting(msgspec.Struct, frozen=True):
    """What a heading does where the caller's store sorts by other words than a column's key."""

    url: str
    direction: Literal["", "ascending", "descending"] = ""


class Selecting(msgspec.Struct, frozen=True):
    """A box before each row, so that a form elsewhere on the page can act on the chosen ones.

    The value is the row's key, `field` its name in the form with the id `form`, `verb` begins its accessible name.
    """

    form: str
    field: str
    verb: str = "Choose"


class _Heading(msgspec.Struct, frozen=True):
    column: Column
    url: str
    direction: str


class _Frame(msgspec.Struct, frozen=True):
    """What surrounds the rows: the same for both ways of rendering."""

    columns: Sequence[Column]
    query: Mapping[str, str]
    path: str
    name: str
    choices: Sequence[Choice]
    searchable: bool
    caption: str
    empty: Markup
    sort: str
    text: str
    chosen: Mapping[str, str]
    sorting: Mapping[str, Sorting] = {}
    selecting: Selecting | None = None
    pinned: bool = False

    def headings(self) -> list[_Heading]:
        return [self._heading(column) for column in self.columns]

    def _heading(self, column: Column) -> _Heading:
        if column.key in self.sorting:
            own = self.sorting[column.key]
            return _Heading(column, own.url, own.direction)
        if not column.sortable:
            return _Heading(column, "", "")
        current = self.sort.removeprefix("-") == column.key
        direction = "" if not current else "descending" if self.sort.startswith("-") else "ascending"
        # Numbers are looked at from the top, words from A: the first click does what is usually wanted.
        first = f"-{column.key}" if column.align == "right" else column.key
        other = column.key if self.sort.startswith("-") else f"-{column.key}"
        return _Heading(column, self.url(sort=other if current else first, page=None), direction)

    def url(self, **changes: str | None) -> str:
        named = {parameter(self.name, key): value for key, value in changes.items()}
        return url_with(self.path, self.query, named)

    def kept(self) -> dict[str, str]:
        """Parameters of the URL that the filter form must carry along as hidden fields."""
        own = {parameter(self.name, key) for key in ("q", "page", *(choice.key for choice in self.choices))}
        return {key: value for key, value in self.query.items() if key not in own}

    def cleared_url(self) -> str:
        return self.url(q=None, page=None, **{choice.key: None for choice in self.choices})

    def render(self, rows: Sequence[Row], paging: Paging) -> Markup:
        template = kit_environment().get_template("kit/table.html")
        cells = [(row, [(c, cell_text(c, row.cells.get(c.key))) for c in self.columns]) for row in rows]
        return Markup(template.render(frame=self, rows=cells, paging=paging, parameter=parameter))


def table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    query: Mapping[str, str] | None = None,
    *,
    path: str = "",
    name: str = "",
    choices: Sequence[Choice] = (),
    searchable: bool = True,
    default_sort: str = "",
    page_rows: int = 50,
    caption: str = "",
    empty: Markup = NO_ROWS,
) -> Markup:
    """Render an in-memory list of rows as a table that its URL sorts, filters and pages.

    `query` is the URL's query as a mapping; every link keeps the parameters it does not change. `empty` is
    shown when there are no rows at all; a filter that matches none offers to be cleared.
    """
    query = query or {}
    found = select_rows(
        columns, rows, query, name=name, choices=choices, default_sort=default_sort, page_rows=page_rows
    )
    frame = _Frame(
        columns=columns, query=query, path=path, name=name, choices=choices, caption=caption, empty=empty,
        searchable=searchable and bool(rows), sort=found.sort, text=found.text, chosen=found.chosen,
    )  # fmt: skip
    return frame.render(found.rows, _paging(frame, found, page_rows))


def _paging(frame: _Frame, found: Selection, page_rows: int) -> Paging:
    first = (found.page - 1) * page_rows + 1
    label = f"{first:,}–{first + len(found.rows) - 1:,} of {found.matched:,}" if found.rows else ""
    if found.pages == 1:
        label = f"{found.matched:,} of {found.total:,}" if found.matched != found.total else ""
    return Paging(
        label=label,
        previous_url=frame.url(page=str(found.page - 1)) if found.page > 1 else "",
        next_url=frame.url(page=str(found.page + 1)) if found.page < found.pages else "",
    )


def render_table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    query: Mapping[str, str] | None = None,
    *,
    paging: Paging | None = None,
    path: str = "",
    name: str = "",
    choices: Sequence[Choice] = (),
    searchable: bool = False,
    default_sort: str = "",
    caption: str = "",
    empty: Markup = NO_ROWS,
    sorting: Mapping[str, Sorting] | None = None,
    selecting: Selecting | None = None,
    pinned: bool = False,
) -> Markup:
    """Render rows that are already sorted, filtered and cut; nothing is done to them here.

    Headings link to `sort=` and the form sends `q=` and the choices; the caller's store must obey them, so
    columns it cannot sort by say `sortable=False`. `sorting` gives columns, by key, links of their own. `pinned`
    keeps the first column in sight while the others scroll.
    """
    query = query or {}
    frame = _Frame(
        columns=columns, query=query, path=path, name=name, choices=choices, searchable=searchable,
        caption=caption, empty=empty, text=query.get(parameter(name, "q"), ""),
        sort=valid_sort(columns, query.get(parameter(name, "sort"), ""), default_sort),
        chosen=chosen_options(choices, query, name), sorting=sorting or {}, selecting=selecting,
        pinned=pinned,
    )  # fmt: skip
    return frame.render(rows, paging or Paging())
