"""`deploy`, `promote`, `abort`, `rollback`, `resume`: what people do with versions in production."""

from __future__ import annotations

import time

import click

from holdfast.base.errors import UnavailableError
from holdfast.cli.output import json_option, print_json
from holdfast.cli.session import Session
from holdfast.loop.records import (
    AbortRequest,
    Decision,
    DeployRequest,
    PromoteRequest,
    ResumeRequest,
    RollbackRequest,
)
from holdfast.loop.service import LoopService

reason_option = click.option("--reason", default="", help="Kept with the decision.")


@click.command()
@click.argument("name")
@click.option("--version", type=int, help="Which version (default: the latest).")
@click.option("--direct", is_flag=True, help="All traffic at once, without shadow or canary.")
@click.option(
    "--challenger", is_flag=True, help="Try it beside the champion; as a shadow if nothing is declared."
)
@click.option("--lift-quarantine", is_flag=True, help="Deploy a version that was rolled back.")
@click.option("--trust", is_flag=True, help="Run the code in a pickled model once, in a child process.")
@reason_option
@json_option
@click.pass_obj
def deploy(
    session: Session,
    name: str,
    version: int | None,
    direct: bool,
    challenger: bool,
    lift_quarantine: bool,
    trust: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Roll a version of NAME out, as its rollout policy says; one that MLflow registered, too.

    Without a declared shadow or canary it takes all traffic at once.
    """
    request = DeployRequest(name, version, direct, lift_quarantine, reason, trust, challenger)
    decision = session.write(LoopService.deploy, request)
    _print(decision, as_json)
    if decision.kind == "promote" and not direct and not as_json:
        click.echo(
            f"it took all traffic at once, because {name} declares no shadow or canary;"
            f" `holdfast deploy {name} --version N --challenger` tries a version beside the champion first"
        )


@click.command()
@click.argument("name")
@reason_option
@json_option
@click.pass_obj
def promote(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Promote the candidate of NAME's open rollout now."""
    _print(session.write(LoopService.promote, PromoteRequest(name, reason)), as_json)


@click.command()
@click.argument("name")
@reason_option
@json_option
@click.pass_obj
def abort(session: Session, name: str, reason: str, as_json: bool) -> None:
    """End NAME's open rollout; the champion stays."""
    _print(session.write(LoopService.abort, AbortRequest(name, reason)), as_json)


@click.command()
@click.argument("name")
@reason_option
@json_option
@click.pass_obj
def resume(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Let the loop promote versions of NAME by itself again."""
    _print(session.write(LoopService.resume, ResumeRequest(name, reason)), as_json)


@click.command()
@click.argument("name")
@click.option("--to", type=int, help="A warm version (default: the champion before).")
@click.option(
    "--environment", envvar="HOLDFAST_ENVIRONMENT", help="Where it is deployed (default: as declared)."
)
@reason_option
@json_option
@click.pass_obj
def rollback(
    session: Session, name: str, to: int | None, environment: str | None, reason: str, as_json: bool
) -> None:
    """Put the version before back into production; works with the server down, too."""
    started = time.monotonic()
    if session.home.server() is None:
        _rollback_locally(session, name, to, environment or session.config.environment, as_json, started)
        return
    result = session.write(LoopService.rollback, RollbackRequest(name, to, reason, environment))
    took_ms = (time.monotonic() - started) * 1000
    if as_json:
        print_json({"name": name, "from": result.from_version, "to": result.to_version, "revision": result.revision,
                    "decision": result.decision.number, "ms": round(took_ms, 1), "server": True})  # fmt: skip
    else:
        click.echo(
            f"{name}: version {result.from_version} → {result.to_version} in {took_ms:.0f} ms"
            f" (revision {result.revision}, decision {result.decision.number})"
        )
        if result.ended_candidate is not None:
            click.echo(
                f"the rollout of version {result.ended_candidate} ended with it;"
                f" `holdfast abort {name}` would have ended that alone"
            )
        click.echo(f"automatic promotion is frozen; `holdfast resume {name}` lets it go on")


def _rollback_locally(
    session: Session, name: str, to: int | None, environment: str, as_json: bool, started: float
) -> None:
    """Without a server: swaps the deployment file, which the server adopts when it is back."""
    from holdfast.base.clock import SystemClock
    from holdfast.serving.deployment_file import local_rollback

    if to is not None:
        raise UnavailableError(
            "the server is down, and without it a rollback goes to the champion before",
            hint="leave --to out, or start the server",
        )
    file = local_rollback(
        session.home, session.context.project, environment, name, session.context.actor, SystemClock().now()
    )
    champion = next(variant.version for variant in file.variants if variant.role == "champion")
    took_ms = (time.monotonic() - started) * 1000
    if as_json:
        print_json(
            {
                "name": name,
                "to": champion,
                "revision": file.revision,
                "ms": round(took_ms, 1),
                "server": False,
            }
        )
        return
    click.echo(
        f"{name}: back to version {champion} in {took_ms:.0f} ms; the server is down and will adopt it"
    )


def _print(decision: Decision, as_json: bool) -> None:
    if as_json:
        print_json(decision)
        return
    click.echo(f"{decision.kind} {decision.subject}: {decision.reason} (decision {decision.number})")
    if decision.reversal:
        click.echo(f"undo with `{decision.reversal}`")
