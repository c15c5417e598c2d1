"""`holdfast trace NAME`: where the production version came from, and who put it there."""

from __future__ import annotations

from collections.abc import Sequence

import click

from holdfast.base.clock import format_time
from holdfast.cli.output import environment_option, json_option, print_fields, print_json
from holdfast.cli.session import Session
from holdfast.loop.trace import DatasetTrace, Trace, TraceRequest, TraceService
from holdfast.tracking.records import Run, RunInput

_PACKAGES_SHOWN = ("scikit-learn", "lightgbm", "numpy", "polars", "skops", "onnxruntime", "holdfast")


@click.command()
@click.argument("name")
@click.option("--version", type=int, help="Which version (default: the one in production).")
@environment_option
@json_option
@click.pass_obj
def trace(session: Session, name: str, version: int | None, environment: str, as_json: bool) -> None:
    """Show data, features, code, environment, parameters and people behind NAME."""
    found = session.read(TraceService.trace, TraceRequest(name, version, environment))
    if as_json:
        print_json(found)
        return
    print_fields(fields(found))
    click.echo("decisions")
    for decision in found.decisions:
        who = f"{decision.actor} ({decision.actor_kind})"
        click.echo(f"  {format_time(decision.decided_at)}  {decision.kind}  by {who}: {decision.reason}")


def fields(found: Trace) -> list[tuple[str, str]]:
    """What is shown of a version, line by line."""
    model, run, data = found.model, found.run, found.dataset
    live = found.live_because
    promoted = (
        "never promoted" if live is None else f"{live.actor} ({live.actor_kind}), decision {live.number}"
    )
    code, environment = (run.code, run.environment) if run else (None, None)
    packages = environment.packages if environment else {}
    shown = ", ".join(f"{item} {packages[item]}" for item in _PACKAGES_SHOWN if item in packages)
    return [
        (
            "version",
            f"{model.urn}, {model.stage}{', in ' + found.environment if found.in_production else ''}",
        ),
        ("promoted by", promoted),
        ("because", live.reason if live else "–"),
        ("trained", f"{format_time(model.created_at)}: {model.trained_because}"),
        *_data(data, found.inputs),
        *[("features", f"{view.urn} ({', '.join(view.columns)})") for view in found.features],
        ("run", _run(run)),
        ("code", _code(code.bundle, code.entry, code.git_commit) if code else _clients_code(run)),
        (
            "environment",
            f"Python {environment.python}, {environment.platform}; {shown}" if environment else "–",
        ),
        ("parameters", _pairs(_chosen(run.parameters)) or "none" if run else "–"),
        (
            "metrics",
            ", ".join(f"{key} {float(value):.4g}" for key, value in sorted(run.metrics.items()))
            if run
            else "–",
        ),
        ("files", ", ".join(f"{item.format} ({item.role}, {item.size_bytes} bytes)" for item in model.files)),
        *[("gate", f"{item.state}: {item.gate}: {item.message}") for item in model.gates],
    ]


def _data(data: DatasetTrace | None, inputs: Sequence[RunInput]) -> list[tuple[str, str]]:
    if data is None and inputs:
        return [("data", _clients_dataset(item)) for item in inputs]
    if data is None:
        return [("data", "not of holdfast: the version was registered from outside")]
    return [
        ("data", f"{data.urn}, {data.rows} rows known by {format_time(data.as_of_at)}"),
        ("fingerprint", data.fingerprint),
        ("source", f"{data.source or 'fed by serving'} (blake3 {(data.source_digest or '–')[:16]})"),
        ("grew from", ", ".join(data.parents) or "the source itself"),
    ]


def _clients_dataset(item: RunInput) -> str:
    used = item.tags.get("mlflow.data.context")
    purpose = f" for {used}" if used else ""
    return f"{item.dataset.name} (digest {item.dataset.digest}), logged by the client{purpose}"


def _clients_code(run: Run | None) -> str:
    """What a client's run says of its code; the file itself is not kept."""
    tags = run.tags if run else {}
    entry = tags.get("mlflow.source.name") or tags.get("mlflow.project.entryPoint")
    if not entry:
        return "–"
    commit = tags.get("mlflow.source.git.commit")
    return f"{entry}{f', git {commit[:12]}' if commit else ''}, named by the client"


def _run(run: Run | None) -> str:
    if run is None:
        return "none that this server knows"
    seed = "" if run.seed is None else f", seed {run.seed}"
    return f"{run.urn} ({run.name}, by {run.created_by}){seed}"


def _code(bundle: str, entry: str, commit: str | None) -> str:
    return f"{entry}, bundle {bundle[:16]}{f', git {commit[:12]}' if commit else ''}"


def _chosen(parameters: dict[str, str]) -> dict[str, str]:
    """What somebody chose: the declared parameters and the estimator as written. `--json` has its defaults, too."""
    return {name: value for name, value in parameters.items() if "." not in name}


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))
