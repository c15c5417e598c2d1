"""`holdfast models`: the registry in the terminal, versions that outside clients registered included."""

from __future__ import annotations

import click

from holdfast.base.clock import format_time
from holdfast.cli.output import json_option, print_fields, print_json, print_table
from holdfast.cli.session import Session
from holdfast.registry.catalog.records import (
    AliasRequest,
    Entry,
    ListAliasRequestsRequest,
    ListEntriesRequest,
)
from holdfast.registry.catalog.service.aliases import AliasCatalog
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.records import GetModelRequest, ListModelsRequest, Model
from holdfast.registry.service import RegistryService

_STAGE_SENTENCES = {
    "trained": "waits for its gates",
    "rejected": "is refused until a person approves it: `holdfast approve {name} --version {version}`",
    "quarantined": "is refused until the quarantine is lifted: "
    "`holdfast deploy {name} --version {version} --lift-quarantine`",
    "staged": "is part of the open rollout",
    "live": "is in production already",
}


@click.group()
def models() -> None:
    """List models, and show the versions of one."""


@models.command("list")
@json_option
@click.pass_obj
def list_models(session: Session, as_json: bool) -> None:
    """List the models of the project, trained here or registered from outside."""
    found = session.read(RegistryService.list_models, ListModelsRequest())
    if as_json:
        print_json(found)
        return
    if not found.models:
        click.echo("there are no models yet; train one with `holdfast train FILE`")
        return
    headers = ("model", "task", "latest", "aliases", "created by", "description")
    print_table(headers, [_row(model) for model in found.models])


@models.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show the versions of NAME, where each came from, and what `holdfast deploy` would do with it."""
    model = session.read(RegistryService.get_model, GetModelRequest(name))
    entries = session.read(VersionCatalog.list_entries, ListEntriesRequest(name)).versions
    asked = session.read(AliasCatalog.list_requests, ListAliasRequestsRequest(name)).requests
    if as_json:
        versions = [{"version": item, "deploy": deploy_outlook(item)} for item in entries]
        print_json({"model": model, "versions": versions, "requests": asked})
        return
    aliases = ", ".join(f"{alias} = {number}" for alias, number in sorted(model.aliases.items()))
    rows = [("model", model.name), ("task", model.task or "not known yet"), ("aliases", aliases or "none")]
    print_fields(rows + ([("about", model.description)] if model.description else []))
    headers = ("version", "origin", "stage", "aliases", "label", "run", "by", "created")
    click.echo()
    print_table(headers, [_version_row(item) for item in entries])
    click.echo()
    for item in entries:
        click.echo(f"deploying version {item.version}: {deploy_outlook(item)}")
    for request in asked:
        click.echo(request_sentence(request))


def deploy_outlook(item: Entry) -> str:
    """What `holdfast deploy` would do with a version, in one sentence."""
    if item.origin == "outside" and not item.ready:
        return (
            "reads its MLflow folder in a child process, converts it to a format that runs no code, checks it on its"
            " example and rolls it out, all at once where no rollout policy is declared; a pickle is refused unless you"
            " add --trust"
        )
    sentence = _STAGE_SENTENCES.get(
        item.stage, "rolls it out as the model's rollout policy says, all at once where it has none"
    )
    return sentence.format(name=item.name, version=item.version)


def request_sentence(request: AliasRequest) -> str:
    """An open request and the two commands that answer it."""
    return (
        f"request {request.number}: {request.requested_by} asks for {request.alias} on version {request.version} of"
        f" {request.name}; `holdfast requests approve {request.number}` deploys it,"
        f" `holdfast requests decline {request.number}` does not"
    )


def _row(model: Model) -> tuple[str, ...]:
    aliases = ", ".join(f"{alias}={number}" for alias, number in sorted(model.aliases.items()))
    about = model.description.splitlines()[0][:60] if model.description else ""
    return (model.name, model.task or "-", str(model.latest_version), aliases or "-", model.created_by, about)


def _version_row(item: Entry) -> tuple[str, ...]:
    return (
        str(item.version),
        item.origin,
        item.stage,
        ", ".join(item.aliases) or "-",
        item.label if item.label != "None" else "-",
        item.run_id[:8] or "-",
        item.created_by,
        format_time(item.created_at)[:16].replace("T", " "),
    )
