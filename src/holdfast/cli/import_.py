"""`holdfast import`: bring in what another system holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.output import json_option, print_fields, print_json
from holdfast.cli.session import Session

if TYPE_CHECKING:
    from holdfast.sdk.imports.mlflow import Report
    from holdfast.sdk.imports.mlflow.records import Source
    from holdfast.sdk.imports.mlflow.report import Counts

_AGAIN = "type the same command again: it goes on where it was"


@click.group(name="import")
def import_() -> None:
    """Bring in what another system holds."""


@import_.command()
@click.option(
    "--from",
    "where",
    required=True,
    metavar="URL-OR-PATH",
    help="An MLflow server's URL, the SQLite file of a backend store, or an mlruns folder.",
)
@click.option(
    "--artifacts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that mlflow-artifacts: addresses lie under, for a file or folder as the source.",
)
@click.option(
    "--experiment", "names", multiple=True, help="Only this experiment; may be given several times."
)
@click.option("--dry-run", is_flag=True, help="Say what would be brought, and bring nothing.")
@json_option
@click.pass_obj
def mlflow(
    session: Session, where: str, artifacts: Path | None, names: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Bring in an MLflow store: experiments, runs, curves, artifacts, models and aliases.

    The source is only read. Stopped or cut off, the command goes on where it was when it is typed again; typed
    again after the end, it brings what is new.
    """
    from holdfast.sdk.imports.mlflow import open_source

    source = open_source(where, artifacts, os.environ)
    try:
        report = (
            _planned(session, source, names, as_json)
            if dry_run
            else _brought(session, source, names, as_json)
        )
    finally:
        source.close()
    print_json(report) if as_json else _show(report)
    if report.problems:
        raise SystemExit(1)


def _planned(session: Session, source: Source, names: tuple[str, ...], quiet: bool) -> Report:
    from holdfast.cli.import_progress import watching
    from holdfast.sdk.imports.mlflow.plan import planned
    from holdfast.tracking.import_records import FindMarksRequest, Marks
    from holdfast.tracking.service import ImportService

    def find_marks(request: FindMarksRequest) -> Marks:
        # Where nothing was ever written, nothing was brought.
        is_new = (
            session.home.server() is None and not session.config.ledger and not session.home.ledger.exists()
        )
        return Marks({}) if is_new else session.read(ImportService.find_marks, request)

    with watching(quiet) as watch:
        return planned(source, names, find_marks, watch)


def _brought(session: Session, source: Source, names: tuple[str, ...], quiet: bool) -> Report:
    from holdfast.base.errors import UnavailableError
    from holdfast.cli.import_progress import watching
    from holdfast.sdk.imports.mlflow import MlflowImport
    from holdfast.sdk.imports.mlflow.target import Target

    target = Target(session.client(), session.context)
    with watching(quiet) as watch:
        job = MlflowImport(source, target, names, watch)
        try:
            return job.run()
        except (KeyboardInterrupt, UnavailableError) as error:
            runs = job.report.runs
            if isinstance(error, UnavailableError) and not runs.brought + runs.known:
                raise  # nothing was stopped: its own sentence says all there is to say
            click.echo(f"stopped after {runs.brought + runs.known} runs; {_AGAIN}", err=True)
            raise
        finally:
            target.close()


def _show(report: Report) -> None:
    verb = "would bring" if report.dry_run else "brought"
    rows = [
        ("experiments", _told(report.experiments)),
        ("runs", _told(report.runs)),
        ("logged models", _told(report.logged_models)),
        ("models", _told(report.models)),
        ("versions", _told(report.versions)),
        ("aliases", _told(report.aliases)),
    ]
    if not report.dry_run:
        rows.insert(2, ("metric points", f"{report.points:,}"))
        rows.insert(3, ("artifacts", f"{report.files:,} files, {report.bytes:,} bytes"))
    click.echo(f"{verb} from {report.source}")
    print_fields(rows)
    for request in report.requests:
        click.echo(f"request: {request}")
    for note in report.notes:
        click.echo(f"note: {note}")
    for problem in report.problems:
        click.echo(f"problem: {problem}", err=True)
    if report.problems:
        click.echo(
            f"{len(report.problems)} things were not brought; the same command tries them again", err=True
        )


def _told(counts: Counts) -> str:
    parts = [f"{counts.new:,} new"]
    parts += [f"{counts.changed:,} changed"] if counts.changed else []
    parts += [f"{counts.known:,} known"] if counts.known else []
    return ", ".join(parts)
