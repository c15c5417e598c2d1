"""How runs are printed: a list, one of them whole, several beside each other."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from holdfast.base.clock import Micros, format_time
from holdfast.base.errors import InvalidError
from holdfast.cli.output import print_fields
from holdfast.cli.plots import LETTERS, chart, sparkline
from holdfast.tracking.comparison import ComparedText, Comparison
from holdfast.tracking.records import Measured
from holdfast.tracking.run_records import RunCurve, RunDescription, RunSearch, RunsFound, RunSummary

if TYPE_CHECKING:
    from holdfast.loop.garbage import GarbageReport

MISSING = "–"
_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red", "white")
_STATUS_COLOURS = {"finished": "green", "running": "cyan", "failed": "red", "killed": "red"}
_PREFIXES = ("params", "metrics", "tags")
_ATTRIBUTES = (
    "run_id", "name", "experiment", "status", "started", "ended", "took", "user", "deleted", "datasets",
)  # fmt: skip
_METRICS_SHOWN = 3
_PARAMETERS_SHOWN = 2
_SHORT_ID = 8
# Between two columns of a table.
_GAP = 3
# What a hardware monitor logs beside what the run is about.
_SYSTEM = "system/"
# Where nobody looks at a screen (a pipe, a file) nothing is cut off.
_UNLIMITED = 10_000


def check_columns(columns: str | None) -> tuple[str, ...] | None:
    """The columns that `--columns` names.

    Raises:
        InvalidError: one is none.
    """
    if columns is None:
        return None
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    for name in names:
        head, _, key = name.partition(".")
        if name not in _ATTRIBUTES and not (head in _PREFIXES and key):
            raise InvalidError(
                f"{name!r} is not a column",
                hint=f"valid are {', '.join(_ATTRIBUTES)}, params.KEY, metrics.KEY and tags.KEY",
            )
    return names or None


def print_runs(found: RunsFound, request: RunSearch, columns: tuple[str, ...] | None, command: str) -> None:
    """A table of runs, and how to see those that follow."""
    if not found.runs:
        click.echo(_none_found(request))
        return
    names = columns or _chosen_columns(found.runs, deleted=request.view == "deleted")
    rows = [[_cell(run, name) for name in names] for run in found.runs]
    if columns is None and sys.stdout.isatty():
        names, rows = _fitting(names, rows, shutil.get_terminal_size().columns)
    right = [name.startswith("metrics.") or name == "took" for name in names]
    whole = [name == "run_id" for name in names]
    print_rich(list(names), rows, right=right, whole=whole)
    if found.next_after:
        click.echo(f"there are more: {command} --after {shlex.quote(found.next_after)}")


def print_rich(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[bool] | None = None,
    whole: Sequence[bool] | None = None,
) -> None:
    """A table that fits the width of the terminal; cells of `whole` columns are never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _UNLIMITED)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=False)
    for place, header in enumerate(headers):
        keep = whole is not None and whole[place]
        justify: Literal["left", "right"] = "right" if right is not None and right[place] else "left"
        table.add_column(
            Text(header), justify=justify, no_wrap=True, overflow="fold" if keep else "ellipsis",
            min_width=len(rows[0][place]) if keep and rows else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*[Text(cell, style=_STATUS_COLOURS.get(cell, "")) for cell in row])
    console.print(table)


def print_description(found: RunDescription, curves: Sequence[RunCurve]) -> None:
    """One run: facts, parameters, metrics with their curves, data, code, environment, artifacts, children."""
    run = found.run
    lines = {curve.key: sparkline([float(value) for value in curve.values]) for curve in curves}
    print_fields(
        [
            ("run", run.run_id),
            ("name", run.name),
            ("experiment", f"{run.experiment} ({run.experiment_id})"),
            ("status", _status(found)),
            ("started", f"{format_time(run.started_at)} by {run.created_by}"),
            *([("took", took(run.ended_at - run.started_at))] if run.ended_at is not None else []),
            *([("seed", str(found.seed))] if found.seed is not None else []),
            *([("parent", found.parent)] if found.parent else []),
        ]
    )
    _section("parameters", sorted(run.parameters.items()))
    width = max((len(value_text(item.value)) for item in found.metrics), default=0)
    _section(
        "metrics",
        [
            (item.key, f"{value_text(item.value).rjust(width)}  {lines.get(item.key, '')}".rstrip())
            for item in found.metrics
        ],
    )
    _section(
        "tags", [(key, value) for key, value in sorted(run.tags.items()) if not key.startswith("mlflow.")]
    )
    _section("data", _data(found))
    _section("code", _code(found))
    _section("environment", _environment(found))
    _section("artifacts", [(item.path, size(item.size_bytes)) for item in found.artifacts])
    if found.artifact_count > len(found.artifacts):
        click.echo(f"  … and {found.artifact_count - len(found.artifacts):,} more")
    _section("children", [(child.run_id, f"{child.name}, {child.status}") for child in found.children])


