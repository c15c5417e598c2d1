"""`holdfast requests`: what outside clients ask for that only a deployment can grant."""

from __future__ import annotations

import click

from holdfast.base.clock import format_time
from holdfast.base.errors import ConflictError, NotFoundError
from holdfast.cli.output import json_option, print_json, print_table
from holdfast.cli.session import Session
from holdfast.loop.records import DeployRequest
from holdfast.loop.service import LoopService
from holdfast.registry.catalog.records import (
    AliasRequest,
    DeclineAliasRequest,
    ListAliasRequestsRequest,
    RequestState,
)
from holdfast.registry.catalog.service.aliases import AliasCatalog


@click.group()
def requests() -> None:
    """List, approve and decline requests for champion or challenger.

    An MLflow client that sets one of these aliases files a request, because they say what is deployed.
    """


@requests.command("list")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Granted and declined ones too.")
@json_option
@click.pass_obj
def list_requests(session: Session, name: str | None, every: bool, as_json: bool) -> None:
    """List open requests, of one model or of all, newest first."""
    found = _find(session, name, None if every else "open")
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("there are no requests" if every else "there are no open requests")
        return
    headers = ("request", "model", "version", "alias", "state", "asked by", "asked at", "reason")
    print_table(headers, [_row(item) for item in found])


@requests.command()
@click.argument("number", type=int)
@click.option("--trust", is_flag=True, help="Run the code in a pickled model once, in a child process.")
@click.option("--direct", is_flag=True, help="All traffic at once, without shadow or canary.")
@click.option("--reason", default="", help="Kept with the decision.")
@json_option
@click.pass_obj
def approve(session: Session, number: int, trust: bool, direct: bool, reason: str, as_json: bool) -> None:
    """Grant a request by deploying its version, as `holdfast deploy` does.

    A challenger is tried beside the champion by the model's rollout policy, or as a shadow where it has none.
    """
    asked = _open(session, number)
    because = reason or f"{asked.requested_by} asked for {asked.alias} in request {number}"
    deploy = DeployRequest(
        name=asked.name,
        version=asked.version,
        direct=direct,
        reason=because,
        trust=trust,
        challenger=asked.alias == "challenger",
    )
    decision = session.write(LoopService.deploy, deploy)
    after = next(item for item in _find(session, asked.name, None) if item.number == number)
    if as_json:
        print_json({"request": after, "decision": decision})
        return
    if after.state == "granted" and decision.kind == "start rollout":
        click.echo(
            f"request {number} is granted: version {asked.version} of {asked.name} is tried beside the champion;"
            f" `holdfast status {asked.name}` shows how it does, `holdfast abort {asked.name}` ends it"
        )
    elif after.state == "granted":
        click.echo(f"request {number} is granted: {asked.alias} of {asked.name} is version {asked.version}")
    else:
        click.echo(
            f"version {asked.version} of {asked.name} is being rolled out; request {number} is granted once"
            f" it is the {asked.alias}"
        )


@requests.command()
@click.argument("number", type=int)
@click.option("--reason", default="", help="Kept with the request.")
@json_option
@click.pass_obj
def decline(session: Session, number: int, reason: str, as_json: bool) -> None:
    """Decline a request; nothing is deployed."""
    declined = session.write(AliasCatalog.decline, DeclineAliasRequest(number, reason))
    if as_json:
        print_json(declined)
    else:
        click.echo(f"request {number} for {declined.alias} of {declined.name} is declined")


def _find(session: Session, name: str | None, state: RequestState | None) -> tuple[AliasRequest, ...]:
    # A filter that is not given means the open ones, so all of them are three questions.
    states: tuple[RequestState, ...] = ("open", "granted", "declined") if state is None else (state,)
    found = [
        item
        for wanted in states
        for item in session.read(AliasCatalog.list_requests, ListAliasRequestsRequest(name, wanted)).requests
    ]
    return tuple(sorted(found, key=lambda item: -item.number))


def _open(session: Session, number: int) -> AliasRequest:
    found = next((item for item in _find(session, None, None) if item.number == number), None)
    if found is None:
        raise NotFoundError(f"there is no alias request {number}", hint="see `holdfast requests list --all`")
    if found.state != "open":
        raise ConflictError(f"the alias request {number} is {found.state}")
    return found


def _row(item: AliasRequest) -> tuple[str, ...]:
    at = format_time(item.requested_at)[:16].replace("T", " ")
    return (
        str(item.number),
        item.name,
        str(item.version),
        item.alias,
        item.state,
        item.requested_by,
        at,
        item.reason or "-",
    )
