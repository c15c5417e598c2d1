"""The table of runs: filter, columns, order and page in the URL, and a wrong filter said at its box."""

from __future__ import annotations

import re
import time
from html import unescape
from urllib.parse import urlencode

import pytest

from holdfast.tracking.run_records import RunSummary
from holdfast.ui.runs import columns, search_box
from tests.ui import logged
from tests.ui.runs.conftest import Logged

SEARCH = {"experiment": logged.SEARCH}
BUDGET_S = 0.06


def address(**query: str) -> str:
    return f"/runs?{urlencode(query)}"


def names(page: str) -> list[str]:
    """The runs of the table, in its order."""
    return re.findall(r'class="row-link" href="[^"]*"><span class="clipped" title="([^"]*)"', page)


def test_every_run_is_listed_whoever_logged_it(home: Logged) -> None:
    page = home.page("/runs")
    count = sum(item["runs"] for item in home.client.get("/runs.json").json()["experiments"])
    assert count >= 125
    assert len(names(page)) == 50
    assert f"1–50 of {count}" in page
    assert f"{count} runs in " in page


def test_a_filter_with_or_and_parentheses_narrows_the_table(home: Logged) -> None:
    found = home.client.get(
        "/runs.json",
        params={
            **SEARCH,
            "filter": "metrics.loss < 0.45 AND (params.optimizer = 'adam' OR params.depth = '4')",
        },
    ).json()["runs"]
    assert found
    for run in found:
        assert run["metrics"]["loss"] < 0.45
        assert run["parameters"]["optimizer"] == "adam" or run["parameters"]["depth"] == "4"


def test_status_and_filter_go_together(home: Logged) -> None:
    query = {"status": "failed", "filter": "params.depth = '4' OR params.depth = '6'"}
    found = home.client.get("/runs.json", params=query).json()["runs"]
    assert found
    assert {run["status"] for run in found} == {"failed"}
    assert {run["parameters"]["depth"] for run in found} <= {"4", "6"}
    assert "--filter &#39;attributes.status = &#39;&#34;&#39;&#34;&#39;FAILED" in home.page(address(**query))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("metrics.loss < 0.3 AND", " "),
        ("metrics.loss < 'low'", "'low'"),
        ("params.depth = 4", "4"),
        ("metrics.loss < 0.3 OR metrics.loss metrics.loss > 1", "metrics.loss"),
        ("metrics.loss < 0.3 AND wheels.x = 1", "wheels"),
        ("metrics.loss LIKE 'x'", "LIKE"),
        ("(metrics.loss < 0.3", " "),
    ],
)
def test_a_wrong_filter_is_said_at_its_box_with_the_place_and_an_example(
    home: Logged, text: str, wrong: str
) -> None:
    page = home.page(address(filter=text, status="failed"), 400)
    assert 'aria-invalid="true" aria-describedby="filter-error"' in page
    assert f"<mark>{wrong.replace(chr(39), '&#39;')}</mark>" in page
    assert "For example:" in page
    assert unescape(re.findall(r'name="filter" value="([^"]*)"', page)[0]) == text
    answer = home.client.get("/runs.json", params={"filter": text})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "wheels.x = 1"},
        {"filter": "status LIKE"},
        {"filter": "'" * 4000},
        {"filter": "(" * 300},
        {"order_by": "metrics.loss SIDEWAYS"},
        {"order_by": "datasets.name"},
        {"after": "nonsense"},
        {"experiment": "no such experiment"},
    ],
)
def test_what_cannot_be_searched_is_a_page_and_never_a_500(home: Logged, query: dict[str, str]) -> None:
    answer = home.client.get("/runs", params=query)
    assert answer.status_code in (400, 404), answer.text
    assert 'class="query-error"' in answer.text


def test_what_a_url_chooses_badly_is_ignored(home: Logged) -> None:
    page = home.page("/runs?status=exploded&view=sideways&columns=nonsense,,metrics.,params.depth&from=x")
    assert "params.depth" in page


def test_columns_are_chosen_in_the_url_and_offered_in_a_form(home: Logged) -> None:
    page = home.page(address(columns="metrics.val_loss,params.optimizer,tags.team", **SEARCH))
    heads = re.findall(r'<th scope="col"[^>]*>(?:<a[^>]*>)?([^<]*)', page)
    assert [head for head in heads if head in ("val_loss", "optimizer", "team")] == [
        "val_loss",
        "optimizer",
        "team",
    ]
    assert "accuracy" not in heads
    assert 'name="columns" value="metrics.val_loss" checked' in page
    again = home.page("/runs?columns=metrics.val_loss&columns=params.optimizer&columns=")
    assert 'name="columns" value="params.optimizer" checked' in again


def test_columns_tell_runs_apart_by_default(home: Logged) -> None:
    data = home.client.get("/runs.json", params=SEARCH).json()
    assert set(data["columns"]) >= {
        "metrics.loss",
        "metrics.val_loss",
        "params.depth",
        "params.learning_rate",
    }
    assert "params.epochs" not in data["columns"], "what is the same everywhere tells nothing"


