"""`holdfast audit`: who changed what, and whether the record of it is whole."""

from __future__ import annotations

import sys

import click

from holdfast.base.audit_service import AuditService, ListAuditRequest
from holdfast.base.clock import format_time
from holdfast.base.operations import Empty
from holdfast.cli.output import json_option, print_json, print_table
from holdfast.cli.session import Session


@click.group()
def audit() -> None:
    """Read and verify the audit trail."""


@audit.command("list")
@click.option("--subject", help="Only entries about this URN, e.g. registry/bike-demand@3.")
@click.option("--limit", type=int, default=50, show_default=True)
@json_option
@click.pass_obj
def list_entries(session: Session, subject: str | None, limit: int, as_json: bool) -> None:
    """List the newest entries."""
    found = session.read(AuditService.list_entries, ListAuditRequest(subject, limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ["number", "when", "who", "action", "subject"],
        [
            [
                str(item.number),
                format_time(item.created_at),
                f"{item.actor} ({item.actor_kind})",
                item.action,
                item.subject,
            ]
            for item in found
        ],
    )


@audit.command()
@json_option
@click.pass_obj
def verify(session: Session, as_json: bool) -> None:
    """Recompute the hash chain; exit code 1 when it is broken."""
    verdict = session.read(AuditService.verify, Empty())
    if as_json:
        print_json(verdict)
    elif verdict.intact:
        click.echo(f"{verdict.entries} entries, the chain is intact")
    else:
        click.echo(f"the chain is broken at entry {verdict.broken_at} of {verdict.entries}", err=True)
    sys.exit(0 if verdict.intact else 1)
