from hypothesis import given
from hypothesis import strategies as st

from holdfast.ui.kit.table import Paging, render_table, table
from holdfast.ui.kit.table_query import Choice, Column, Row, select_rows, url_with

_COLUMNS = (
    Column("name", "Name"),
    Column("score", "Score", align="right"),
    Column("state", "State"),
    Column("id", "Id", sortable=False),
)
_ROWS = (
    Row({"name": "v10", "score": 3.0, "state": "live", "id": "a"}, url="/v/10"),
    Row({"name": "v2", "score": None, "state": "failed", "id": "b"}, url="/v/2"),
    Row({"name": "V1", "score": float("nan"), "state": "live", "id": "c"}),
    Row({"name": "<script>", "score": 7, "state": "held", "id": "d"}, url="/v/x?a=1&b=2"),
)


def _names(query: dict[str, str], **options: object) -> list[str]:
    return [row.cells["name"] for row in select_rows(_COLUMNS, _ROWS, query, **options).rows]  # type: ignore[arg-type]


def test_text_sorts_naturally_and_numbers_by_size_with_missing_last() -> None:
    assert _names({"sort": "name"})[1:] == ["V1", "v2", "v10"]
    assert _names({"sort": "score"})[:2] == ["v10", "<script>"]
    assert _names({"sort": "-score"})[:2] == ["<script>", "v10"]
    assert set(_names({"sort": "-score"})[2:]) == {"v2", "V1"}


def test_filters_by_text_in_any_cell_and_by_choice() -> None:
    choice = (Choice("state", "State", ("live", "held")),)
    assert _names({"q": "LIVE"}) == ["v10", "V1"]
    assert _names({"state": "held"}, choices=choice) == ["<script>"]
    assert len(_names({"state": "no such state"}, choices=choice)) == 4


def test_nonsense_in_the_url_is_ignored() -> None:
    for query in (
        {"sort": "id"},
        {"sort": "--name"},
        {"page": "-3"},
        {"page": "x"},
        {"page": "²"},
        {"sort": ""},
    ):
        assert len(_names(query)) == 4
    assert _names({"page": "99"}, page_rows=3) == ["<script>"]


@given(
    st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans())),
    st.sampled_from(["name", "-name"]),
    st.integers(1, 7),
)
def test_pages_partition_the_rows_of_any_values(values: list[object], sort: str, page_rows: int) -> None:
    rows = [Row({"name": value, "id": index}) for index, value in enumerate(values)]
    first = select_rows(_COLUMNS, rows, {"sort": sort}, page_rows=page_rows)
    seen = [
        row.cells["id"]
        for page in range(1, first.pages + 1)
        for row in select_rows(_COLUMNS, rows, {"sort": sort, "page": str(page)}, page_rows=page_rows).rows
    ]
    assert sorted(seen) == list(range(len(values)))


def test_links_keep_the_other_parameters_and_start_again_at_page_one() -> None:
    html = table(_COLUMNS, _ROWS, {"q": "v", "page": "2", "tab": "a b"}, path="/models", default_sort="name")
    assert 'href="/models?q=v&amp;tab=a+b&amp;sort=-name"' in html
    assert 'href="/models?q=v&amp;tab=a+b&amp;sort=-score"' in html
    assert '<input type="hidden" name="tab" value="a b">' in html
    assert 'name="page"' not in html


def test_two_tables_on_one_page_do_not_share_parameters() -> None:
    html = table(_COLUMNS, _ROWS, {"a.sort": "name", "b.sort": "-score"}, name="b")
    assert html.count("aria-sort") == 1
    assert 'aria-sort="descending"' in html
    assert 'name="b.q"' in html
    assert "a.sort=name" in html


def test_cells_urls_and_queries_are_escaped() -> None:
    html = table(_COLUMNS, _ROWS, {"q": '"><script>'}) + table(_COLUMNS, _ROWS)
    assert "<script>" not in html
    assert 'href="/v/x?a=1&amp;b=2"' in html


def test_an_empty_table_teaches_and_an_empty_match_offers_to_clear() -> None:
    assert "Nothing here yet" in table(_COLUMNS, ())
    html = table(_COLUMNS, _ROWS, {"q": "zzz", "keep": "1"}, path="/m")
    assert "Nothing matches" in html
    assert 'href="/m?keep=1"' in html


def test_pre_paged_rows_are_drawn_as_given() -> None:
    html = render_table(
        _COLUMNS, _ROWS[:2], {"sort": "name"}, path="/m", paging=Paging("51–52 of 90", next_url="/m?after=v2")
    )
    assert html.index("v10") < html.index("v2")
    assert 'aria-sort="ascending"' in html
    assert 'rel="next" href="/m?after=v2"' in html
    assert 'rel="prev"' not in html


def test_url_with_removes_what_is_none() -> None:
    assert url_with("/a", {"x": "1"}, {"x": None}) == "/a"
    assert url_with("", {"x": "1"}, {"x": None}) == "?"
