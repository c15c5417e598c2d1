"""`holdfast runs`: find runs, look at one, compare several, delete and restore them."""

from __future__ import annotations

import shlex
import shutil
import sys

import click

from holdfast.base.errors import InvalidError
from holdfast.cli.output import json_option, print_json, print_table
from holdfast.cli.run_sync import sync
from holdfast.cli.session import Session

_WIDTH_MOST = 120


@click.group()
@click.pass_obj
def runs(session: Session) -> None:
    """Find, show, compare, delete and restore runs.

    A RUN is the id of a run, or so much of the beginning of it as no other run has. Where HOLDFAST_URL names a server,
    these are the runs of that server.
    """
    session.heed_url()


@runs.command("list")
@click.option(
    "--filter",
    "condition",
    default="",
    help="E.g. \"metrics.mae < 3 AND params.depth = '4'\"; OR and parentheses too.",
)
@click.option("--order-by", multiple=True, help='E.g. "metrics.mae" or "start_time DESC"; may be repeated.')
@click.option(
    "--experiment", "experiments", multiple=True, help="A name or an id; may be repeated (default: all)."
)
@click.option("--limit", type=int, default=50, show_default=True, help="Runs a page.")
@click.option(
    "--columns", help="E.g. name,metrics.mae,params.depth,tags.team (default: what tells the runs apart)."
)
@click.option("--deleted", is_flag=True, help="The deleted ones instead.")
@click.option("--after", help="Continue behind a page, as its last line says.")
@json_option
@click.pass_obj
def list_runs(
    session: Session, condition: str, order_by: tuple[str, ...], experiments: tuple[str, ...], limit: int,
    columns: str | None, deleted: bool, after: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List runs, those that started last first."""
    from holdfast.cli.run_views import check_columns, print_runs
    from holdfast.tracking.run_records import RunSearch
    from holdfast.tracking.service.run_search import RunCatalog

    shown = check_columns(columns)
    request = RunSearch(condition, order_by, experiments, "deleted" if deleted else "active", limit, after)
    found = session.read(RunCatalog.search, request)
    if as_json:
        print_json(found)
        return
    words = ["holdfast", "runs", "list", *(["--filter", condition] if condition else [])]
    words += [word for text in order_by for word in ("--order-by", text)]
    words += [word for text in experiments for word in ("--experiment", text)]
    words += ["--limit", str(limit)] if limit != 50 else []
    words += ["--columns", columns] if columns else []
    print_runs(found, request, shown, shlex.join([*words, *(["--deleted"] if deleted else [])]))


@runs.command()
@click.option("--deleted", is_flag=True, help="The deleted ones instead.")
@json_option
@click.pass_obj
def experiments(session: Session, deleted: bool, as_json: bool) -> None:
    """List experiments, the one with the latest run first."""
    from holdfast.base.clock import format_time
    from holdfast.tracking.run_records import ListExperiments
    from holdfast.tracking.service.run_search import RunCatalog

    found = session.read(RunCatalog.experiments, ListExperiments("deleted" if deleted else "active"))
    if as_json:
        print_json(found)
        return
    print_table(
        ["id", "name", "runs", "running", "deleted", "last run"],
        [
            [
                item.experiment_id,
                item.name,
                str(item.runs),
                str(item.runs_running),
                str(item.runs_deleted),
                "–" if item.last_started_at is None else format_time(item.last_started_at),
            ]
            for item in found.experiments
        ],
    )


@runs.command()
@click.argument("run")
@json_option
@click.pass_obj
def show(session: Session, run: str, as_json: bool) -> None:
    """Show RUN: parameters, metrics with their curves, data, code, environment, artifacts, children."""
    from holdfast.cli.run_views import print_description
    from holdfast.tracking.run_records import CurvesRequest, RunRequest
    from holdfast.tracking.service.run_search import RunCatalog

    found = session.read(RunCatalog.describe, RunRequest(run))
    if as_json:
        print_json(found)
        return
    curves = session.read(RunCatalog.curves, CurvesRequest(found.run.run_id, most=400)).curves
    print_description(found, [curve for curve in curves if len(curve.steps) > 1])


@runs.command()
@click.argument("run", nargs=-1, required=True, metavar="RUN RUN…")
@click.option(
    "--metric", "metrics", multiple=True, help="Whose curve to draw; may be repeated (default: all)."
)
@json_option
@click.pass_obj
def compare(session: Session, run: tuple[str, ...], metrics: tuple[str, ...], as_json: bool) -> None:
    """Compare runs: parameters that differ, metrics, datasets, code, environment, and curves."""
    from holdfast.cli.run_views import print_comparison
    from holdfast.tracking.run_records import CompareRuns
    from holdfast.tracking.service.run_search import RunCatalog

    width = min(_WIDTH_MOST, shutil.get_terminal_size((100, 24)).columns)
    found = session.read(RunCatalog.compare, CompareRuns(run, metrics, 2000 if as_json else 400))
    if as_json:
        print_json(found)
    else:
        print_comparison(found, width)


@runs.command()
@click.argument("run", nargs=-1, required=True, metavar="RUN…")
@json_option
@click.pass_obj
def delete(session: Session, run: tuple[str, ...], as_json: bool) -> None:
    """Delete runs; each can be restored until `holdfast runs gc` has collected it."""
    from holdfast.tracking.run_records import RunRequest
    from holdfast.tracking.service.run_search import RunCatalog

    client = session.client()
    # Every id is looked up before the first run goes, so that a mistyped one deletes nothing.
    ids = [client.call(RunCatalog.describe, RunRequest(text)).run.run_id for text in run]
    found = [client.call(RunCatalog.delete, RunRequest(run_id)) for run_id in ids]
    if as_json:
        print_json(found)
        return
    for item in found:
        click.echo(f"deleted {item.run_id} ({item.name})")
    click.echo(
        f"`holdfast runs restore {' '.join(item.run_id[:8] for item in found)}` brings"
        f" {'it' if len(found) == 1 else 'them'} back until `holdfast runs gc` has collected"
        f" {'it' if len(found) == 1 else 'them'}"
    )


@runs.command()
@click.argument("run", nargs=-1, required=True, metavar="RUN…")
@json_option
@click.pass_obj
def restore(session: Session, run: tuple[str, ...], as_json: bool) -> None:
    """Restore deleted runs."""
    from holdfast.tracking.run_records import RunRequest
    from holdfast.tracking.service.run_search import RunCatalog

    client = session.client()
    ids = [client.call(RunCatalog.describe, RunRequest(text)).run.run_id for text in run]
    found = [client.call(RunCatalog.restore, RunRequest(run_id)) for run_id in ids]
    if as_json:
        print_json(found)
        return
    for item in found:
        click.echo(f"restored {item.run_id} ({item.name})")


@runs.command()
@click.option(
    "--older-than", default="30d", show_default=True, help="How long ago it was deleted, e.g. 12h or 0d."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def gc(session: Session, older_than: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete for good: runs, logged models and experiments deleted long ago, and blobs that nothing refers to.

    What a registered version, a deployment or a run that is not deleted was made from stays, and so does what is
    younger than an hour and not yet referred to.
    """
    import msgspec

    from holdfast.cli.run_views import print_garbage
    from holdfast.cli.waiting import wait_for
    from holdfast.loop.garbage import GarbageReport, GarbageRequest, GarbageService

    request = GarbageRequest(older_than)
    if dry_run or not yes:
        found = session.read(GarbageService.preview, request)
        if dry_run:
            print_json(found) if as_json else print_garbage(found)
            return
        if as_json or not sys.stdin.isatty():
            raise InvalidError("what goes cannot be restored", hint="look with --dry-run, then say --yes")
        print_garbage(found)
        click.confirm("Delete this for good?", abort=True)
    client = session.client()
    job = wait_for(
        client, client.call(GarbageService.collect, request), doing="collecting the garbage",
        failed="the garbage was not collected", quiet=as_json,
    )  # fmt: skip
    report = msgspec.convert(job.result, GarbageReport)
    print_json(report) if as_json else print_garbage(report)


runs.add_command(sync)
