"""The filter box above the table of runs: what was typed, what is wrong with it and where, and how to write one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from holdfast.base.errors import HoldfastError
from holdfast.tracking.comparison import better
from holdfast.tracking.run_records import RunSummary
from holdfast.ui.kit import QueryBox
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.page import PageRequest
from holdfast.ui.runs.columns import Chosen
from holdfast.ui.runs.curves import is_system

_AT = re.compile(r"at character (\d{1,6})")
_QUOTED = re.compile(r"'([^']{1,200})'")
_AT_THE_END = "found the end"
_PLACE_CHARACTERS = 60

GRAMMAR: tuple[tuple[str, str], ...] = (
    ("metrics.loss < 0.3", "the latest value: =, !=, <, <=, >, >="),
    (
        "params.optimizer = 'adam'",
        "a parameter or tag, always text in quotes: =, !=, LIKE, ILIKE, IN, NOT IN",
    ),
    ("tags.team IN ('rides', 'fraud')", "one of several"),
    ("params.depth IS NULL", "what a run does not have; IS NOT NULL for what it has"),
    (
        "run_name ILIKE '%forest%'",
        "also user_id and run_id; % stands for anything",
    ),
    ("status = 'finished'", "or running, scheduled, failed, killed"),
    ("start_time > '2026-01-31'", "also end_time: an ISO time in UTC, or milliseconds since 1970"),
    ("datasets.name = 'rides'", "what it read: name, digest, context"),
    ("metrics.`val loss` < 1", "backticks around a key with spaces"),
    ("… AND (… OR …)", "AND binds stronger than OR; parentheses say otherwise"),
)


class Example(msgspec.Struct, frozen=True):
    """A filter that works on the runs at hand, and where it leads."""

    text: str
    url: str


class SearchBox(QueryBox, frozen=True):
    """The box with how to write a filter, in words and by examples."""

    grammar: tuple[tuple[str, str], ...] = GRAMMAR
    examples: tuple[Example, ...] = ()


def search_box(
    text: str, error: HoldfastError | None, runs: Sequence[RunSummary], request: PageRequest
) -> SearchBox:
    """The box for a page of runs; `error` is what the search said of the text."""
    examples = tuple(Example(one, _url(request, one)) for one in _examples(runs))
    if error is None:
        return SearchBox(text, examples=examples)
    before, wrong, behind = place_of(str(error), text)
    return SearchBox(text, str(error), before, wrong, behind, examples=examples)


def place_of(message: str, text: str) -> tuple[str, str, str]:
    """The text split around the place that a message names, by its character or by a word that stands there once.

    Three empty texts where it names none.

    Example:
        >>> place_of("expected a number but found 'x' at character 11", "metrics.a x")
        ('metrics.a ', 'x', '')
        >>> place_of("Invalid entity type 'wheels'", "wheels.x = 1")
        ('', 'wheels', '.x = 1')
    """
    if _AT_THE_END in message:
        return text[-_PLACE_CHARACTERS:], " ", ""
    found, quoted = _AT.search(message), _QUOTED.search(message)
    if found is not None and 0 < int(found[1]) <= len(text):
        start = int(found[1]) - 1
        word = re.match(r"\S+", text[start:])
        stop = start + (len(word[0]) if word else 1)
    elif quoted is not None and text.count(quoted[1]) == 1:
        start = text.index(quoted[1])
        stop = start + len(quoted[1])
    else:
        return "", "", ""
    first = max(0, start - _PLACE_CHARACTERS)
    return ("…" if first else "") + text[first:start], text[start:stop], text[stop : stop + _PLACE_CHARACTERS]


def _examples(runs: Sequence[RunSummary]) -> list[str]:
    """Filters over what these runs have, so that a click shows what a filter does."""
    found: list[str] = []
    metric = next(
        ((key, float(value)) for run in runs for key, value in run.metrics.items() if not is_system(key)),
        None,
    )
    parameter = next((item for run in runs for item in run.parameters.items() if len(item[1]) < 30), None)
    if metric is not None and metric[1] == metric[1]:
        operator = "<=" if better(metric[0]) == "lower" else ">="
        found.append(f"{Chosen('metrics', metric[0]).field} {operator} {metric[1]:.4g}")
    if parameter is not None:
        value = parameter[1].replace("'", "''")
        found.append(f"{Chosen('params', parameter[0]).field} = '{value}'")
    if len(found) > 1:
        found.append(f"{found[0]} OR {found[1]}")
    return [*found, "status = 'FAILED'"]


def _url(request: PageRequest, text: str) -> str:
    return url_with(request.path, request.query, {"filter": text, "after": None, "from": None})
