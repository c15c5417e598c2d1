"""`holdfast approve`: a person lets a version pass that its gates did not."""

from __future__ import annotations

import click

from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session
from holdfast.registry.records import ApproveRequest
from holdfast.registry.service import RegistryService


@click.command()
@click.argument("name")
@click.option("--version", type=int, required=True, help="Which version.")
@click.option("--force", is_flag=True, help="In spite of a failed gate or a quarantine; needs --reason.")
@click.option("--reason", default="", help="Kept with the approval.")
@json_option
@click.pass_obj
def approve(session: Session, name: str, version: int, force: bool, reason: str, as_json: bool) -> None:
    """Approve a version of NAME for deployment."""
    request = ApproveRequest(name=name, version=version, force=force, reason=reason)
    approved = session.write(RegistryService.approve, request)
    if as_json:
        print_json(approved)
    else:
        click.echo(f"{name} version {version} is {approved.stage}; deploy it with `holdfast deploy {name}`")
