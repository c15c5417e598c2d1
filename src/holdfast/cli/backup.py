"""`holdfast backup` and `holdfast restore`: a whole home as one folder, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.output import json_option, print_fields, print_json
from holdfast.cli.session import Session

if TYPE_CHECKING:
    from holdfast.server.backup import BackupSummary

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.command()
@_folder
@json_option
@click.pass_obj
def backup(session: Session, folder: Path, as_json: bool) -> None:
    """Copy the whole home into an empty folder: ledger, blobs, deployments, prediction log, online store.

    The server and the serving process may go on working; everything acknowledged before is in the copy.
    """
    from holdfast.base.clock import SystemClock
    from holdfast.server.backup import back_up

    made = back_up(session.home, session.config.ledger, folder.absolute(), SystemClock(), _teller(as_json))
    _show(made, as_json)
    if made.damaged:
        click.echo(
            f"holdfast: {len(made.damaged)} blobs of the home are damaged (the first is {made.damaged[0][:16]});"
            " they were copied as they are",
            err=True,
        )
        sys.exit(1)


@click.command()
@_folder
@json_option
@click.pass_obj
def restore(session: Session, folder: Path, as_json: bool) -> None:
    """Rebuild an empty home from a backup, after verifying every file of it and the audit trail.

    The ledger goes where the setting `ledger` says, whichever database it was on before.
    """
    from holdfast.server.backup import restore as rebuild

    _show(rebuild(session.home, session.config.ledger, folder.absolute(), _teller(as_json)), as_json)


def _teller(as_json: bool) -> Callable[[str], None]:
    """Says on the error stream what is being done; nothing where a machine reads."""
    return lambda text: None if as_json else click.echo(f"{text}…", err=True)


def _show(summary: BackupSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    print_fields(
        [
            ("folder", summary.folder),
            ("ledger", f"{summary.rows:,} rows, {summary.audit_entries:,} audit entries"),
            ("blobs", f"{summary.blobs:,}"),
            ("deployments", f"{summary.deployments:,}"),
            ("log segments", f"{summary.segments:,}"),
            ("size", f"{summary.size_bytes / 1e6:,.1f} MB"),
        ]
    )
