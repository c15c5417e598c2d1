"""The grammar of searches: what is written is read back, what is compiled finds what a plain loop finds."""

from __future__ import annotations

import contextlib
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.base import events, lineage
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import InvalidError
from holdfast.tracking import store
from holdfast.tracking.filter import (
    NUMERIC,
    PRESENCE,
    And,
    Comparison,
    Or,
    parse,
    parse_order,
    render,
)
from holdfast.tracking.records import DatasetUsed, LoggedPoint, RunInput
from holdfast.tracking.service import ExperimentService, RunService
from holdfast.tracking.store import search
from holdfast.tracking.store.search import RUNS

ANN = Context(Actor("ann"))
KEYS = st.sampled_from(["m", "val loss", "a.b", "x-1", "a/b", "lr:0"])
TEXTS = st.sampled_from(["", "a", "A", "ab", "it's", 'say "x"', "100%", "a_b", "a*b?[c", "AND", "日本"])
PATTERNS = st.text(alphabet="aAb%_*?['", max_size=5)
NUMBERS = st.one_of(st.integers(-3, 3), st.floats(-3, 3).map(lambda value: round(value, 2)))


def texts(kind: str, keys):
    return st.one_of(
        st.builds(Comparison, st.just(kind), keys, st.sampled_from(["=", "!="]), TEXTS),
        st.builds(Comparison, st.just(kind), keys, st.sampled_from(["LIKE", "ILIKE"]), PATTERNS),
        st.builds(
            Comparison,
            st.just(kind),
            keys,
            st.sampled_from(["IN", "NOT IN"]),
            st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
        ),
    )


COMPARISONS = st.one_of(
    st.builds(Comparison, st.just("metric"), KEYS, st.sampled_from(NUMERIC), NUMBERS),
    texts("parameter", KEYS),
    texts("tag", KEYS),
    texts("attribute", st.sampled_from(["run_name", "status", "user_id", "run_id"])),
    texts("dataset", st.sampled_from(["name", "digest", "context"])),
    st.builds(
        Comparison, st.just("attribute"), st.just("start_time"), st.sampled_from(NUMERIC), st.integers(0, 8)
    ),
    st.builds(
        Comparison,
        st.sampled_from(["metric", "parameter", "tag"]),
        KEYS,
        st.sampled_from(PRESENCE),
        st.none(),
    ),
)


def joined(children):
    parts = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(And, parts), st.builds(Or, parts))


CONDITIONS = st.recursive(COMPARISONS, joined, max_leaves=6)


@given(CONDITIONS)
def test_what_is_rendered_is_read_back(condition):
    assert parse(render(condition), RUNS) == condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.m<1e-3", Comparison("metric", "m", "<", 1e-3)),
        ('  params.`a b` = "x" ', Comparison("parameter", "a b", "=", "x")),
        ("tags.\"a b\" = 'x'", Comparison("tag", "a b", "=", "x")),
        ("`metrics`.m > .5", Comparison("metric", "m", ">", 0.5)),
        ("metrics.a.b.c >= -1", Comparison("metric", "a.b.c", ">=", -1)),
        ("attributes.run_id in ('a', 'b')", Comparison("attribute", "run_id", "IN", ("a", "b"))),
        ("status = 'FINISHED'", Comparison("attribute", "status", "=", "FINISHED")),
        ("attributes.`Run Name` like 'a%'", Comparison("attribute", "run_name", "LIKE", "a%")),
        ("Created > 5", Comparison("attribute", "start_time", ">", 5)),
        ("tags.x is not null", Comparison("tag", "x", "IS NOT NULL")),
        ("params.x Not In ('1')", Comparison("parameter", "x", "NOT IN", ("1",))),
    ],
)
def test_spellings_of_mlflow(text, expected):
    assert parse(text, RUNS) == expected


