"""The parts of a run's page: facts, parameters, metrics, tags, data, models, code and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from holdfast.base.clock import Micros
from holdfast.tracking.records import LoggedRun
from holdfast.tracking.run_records import RunDescription, RunSummary
from holdfast.ui import urls
from holdfast.ui.cells import link, long_text
from holdfast.ui.kit import Column, Fact, Row, badge, render_table, table
from holdfast.ui.kit.format import MISSING, code_block, duration, number, short_id, time_tag
from holdfast.ui.page import PageRequest
from holdfast.ui.runs.run_data import RunData
from holdfast.ui.words import by, metric_name, sentence

_SEARCHABLE_FROM = 10
_METRICS_A_PAGE = 20
_FEW = 3
_SOURCE_TAGS = {
    "mlflow.source.name": "Entry",
    "mlflow.source.type": "Started as",
    "mlflow.source.git.commit": "Commit",
    "mlflow.source.git.branch": "Branch",
    "mlflow.source.git.repoURL": "Remote",
}
_SHOWN_ELSEWHERE = frozenset(
    {*_SOURCE_TAGS, "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId", "mlflow.user"}
)


def facts(data: RunData, now: Micros, *, simulated: bool) -> tuple[Fact, ...]:
    """What every run has."""
    run = data.described.run
    running = run.ended_at is None
    took = duration((now if running else run.ended_at or now) - run.started_at)
    # A simulated clock stands still while something trains: a duration by it would be untrue.
    timed = () if simulated else (Fact("Took", f"{took} so far" if running else took),)
    parent = data.parent
    return (
        Fact("Status", badge(run.status)),
        Fact("Experiment", run.experiment, url=urls.runs_of(run.experiment)),
        *_made(data),
        *((Fact("Parent", parent.name, url=urls.run(parent.run_id)),) if parent else ()),
        Fact("Started", time_tag(run.started_at, now)),
        *timed,
        Fact("By", by(run.tags.get("mlflow.user") or run.created_by)),
        *((Fact("Seed", str(data.described.seed)),) if data.described.seed is not None else ()),
    )


def _made(data: RunData) -> tuple[Fact, ...]:
    """The registered versions that came of it."""
    made = {(item.name, item.version) for item in data.registered}
    if data.version is not None:
        made.add((data.version.name, data.version.version))
    words = [link(f"{name}, version {number}", urls.version(name, number)) for name, number in sorted(made)]
    return (Fact("Made", Markup("; ").join(words) if words else "no version"),)


def metrics_table(run: LoggedRun, request: PageRequest, now: Micros) -> Markup:
    """The latest value of each metric; its name leads to its curve."""
    columns = (
        Column("metric", "Metric"),
        Column("value", "Latest", align="right", formatter=number, hint="the value of the last step"),
        Column("step", "Step", align="right"),
        Column("at", "Logged", align="right", formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {"metric": _named(item.key), "value": item.value, "step": item.step, "at": item.at},
            urls.run_curves(run.run_id, item.key),
            item.key,
        )
        for item in run.metrics
    ]
    empty = Markup("<h3>No metrics yet</h3><p>In a training script:</p>{}").format(
        code_block('mlflow.log_metric("loss", loss, step=epoch)')
    )
    return table(
        columns, rows, request.query, path=request.path, name="metrics", caption="Metrics", empty=empty,
        searchable=len(rows) > _SEARCHABLE_FROM, page_rows=_METRICS_A_PAGE,
    )  # fmt: skip


def _named(key: str) -> Markup | str:
    """A metric by its own name, with the words for those that have some."""
    words = metric_name(key)
    if words == key.replace("_", " "):
        return key
    return Markup('{} <span class="muted">{}</span>').format(key, words)


def parameters_table(run: RunSummary, request: PageRequest) -> Markup:
    """Every parameter with its value."""
    columns = (Column("name", "Parameter"), Column("value", "Value", formatter=long_text))
    rows = [Row({"name": name, "value": value}, key=name) for name, value in sorted(run.parameters.items())]
    empty = Markup("<h3>No parameters</h3><p>It ran with its defaults, or logged none:</p>{}").format(
        code_block('mlflow.log_param("learning_rate", 0.1)')
    )
    return table(
        columns, rows, request.query, path=request.path, name="params", caption="Parameters", empty=empty,
        searchable=len(rows) > _SEARCHABLE_FROM, page_rows=_METRICS_A_PAGE,
    )  # fmt: skip


def tags(run: RunSummary) -> tuple[Fact, ...]:
    """Tags that nothing else on the page shows."""
    return tuple(
        Fact(name, long_text(value)) for name, value in run.tags.items() if name not in _SHOWN_ELSEWHERE
    )


def children_table(children: Sequence[RunSummary], now: Micros) -> Markup:
    """Runs that were started within this one."""
    columns = (
        Column("name", "Run", sortable=False),
        Column("status", "Status", sortable=False, formatter=badge),
        Column("metrics", "Metrics", sortable=False),
        Column("started", "Started", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {
                "name": child.name,
                "status": child.status,
                "metrics": ", ".join(
                    f"{key} {number(float(value))}" for key, value in list(child.metrics.items())[:3]
                )
                or None,
                "started": child.started_at,
            },
            urls.run(child.run_id),
            child.run_id,
        )
        for child in children
    ]
    return render_table(columns, rows, caption="Nested runs")


def _some(metrics: Mapping[str, float]) -> str | None:
    """The first few metrics in one cell."""
    return ", ".join(f"{key} {number(value)}" for key, value in list(metrics.items())[:_FEW]) or None


def datasets_table(data: RunData) -> Markup:
    """Dataset versions of ours, and datasets as clients describe them."""
    columns = (
        Column("name", "Dataset", sortable=False),
        Column("for", "For", sortable=False),
        Column("source", "Source", sortable=False, formatter=long_text),
        Column("digest", "Digest", sortable=False),
    )
    own = [
        Row({"name": link(urn.removeprefix("data/"), urls.of_urn(urn)), "for": "training"}, key=urn)
        for urn in data.described.datasets
    ]
    logged = [
        Row(
            {
                "name": item.dataset.name,
                "for": item.tags.get("mlflow.data.context"),
                "source": item.dataset.source or None,
                "digest": Markup("<code>{}</code>").format(item.dataset.digest),
            },
            key=f"{item.dataset.name}@{item.dataset.digest}",
        )
        for item in data.described.run.inputs
    ]
    empty = Markup("<h3>No data recorded</h3><p>In a training script:</p>{}").format(
        code_block('mlflow.log_input(mlflow.data.from_pandas(frame, name="rides"), context="training")')
    )
    return render_table(columns, [*own, *logged], caption="Datasets", empty=empty)


def models_table(data: RunData, now: Micros) -> Markup | None:
    """Models that the run logged, and the registered versions made of them; None where there are none."""
    if not data.models and not data.registered:
        return None
    columns = (
        Column("model", "Model", sortable=False),
        Column("status", "Status", sortable=False, formatter=lambda word: badge(word) if word else MISSING),
        Column("registered", "Registered as", sortable=False),
        Column("metrics", "Metrics", sortable=False),
        Column("at", "Made", align="right", sortable=False, formatter=lambda at: time_tag(at, now)),
        Column("id", "Id", sortable=False, formatter=short_id),
    )
    claimed = {item.model_id for item in data.models}
    rows = [
        Row(
            {
                "model": link(model.name, urls.run_artifacts(data.described.run.run_id, "", model.model_id)),
                "status": model.status.replace("_", " "),
                "registered": _registered(data, model.model_id),
                "metrics": ", ".join(f"{item.key} {number(item.value)}" for item in model.metrics[:3])
                or None,
                "at": model.created_at,
                "id": model.model_id,
            },
            key=model.model_id,
        )
        for model in data.models
    ]
    rows += [
        Row(
            {
                "model": item.source.rpartition("/")[2] or item.name,
                "status": item.stage,
                "registered": link(
                    f"{item.name}, version {item.version}", urls.version(item.name, item.version)
                ),
                "at": item.created_at,
            },
            key=item.urn,
        )
        for item in data.registered
        if item.logged_model not in claimed
    ]
    return render_table(columns, rows, caption="Models")


def _registered(data: RunData, model_id: str) -> Markup | None:
    found = [
        link(f"{item.name}, version {item.version}", urls.version(item.name, item.version))
        for item in data.registered
        if item.logged_model == model_id
    ]
    return Markup("; ").join(found) if found else None


def code(run: RunDescription) -> tuple[Fact, ...]:
    """The code that ran: as holdfast captured it, else as the client's tags say."""
    if run.code is None:
        return tuple(
            Fact(title, Markup("<code>{}</code>").format(run.run.tags[tag]))
            for tag, title in _SOURCE_TAGS.items()
            if run.run.tags.get(tag)
        )
    commit = short_id(run.code.git_commit, 40) if run.code.git_commit else "not in a git checkout"
    changed = "with the changes below" if run.code.git_diff else "clean"
    return (
        Fact("Entry", Markup("<code>{}</code>").format(run.code.entry)),
        *((Fact("Source bundle", short_id(run.code.bundle, 24)),) if run.code.bundle else ()),
        Fact("Commit", commit),
        *((Fact("Work tree", changed),) if run.code.git_commit else ()),
        *((Fact("Remote", run.code.git_remote),) if run.code.git_remote else ()),
    )


def environment(run: RunDescription) -> tuple[Fact, ...]:
    """Python and the machine."""
    if run.environment is None:
        return ()
    return (
        Fact("Python", run.environment.python),
        Fact("Platform", run.environment.platform),
        Fact("Processors", number(run.environment.cpu_count)),
        *(Fact(sentence(name), value) for name, value in run.environment.hardware.items()),
        Fact("Packages", number(len(run.environment.packages))),
    )


def packages(run: RunDescription, request: PageRequest) -> Markup | None:
    """What was installed; None where nobody captured it."""
    if run.environment is None:
        return None
    rows = [
        Row({"name": name, "version": version}, key=name)
        for name, version in run.environment.packages.items()
    ]
    columns = (Column("name", "Package"), Column("version", "Version"))
    return table(
        columns, rows, request.query, path=request.path, name="packages", default_sort="name", page_rows=12,
        caption="Packages",
    )  # fmt: skip
