"""`/runs`: every run, whoever logged it, as a table whose filter, columns, order and page are in the URL."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.tracking.records import View as RunView
from holdfast.tracking.run_records import ExperimentSummary, RunSearch, RunsFound, RunSummary
from holdfast.ui import urls
from holdfast.ui.cells import clipped
from holdfast.ui.kit import Column, Paging, Row, Selecting, Sorting, badge, render_table
from holdfast.ui.kit.format import code_block, duration, number, time_tag
from holdfast.ui.kit.table_query import url_with
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.runs import columns as run_columns
from holdfast.ui.runs.columns import Chosen
from holdfast.ui.runs.search_box import search_box
from holdfast.ui.services import PageServices
from holdfast.ui.words import by, counted

PAGE_RUNS = 50
STATUSES = ("running", "scheduled", "finished", "failed", "killed")
_VIEWS: dict[str, RunView] = {"deleted": "deleted", "all": "all"}
_DEFAULT_ORDER = "start_time DESC"
_SELECTING = Selecting(form="compare", field="runs", verb="Choose")
_EMPTY = Markup(
    "<h3>No runs yet</h3><p>A run appears when a model is trained, by holdfast or by any MLflow client that"
    " points here.</p>{}"
).format(code_block("$ holdfast train FILE\n$ holdfast runs list"))


class RunsData(msgspec.Struct, frozen=True):
    """A page of runs as data; `columns` are those that the table shows."""

    runs: tuple[RunSummary, ...]
    next_after: str | None
    columns: tuple[str, ...]
    experiments: tuple[ExperimentSummary, ...]


class Asked(msgspec.Struct, frozen=True):
    """What the URL asks for."""

    text: str
    experiments: tuple[str, ...]
    status: str
    view: RunView
    columns: tuple[str, ...]
    order: str
    after: str | None
    first: int

    @property
    def narrowed(self) -> bool:
        """Whether anything but the experiments leaves runs out."""
        return bool(self.text or self.status)


def asked_of(request: PageRequest) -> Asked:
    """Reads the URL; a status or view that there is not is ignored, like a filter of any other table."""
    query = request.query
    status, first = query.get("status", ""), query.get("from", "1")
    return Asked(
        text=query.get("filter", "").strip(),
        experiments=tuple(value for key, value in request.pairs if key == "experiment" and value),
        status=status if status in STATUSES else "",
        view=_VIEWS.get(query.get("view", ""), "active"),
        columns=tuple(request.values("columns")),
        order=query.get("order_by", "").strip(),
        after=query.get("after") or None,
        first=int(first) if first.isascii() and first.isdigit() and len(first) < 9 else 1,
    )


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """Runs that fulfil the filter; a filter that cannot be read is said at its box, with status 400."""
    asked = asked_of(request)
    experiments = services.experiments(context)
    error: HoldfastError | None = None
    found = RunsFound(())
    try:
        found = services.runs.search(context, _search(asked))
    except HoldfastError as refused:
        error = _about_own_text(services, context, asked, refused)
    chosen = run_columns.parse(asked.columns) or run_columns.defaults(found.runs)
    page = head(
        services,
        request,
        "Runs",
        tab="Runs",
        subtitle=_summary(asked, experiments),
        command=_command(asked),
        live=asked.after is None and error is None,
        stateful=True,
    )
    names = tuple(item.name for item in chosen)
    data: Any = RunsData(found.runs, found.next_after, names, experiments)
    parts = {
        "asked": asked,
        "box": search_box(asked.text, error, found.runs, request),
        "kept": _kept(request),
        "experiments": [
            (item.name, bool(asked.experiments) and item in _chosen(asked, experiments))
            for item in experiments
            if item.lifecycle == "active" or item.name in asked.experiments
        ],
        "statuses": STATUSES,
        "offered": run_columns.offered(found.runs, chosen),
        "titles": run_columns.TITLES,
        "chosen": set(names),
        "own_columns": bool(asked.columns),
        "default_url": url_with(request.path, request.query, {"columns": None}),
        "cleared_url": _cleared(request),
        "path": request.path,
        "pairs": [(key, value) for key, value in request.pairs if key not in ("columns", "after", "from")],
        "table": _table(services, request, asked, found, chosen, experiments, page.now_at)
        if error is None
        else "",
        "comparable": len(found.runs) > 1,
        "nothing_at_all": not found.runs and not asked.narrowed and not asked.experiments,
    }
    if error is not None:
        return View("runs.html", page, error.envelope(), parts, error.status)
    return View("runs.html", page, data, parts)


def _condition(asked: Asked) -> str:
    status = f"attributes.status = '{asked.status.upper()}'" if asked.status else ""
    if not (status and asked.text):
        return status or asked.text
    return f"{status} AND ({asked.text})"


def _search(asked: Asked) -> RunSearch:
    return RunSearch(
        filter=_condition(asked),
        order_by=(asked.order,) if asked.order else (),
        experiments=asked.experiments,
        view=asked.view,
        limit=PAGE_RUNS,
        after=asked.after,
    )


def _about_own_text(
    services: PageServices, context: Context, asked: Asked, refused: HoldfastError
) -> HoldfastError:
    """The same error about the reader's own text, so that it counts the characters that stand in the box."""
    try:
        services.runs.search(context, RunSearch(filter=asked.text, limit=1))
    except InvalidError as error:
        return error
    except HoldfastError:
        pass
    return refused


def _chosen(asked: Asked, experiments: Sequence[ExperimentSummary]) -> list[ExperimentSummary]:
    """The experiments that the URL names, by name or id; all where it names none."""
    wanted = set(asked.experiments)
    return [item for item in experiments if not wanted or wanted & {item.name, item.experiment_id}]