def test_and_binds_closer_than_or():
    a, b, c = (Comparison("tag", key, "=", "1") for key in "abc")
    assert parse("tags.a='1' OR tags.b='1' and tags.c='1'", RUNS) == Or((a, And((b, c))))
    assert parse("(tags.a='1' OR tags.b='1') and tags.c='1'", RUNS) == And((Or((a, b)), c))
    assert parse("", RUNS) is None
    assert parse("  ", RUNS) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics.m", "comparison"),
        ("metrics.m >", "a number for metrics.m but found the end"),
        ("metrics.m > 'x'", "a number"),
        ("metrics.m LIKE 'x'", "takes =, !="),
        ("params.p > 'x'", "Invalid comparator '>'"),
        ("params.p = 5", "quoted text"),
        ("nothing.p = '5'", "Invalid entity type 'nothing'"),
        ("attributes.nothing = '5'", "Invalid attribute key"),
        ("datasets.nothing = '5'", "Invalid dataset key"),
        ("datasets.name IS NULL", "Invalid comparator"),
        ("start_time IS NULL", "Invalid comparator"),
        ("(tags.a = 'x'", "closing parenthesis"),
        ("tags.a = 'x')", "AND, OR or the end"),
        ("tags.a = 'x' tags.b = 'y'", "AND, OR or the end"),
        ("tags.a = 'x' AND", "found the end"),
        ("tags.a = 'x", "at character"),
        ("tags.a IN ()", "quoted text"),
        ("'a' = 'a'", "a field"),
        (";drop table run", "at character 1"),
        ("(" * 60 + "tags.a='1'" + ")" * 60, "parentheses"),
        (" AND ".join(["tags.a='1'"] * 101), "more than 100"),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_with_the_place(text, said):
    with pytest.raises(InvalidError, match=re.escape(said)):
        parse(text, RUNS)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(InvalidError):
        parse(text, RUNS)


def test_orders():
    assert parse_order("metrics.`val loss` DESC", RUNS).key == "val loss"
    assert parse_order("start_time", RUNS).ascending
    assert not parse_order("attributes.start_time desc", RUNS).ascending
    for text in ("", "metrics.m down", "metrics.m DESC x", "datasets.name", "'", "status ="):
        with pytest.raises(InvalidError):
            parse_order(text, RUNS)


class World:
    """Some runs, in the database and in memory."""

    def __init__(self, ledger):
        clock = SimulatedClock(1_000_000)
        self.experiments = ExperimentService(ledger, clock)
        self.service = RunService(ledger, clock, self.experiments, random.Random(3))
        rng = random.Random(11)
        keys = ["m", "val loss", "a.b", "x-1"]
        values = ["", "a", "A", "ab", "it's", "100%", "a_b", "a*b?[c", "日本"]
        for number in range(40):
            tags = [(key, rng.choice(values)) for key in keys if rng.random() < 0.5]
            run = self.service.create(
                ANN,
                "0",
                name=rng.choice(["a", "A", "ab"]),
                user=rng.choice(["a", "ab"]),
                started_at=rng.randrange(8) * 1000 + rng.randrange(1000),
                tags=tags,
            )
            points = [
                LoggedPoint(key, rng.choice([float("nan"), float("inf"), 0.0, 1.0, -1.5, 2.0]), 5, step)
                for key in keys
                for step in range(rng.randrange(3))
            ]
            parameters = [(key, rng.choice(values)) for key in keys if rng.random() < 0.5]
            self.service.log_batch(ANN, run.run_id, points, parameters)
            if number % 3 == 0:
                given = RunInput(
                    DatasetUsed(rng.choice(["a", "ab"]), rng.choice(["d1", "A"])),
                    {"mlflow.data.context": "ab"} if number % 2 else {},
                )
                self.service.log_inputs(ANN, run.run_id, [given])
            if number % 5 == 0:
                self.service.update(ANN, run.run_id, status="finished", ended_at=9000)
        self.runs = self.service.search(ANN, ["0"]).runs


def matches(run, condition) -> bool:
    if isinstance(condition, And):
        return all(matches(run, part) for part in condition.parts)
    if isinstance(condition, Or):
        return any(matches(run, part) for part in condition.parts)
    operator, value = condition.operator, condition.value
    if condition.key == "status" and condition.kind == "attribute":
        value = tuple(map(str.upper, value)) if isinstance(value, tuple) else value.upper()
    found = fields(run, condition)
    if operator in PRESENCE:
        return (operator == "IS NULL") == (not found)
    return any(compare(item, operator, value) for item in found)