def print_comparison(found: Comparison, width: int) -> None:
    """What differs first: parameters, metrics, data, code, environment; then the curves."""
    for number, run in enumerate(found.runs):
        deleted = ", deleted" if run.lifecycle == "deleted" else ""
        click.echo(f"{_letter(number)}  {run.run_id}  {run.name}, {run.experiment}, {run.status}{deleted}")
    names = [
        f"{LETTERS[number % len(LETTERS)]} {run.run_id[:_SHORT_ID]}" for number, run in enumerate(found.runs)
    ]
    same = len(found.parameters_same)
    _compared("parameters", found.parameters_differing, names, f"{same} the same" if same else "")
    _metrics(found, names)
    datasets = [
        ComparedText(f"{item.name} ({item.context})" if item.context else item.name, item.versions)
        for item in found.datasets
    ]
    _compared("datasets", datasets, names)
    if found.code_differs:
        _compared("code", found.code, names)
    elif found.code:
        _heading("code", "the same, as far as the runs say")
    _compared(
        "environment", found.environment_differing, names,
        f"{found.packages_same} packages the same" if found.packages_same else "",
    )  # fmt: skip
    _curves(found, width)


def print_garbage(report: GarbageReport) -> None:
    """What a collection freed or would free, and what stayed and why."""
    counts = [
        (report.runs, "run"),
        (report.logged_models, "logged model"),
        (report.experiments, "experiment"),
        (report.artifacts, "artifact"),
        (report.blobs, "blob"),
    ]
    said = ", ".join(_counted(count, noun) for count, noun in counts if count) or "nothing"
    verb = "would free" if report.dry_run else "freed"
    click.echo(f"{verb} {size(report.bytes_freed)}: {said} (deleted before {format_time(report.before_at)})")
    if report.blobs_young:
        one = report.blobs_young == 1
        click.echo(
            f"{_counted(report.blobs_young, 'blob')} that nothing refers to {'is' if one else 'are'} younger than"
            f" an hour and {'stays' if one else 'stay'} for now"
        )
    if report.kept_count:
        click.echo(f"kept, though deleted: {report.kept_count}")
        for item in report.kept:
            click.echo(f"  {item.urn} ({item.name}): {item.because}")
        if report.kept_count > len(report.kept):
            click.echo(f"  … and {report.kept_count - len(report.kept):,} more")


def value_text(value: Measured | None) -> str:
    """A value in four significant digits."""
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.4g}"


def took(duration_us: Micros) -> str:
    """A duration in its two largest units.

    Example:
        >>> took(850_000), took(200_000_000), took(273_600_000_000)
        ('0.85 s', '3 min 20 s', '3 d 4 h')
    """
    seconds = duration_us / 1e6
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, length, smaller, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {smaller}"
    return MISSING


def size(count: int) -> str:
    """A number of bytes in binary units.

    Example:
        >>> size(512), size(1536), size(5 * 1024**3)
        ('512 B', '1.5 KiB', '5.0 GiB')
    """
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:,.1f} {unit}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _none_found(request: RunSearch) -> str:
    if request.filter or request.experiments:
        return "no run fits; leave the filter or the experiment out to see all of them"
    if request.view == "deleted":
        return "no run is deleted"
    return "there are no runs yet: `holdfast train FILE` makes one, and so does any MLflow client"


def _chosen_columns(runs: Sequence[RunSummary], *, deleted: bool) -> tuple[str, ...]:
    """The columns that tell these runs apart: parameters that differ, and the metrics that most of them have."""
    metrics = Counter(key for run in runs for key in run.metrics if not key.startswith(_SYSTEM))
    values: dict[str, set[str | None]] = {}
    for key in {key for run in runs for key in run.parameters if "." not in key}:
        values[key] = {run.parameters.get(key) for run in runs}
    telling = sorted(key for key, found in values.items() if len(found) > 1)
    several = len({run.experiment_id for run in runs}) > 1
    return (
        "run_id",
        "name",
        *(("experiment",) if several else ()),
        "status",
        "deleted" if deleted else "started",
        "took",
        *(f"metrics.{key}" for key, _ in metrics.most_common(_METRICS_SHOWN)),
        *(f"params.{key}" for key in telling[:_PARAMETERS_SHOWN]),
    )