def _summary(asked: Asked, experiments: Sequence[ExperimentSummary]) -> str:
    """How many there are, where that is known without counting."""
    of = _chosen(asked, experiments)
    active, running = sum(item.runs for item in of), sum(item.runs_running for item in of)
    where = counted(len([item for item in of if item.runs]), "experiment")
    words = f"{counted(active, 'run')} in {where}" if active else ""
    return f"{words}, {number(running)} under way." if running else f"{words}." if words else ""


def _command(asked: Asked) -> str:
    """The command that prints this page."""
    words = ["holdfast", "runs", "list"]
    words += [word for name in asked.experiments for word in ("--experiment", name)]
    words += ["--filter", condition] if (condition := _condition(asked)) else []
    words += ["--order-by", asked.order] if asked.order else []
    words += ["--columns", ",".join(("name", "status", *asked.columns))] if asked.columns else []
    return shlex.join([*words, *(["--deleted"] if asked.view == "deleted" else [])])


def _kept(request: PageRequest) -> list[tuple[str, str]]:
    """What the search form carries along."""
    return [(key, value) for key, value in request.pairs if key in ("columns", "order_by")]


def _cleared(request: PageRequest) -> str:
    gone = ("filter", "experiment", "status", "view", "after", "from", "order_by")
    return url_with(request.path, request.query, dict.fromkeys(gone))


def _table(
    services: PageServices,
    request: PageRequest,
    asked: Asked,
    found: RunsFound,
    chosen: Sequence[Chosen],
    experiments: Sequence[ExperimentSummary],
    now: Micros,
) -> Markup:
    simulated = services.clock.simulated
    columns = (
        Column("run", "Run"),
        Column("status", "Status", formatter=badge),
        Column("started", "Started", align="right", formatter=lambda at: time_tag(at, now)),
        *(_column(item) for item in chosen),
        *(() if simulated else (Column("took", "Took", align="right", sortable=False, formatter=duration),)),
        *(() if len(asked.experiments) == 1 else (Column("experiment", "Experiment", sortable=False),)),
        Column("by", "By"),
    )
    rows = [_row(run, chosen, now) for run in found.runs]
    return render_table(
        columns,
        rows,
        dict(request.query),
        path=request.path,
        caption="Runs",
        paging=_paging(request, asked, found, experiments),
        sorting=_sorting(request, asked, chosen),
        selecting=_SELECTING if len(rows) > 1 else None,
        empty=_nothing(asked, request),
    )


def _column(chosen: Chosen) -> Column:
    if chosen.kind == "metrics":
        return Column(chosen.name, chosen.key, align="right", formatter=number, hint=chosen.name)
    return Column(chosen.name, chosen.key, formatter=clipped, hint=chosen.name)


def _row(run: RunSummary, chosen: Sequence[Chosen], now: Micros) -> Row:
    name = clipped(run.name)
    deleted = Markup('{} <span class="muted">deleted</span>').format(name)
    cells = {
        "run": name if run.lifecycle == "active" else deleted,
        "status": run.status,
        "experiment": Markup('<a class="over" href="{}">{}</a>').format(
            urls.runs_of(run.experiment), clipped(run.experiment)
        ),
        **{item.name: item.value(run) for item in chosen},
        "took": (run.ended_at if run.ended_at is not None else now) - run.started_at,
        "by": by(run.created_by),
        "started": run.started_at,
    }
    return Row(cells, urls.run(run.run_id), run.run_id)


def _sorting(request: PageRequest, asked: Asked, chosen: Sequence[Chosen]) -> dict[str, Sorting]:
    """Where a click on a heading leads: the best first, then the other way round."""
    fields = {
        "run": ("run_name", "ASC"),
        "status": ("status", "ASC"),
        "by": ("user_id", "ASC"),
        "started": ("start_time", "DESC"),
        **{item.name: (item.field, item.first_direction) for item in chosen},
    }
    current = asked.order or _DEFAULT_ORDER
    return {key: _sorted(request, current, field, first) for key, (field, first) in fields.items()}


def _sorted(request: PageRequest, current: str, field: str, first: str) -> Sorting:
    is_current = current in (field, f"{field} ASC", f"{field} DESC")
    descending = current.endswith(" DESC")
    wanted = ("ASC" if descending else "DESC") if is_current else first
    url = url_with(
        request.path, request.query, {"order_by": f"{field} {wanted}", "after": None, "from": None}
    )
    return Sorting(url, ("descending" if descending else "ascending") if is_current else "")


def _paging(
    request: PageRequest, asked: Asked, found: RunsFound, experiments: Sequence[ExperimentSummary]
) -> Paging:
    if not found.runs:
        return Paging()
    last = asked.first + len(found.runs) - 1
    of = _chosen(asked, experiments)
    total = {
        "active": sum(item.runs for item in of),
        "deleted": sum(item.runs_deleted for item in of),
        "all": sum(item.runs + item.runs_deleted for item in of),
    }[asked.view]
    more = " and more" if found.next_after else ""
    label = f"{asked.first:,}–{last:,}" + (f"{more}" if asked.narrowed else f" of {max(total, last):,}")
    changes = {"after": found.next_after, "from": str(last + 1)}
    return Paging(
        label,
        url_with(request.path, request.query, {"after": None, "from": None}) if asked.after else "",
        url_with(request.path, request.query, changes) if found.next_after else "",
        "← First page",
    )


def _nothing(asked: Asked, request: PageRequest) -> Markup:
    if asked.narrowed or asked.experiments or asked.after or asked.view == "deleted":
        what = (
            "No run is deleted here." if asked.view == "deleted" and not asked.narrowed else "No run matches."
        )
        return Markup('<p>{} <a href="{}">Clear the filter</a> to see all runs.</p>').format(
            what, _cleared(request)
        )
    return _EMPTY