def fields(run, condition):
    kind, key = condition.kind, condition.key
    if kind == "metric":
        return [metric.value for metric in run.metrics if metric.key == key]
    if kind == "parameter":
        return [run.parameters[key]] if key in run.parameters else []
    if kind == "tag":
        return [run.tags[key]] if key in run.tags else []
    if kind == "dataset" and key == "context":
        return [given.tags["mlflow.data.context"] for given in run.inputs if given.tags]
    if kind == "dataset":
        return [getattr(given.dataset, key) for given in run.inputs]
    attributes = {
        "run_name": run.name,
        "status": run.status.upper(),
        "user_id": run.user,
        "run_id": run.run_id,
        "start_time": run.started_at // 1000,
    }
    return [attributes[key]]


def compare(item, operator, value) -> bool:
    if operator in ("LIKE", "ILIKE"):
        pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in value)
        flags = re.DOTALL | (re.IGNORECASE if operator == "ILIKE" else 0)
        return re.fullmatch(pattern, item, flags) is not None
    if operator in ("IN", "NOT IN"):
        return (item in value) == (operator == "IN")
    if item != item:
        return False
    return {
        "=": item == value,
        "!=": item != value,
        "<": item < value if operator == "<" else False,
        "<=": item <= value if operator == "<=" else False,
        ">": item > value if operator == ">" else False,
        ">=": item >= value if operator == ">=" else False,
    }[operator]


@pytest.fixture
def world(ledger_factory, monkeypatch):
    monkeypatch.setattr(search, "_FEW_MOST", search._FEW_MOST)
    return World(ledger_factory((*events.MIGRATIONS, *lineage.MIGRATIONS, *store.MIGRATIONS)))


ORDERS = st.lists(
    st.sampled_from(
        [
            "metrics.m",
            "metrics.m DESC",
            "metrics.`val loss` DESC",
            "params.m",
            "tags.`x-1` DESC",
            "end_time",
            "start_time",
            "run_name DESC",
        ]
    ),
    max_size=2,
    unique_by=lambda text: text.split()[0],
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(condition=CONDITIONS, orders=ORDERS, size=st.integers(1, 7), few=st.sampled_from([0, 3, 2000]))
def test_a_search_finds_what_a_plain_loop_finds_page_by_page(world, condition, orders, size, few):
    # However many runs count as few, which decides how they are looked for, the answer is the same.
    search._FEW_MOST = few
    expected = [run for run in world.runs if matches(run, condition)]
    found, page = [], None
    while True:
        answer = world.service.search(
            ANN, ["0"], condition=render(condition), order_by=orders, limit=size, page=page
        )
        found.extend(answer.runs)
        page = answer.next_page
        if page is None:
            break
        assert len(answer.runs) == size
    assert [run.run_id for run in found] == [run.run_id for run in in_order(expected, orders)]


def in_order(runs, orders):
    ordered = sorted(runs, key=lambda run: run.run_id)
    if not any(text.startswith("start_time") for text in orders):
        ordered.sort(key=lambda run: run.started_at, reverse=True)
    for text in reversed(orders):
        order = parse_order(text, RUNS)
        groups: dict[int, list] = {0: [], 1: [], 2: []}
        for run in ordered:
            groups[rank(run, order)].append(run)
        groups[0].sort(key=lambda run: sort_value(run, order), reverse=not order.ascending)
        ordered = [run for number in sorted(groups) for run in groups[number]]
    return ordered


def sort_value(run, order):
    if order.key == "start_time":
        return run.started_at
    if order.key == "end_time":
        return run.ended_at
    found = fields(run, order)
    # PostgreSQL and SQLite order texts by their bytes.
    return found[0].encode() if found and isinstance(found[0], str) else (found[0] if found else None)


def rank(run, order):
    value = sort_value(run, order)
    if value is None:
        return 2
    return 1 if value != value else 0