def test_a_click_on_a_heading_sorts_the_best_first_and_then_the_other_way(home: Logged) -> None:
    page = home.page(address(**SEARCH))
    heads = {
        title: unescape(url)
        for url, title in re.findall(r'<a href="([^"]*order_by[^"]*)">([^<]*)<span', page)
    }
    assert "order_by=metrics.loss+ASC" in heads["loss"], "less loss is better"
    assert "order_by=metrics.accuracy+DESC" in heads["accuracy"]
    losses = [
        run["metrics"]["loss"]
        for run in home.client.get(f"/runs.json?{heads['loss'].split('?')[1]}").json()["runs"]
    ]
    assert losses == sorted(losses)
    sorted_page = home.page(heads["loss"])
    assert 'aria-sort="ascending"' in sorted_page
    assert "order_by=metrics.loss+DESC" in unescape(sorted_page)


def test_keys_with_spaces_sort_too(home: Logged) -> None:
    column = columns.Chosen("metrics", "layer01/grad norm")
    page = home.page(address(columns=column.name, order_by=f"{column.field} DESC"))
    assert names(page)[0] == "resnet50-imagenet"


def test_pages_go_on_where_the_last_one_ended(home: Logged) -> None:
    seen: list[str] = []
    url: str | None = address(order_by="metrics.loss ASC", **SEARCH)
    labels = []
    while url:
        page = home.page(url)
        seen += names(page)
        labels += re.findall(r'<span class="muted">([\d,–]+ of \d+)</span>', page)
        found = re.search(r'rel="next" href="([^"]*)"', page)
        url = unescape(found[1]) if found else None
    assert len(seen) == len(set(seen)) == 120
    assert labels == ["1–50 of 120", "51–100 of 120", "101–120 of 120"]


def test_deleted_runs_are_a_view_of_their_own(home: Logged) -> None:
    runs = home.world.services.logged_runs
    runs.delete(logged.KIM, home.trials[0])
    try:
        found = home.client.get("/runs.json?view=deleted").json()["runs"]
        assert [run["run_id"] for run in found] == [home.trials[0]]
        assert "holdfast runs list --deleted" in home.page("/runs?view=deleted")
    finally:
        runs.restore(logged.KIM, home.trials[0])
    assert "No run is deleted here" in home.page("/runs?view=deleted")


def test_a_filter_that_nothing_matches_offers_to_be_cleared(home: Logged) -> None:
    page = home.page(address(filter="metrics.loss > 1000000"))
    assert "No run matches." in page
    assert "Clear the filter" in page


def test_hostile_words_are_shown_and_not_run(home: Logged) -> None:
    page = home.page(address(experiment=logged.HOSTILE, columns="params.evil,tags.evil"))
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    wrong = home.page(address(filter="<script>alert(1)</script>"), 400)
    assert "<script>alert" not in wrong


@pytest.mark.parametrize("query", ["", "?filter=metrics.loss+<+0.5&order_by=metrics.loss+ASC"])
def test_a_page_of_fifty_runs_is_drawn_within_its_budget(home: Logged, query: str) -> None:
    took = []
    for _ in range(8):
        start = time.process_time()
        home.page(f"/runs{query}")
        took.append(time.process_time() - start)
    assert min(took) < BUDGET_S, f"{query} takes {min(took) * 1000:.0f} ms"


def test_the_place_of_an_error_is_found_in_long_texts() -> None:
    text = f"{'metrics.a < 1 AND ' * 20}metrics.b ! 2"
    before, wrong, behind = search_box.place_of(f"found '!' at character {text.index('!') + 1}", text)
    assert (before.endswith("metrics.b "), before.startswith("…"), wrong, behind) == (True, True, "!", " 2")
    assert search_box.place_of("at character 99", "short") == ("", "", "")


def test_fields_are_quoted_as_the_grammar_needs(home: Logged) -> None:
    summary = RunSummary(
        "0" * 32, "r", "e", "0", "finished", "active", 0, 1, "kim", metrics={"a b": 1.0, "ü": 2.0}
    )
    for key in summary.metrics:
        field = columns.Chosen("metrics", key).field
        assert home.client.get("/runs.json", params={"filter": f"{field} > 0"}).status_code == 200


def test_jump_finds_runs_by_name_and_by_the_beginning_of_their_id(home: Logged) -> None:
    run_id = home.trials[0]
    assert home.client.get("/jump", params={"q": run_id[:10]}).headers["location"] == f"/runs/{run_id}"
    found = home.client.get("/jump.json", params={"q": "TRIAL-01"}).json()
    assert len(found) == 10
    assert {item["kind"] for item in found} == {"run"}
    assert home.client.get("/jump.json", params={"q": "it's % nothing"}).json() == []