def _fitting(
    names: tuple[str, ...], rows: list[list[str]], width: int
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Leaves columns out, what matters least first, until the others can be read at this width."""
    kept = list(range(len(names)))
    wide = [max(len(name), *(len(row[place]) for row in rows)) for place, name in enumerate(names)]
    extra = [place for place in reversed(kept) if "." in names[place]]
    for place in [*extra, *(names.index(name) for name in ("took", "experiment") if name in names)]:
        if sum(wide[item] + _GAP for item in kept) <= width + _GAP:
            break
        kept.remove(place)
    return tuple(names[place] for place in kept), [[row[place] for place in kept] for row in rows]


def _cell(run: RunSummary, column: str) -> str:
    head, _, key = column.partition(".")
    if key:
        if head == "metrics":
            return value_text(run.metrics.get(key))
        return (run.parameters if head == "params" else run.tags).get(key, MISSING)
    found = {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "started": _moment(run.started_at),
        "ended": _moment(run.ended_at),
        "deleted": _moment(run.deleted_at),
        "took": took(run.ended_at - run.started_at) if run.ended_at is not None else MISSING,
        "user": run.created_by,
        "datasets": ", ".join(f"{item.dataset.name}@{item.dataset.digest}" for item in run.inputs) or MISSING,
    }
    return found[column]


def _moment(at: Micros | None) -> str:
    """A time to the minute, in UTC."""
    return MISSING if at is None else format_time(at)[:16].replace("T", " ")


def _status(found: RunDescription) -> str:
    run = found.run
    text = f"{run.status}: {found.error}" if found.error else str(run.status)
    if run.lifecycle == "deleted":
        return f"{text}; deleted, `holdfast runs restore {run.run_id[:_SHORT_ID]}` brings it back"
    return text


def _section(title: str, fields: Sequence[tuple[str, str]]) -> None:
    if fields:
        _heading(title)
        width = min(60, max(len(name) for name, _ in fields))
        for name, value in fields:
            click.echo(f"  {click.style(name.ljust(width), dim=True)}  {value}")


def _heading(title: str, note: str = "") -> None:
    click.echo(click.style(title, bold=True) + (click.style(f"  {note}", dim=True) if note else ""))


def _data(found: RunDescription) -> list[tuple[str, str]]:
    own = [(urn, "") for urn in found.datasets]
    return own + [
        (f"{item.dataset.name}@{item.dataset.digest}", item.tags.get("mlflow.data.context", ""))
        for item in found.run.inputs
    ]


def _code(found: RunDescription) -> list[tuple[str, str]]:
    code = found.code
    if code is None:
        tags = {"entry": "mlflow.source.name", "commit": "mlflow.source.git.commit"}
        return [(name, found.run.tags[tag]) for name, tag in tags.items() if tag in found.run.tags]
    changes = [("changes", f"{len(code.git_diff.splitlines())} lines of diff")] if code.git_diff else []
    commit = [("commit", code.git_commit)] if code.git_commit else []
    return [("entry", code.entry), ("bundle", code.bundle), *commit, *changes]


def _environment(found: RunDescription) -> list[tuple[str, str]]:
    environment = found.environment
    if environment is None:
        return []
    return [
        ("python", environment.python),
        ("platform", f"{environment.platform}, {environment.cpu_count} processors"),
        ("packages", str(len(environment.packages))),
    ]


def _compared(title: str, rows: Sequence[ComparedText], names: list[str], note: str = "") -> None:
    if not rows:
        if note:
            _heading(title, note)
        return
    _heading(title, f"{len(rows)} differ{f', {note}' if note else ''}" if title != "datasets" else note)
    print_rich(["", *names], [[row.key, *(_shown(value) for value in row.values)] for row in rows])


def _shown(value: str | None) -> str:
    """A digest is told apart by its beginning."""
    return MISSING if value is None else value[:16] if len(value) in (40, 64) and value.isalnum() else value


def _metrics(found: Comparison, names: list[str]) -> None:
    if not found.metrics:
        return
    _heading("metrics", "latest values; ● is the best where the name says which way is better")
    rows = []
    for item in found.metrics:
        marked = [
            f"{value_text(value)} ●" if place in item.best else f"{value_text(value)}  "
            for place, value in enumerate(item.values)
        ]
        rows.append([item.key, *marked])
    print_rich(["", *names], rows, right=[False, *[True] * len(names)])


def _curves(found: Comparison, width: int) -> None:
    place = {run.run_id: number for number, run in enumerate(found.runs)}
    for key in dict.fromkeys(curve.key for curve in found.curves):
        series: list[list[tuple[float, float]]] = [[] for _ in found.runs]
        for curve in found.curves:
            if curve.key == key:
                series[place[curve.run_id]] = [
                    (float(x), float(y)) for x, y in zip(curve.steps, curve.values, strict=True)
                ]
        _heading(key, "by step")
        for line in chart(series, width):
            click.echo(_coloured(line, len(series)))


def _coloured(line: str, count: int) -> str:
    head, bar, body = line.partition("┤")
    if not bar:
        return line
    letters = LETTERS[:count]
    return head + bar + "".join(_letter(letters.index(item)) if item in letters else item for item in body)


def _letter(number: int) -> str:
    return click.style(LETTERS[number % len(LETTERS)], fg=_COLOURS[number % len(_COLOURS)], bold=True)
