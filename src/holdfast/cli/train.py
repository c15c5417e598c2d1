"""`holdfast train FILE`: one run of the pipeline, a registered and gated version."""

from __future__ import annotations

import sys

import click

from holdfast.base.client import Client
from holdfast.base.errors import InvalidError
from holdfast.base.jobs import Job
from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session
from holdfast.cli.waiting import wait_for
from holdfast.registry.records import GetVersionRequest, ModelVersion
from holdfast.registry.service import RegistryService

_REJECTED = 3


@click.command()
@click.argument("file")
@click.option("--model", "name", help="Which model, where the file declares several.")
@json_option
@click.pass_obj
def train(session: Session, file: str, name: str | None, as_json: bool) -> None:
    """Train the model of FILE on everything known now, gate it and register it.

    Exit code 3 says that it was registered, but its gates did not pass.
    """
    client = session.client()
    spec = declare(client, file, name, active=False)
    version = train_and_wait(client, spec, quiet=as_json)
    if as_json:
        print_json(version)
    else:
        print_version(version)
    if version.stage == "rejected":
        sys.exit(_REJECTED)


def declare(client: Client, file: str, name: str | None, *, active: bool) -> str:
    """Uploads the declarations of a file and returns the name of the one that is meant."""
    from holdfast.base import bundle
    from holdfast.cli.source import read_file
    from holdfast.loop.records import DeclareRequest
    from holdfast.loop.service import LoopService

    found = read_file(file)
    names = [spec.model.name for spec in found.specs]
    if name is None and len(names) > 1:
        raise InvalidError(
            f"{file} declares several models", hint=f"choose one with --model: {', '.join(names)}"
        )
    if name is not None and name not in names:
        raise InvalidError(f"{file} declares no model {name!r}", hint=f"it declares: {', '.join(names)}")
    chosen = name or names[0]
    spec = next(spec for spec in found.specs if spec.model.name == chosen)
    client.call(LoopService.declare, DeclareRequest(chosen, spec, bundle.encode(found.bundle), active))
    return chosen


def train_and_wait(client: Client, name: str, *, quiet: bool = False) -> ModelVersion:
    """Asks for a training and waits for its end.

    Raises:
        HoldfastError: the training failed, with its sentence.
    """
    from holdfast.loop.records import TrainRequest
    from holdfast.loop.service import LoopService

    job = wait_for_training(client, client.call(LoopService.train, TrainRequest(name)), quiet=quiet)
    assert job.result is not None
    request = GetVersionRequest(name, str(job.result["version"]))
    return client.call(RegistryService.get_version, request)


def wait_for_training(client: Client, job: Job, *, quiet: bool) -> Job:
    """Waits for a training, saying so on a terminal; raises as `wait_for`."""
    name = job.exclusive
    return wait_for(
        client, job, doing=f"training {name}", failed=f"the training of {name} failed", quiet=quiet
    )


def print_version(version: ModelVersion) -> None:
    """One version for people: what it scored and whether it may be deployed."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(version.metrics.items()))
    click.echo(f"{version.name} version {version.version} is {version.stage}: {metrics}")
    marks = {"passed": "✓", "failed": "✗", "insufficient data": "?"}
    for gate in version.gates:
        click.echo(f"  {marks[gate.state]} {gate.gate}: {gate.message}")
    click.echo(
        f"run {version.run_id}; `holdfast trace {version.name} --version {version.version}` tells the rest"
    )
