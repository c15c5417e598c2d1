"""`holdfast status`: every model at a glance, the worst first."""

from __future__ import annotations

import click

from holdfast.base.clock import format_time
from holdfast.base.errors import InvalidError
from holdfast.cli.output import json_option, print_fields, print_json, print_table
from holdfast.cli.session import Session
from holdfast.loop.overview import ModelStatus, Overview, OverviewService, StatusRequest

_MARKS = {
    "alert": "▲ alert",
    "frozen": "■ frozen",
    "insufficient data": "? insufficient data",
    "not deployed": "○ not deployed",
    "rollout": "◐ rollout",
    "training": "◔ training",
    "ok": "● ok",
}


@click.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def status(session: Session, name: str | None, as_json: bool) -> None:
    """Show every model, or NAME: what is live, how good it is, what happens."""
    overview = session.read(OverviewService.status, StatusRequest(name))
    if name is not None and not overview.models:
        raise InvalidError(
            f"there is no model {name!r}",
            hint="`holdfast models list` shows those that are only registered, too",
        )
    if as_json:
        print_json({"server": _url(session), "serving": _serving(session), **_builtins(overview)})
        return
    server, serving = _url(session), _serving(session)
    click.echo(f"server {server or 'not running'} · serving {serving or 'not running'} · {_now(overview)}")
    if name is not None:
        _print_one(overview.models[0])
    elif overview.models:
        _print_all(overview)
    else:
        click.echo("nothing is declared yet: begin with `holdfast demo` or `holdfast up FILE`")


def _print_all(overview: Overview) -> None:
    print_table(
        ["model", "state", "champion", "quality (7 d)", "baseline", "labels", "last decision"],
        [
            [
                model.name,
                _MARKS[model.health],
                "–" if model.champion is None else str(model.champion),
                _metric(model, model.quality),
                _metric(model, model.baseline) if model.has_baseline else "none",
                str(model.labelled),
                f"{model.last_decision.kind} {model.last_decision.subject}" if model.last_decision else "–",
            ]
            for model in overview.models
        ],
    )


def _print_one(model: ModelStatus) -> None:
    traffic = ", ".join(f"version {item.version} {item.role} {item.share}%" for item in model.variants)
    print_fields(
        [
            ("model", f"{model.name} in {model.environment}"),
            ("state", f"{_MARKS[model.health]}: {model.message}"),
            ("traffic", traffic or "nothing is deployed"),
            ("live since", format_time(model.live_since_at) if model.live_since_at is not None else "–"),
            ("warm", ", ".join(str(item) for item in model.warm) or "none"),
            ("quality", f"{_quality(model)} over the last 7 days ({model.labelled} labels)"),
            (
                "baseline",
                f"{_metric(model, model.baseline)} on held-out data"
                if model.has_baseline
                else "no baseline to compare with: the version was registered from outside",
            ),
            *[("alert", f"{item.number}: {item.message}") for item in model.alerts],
        ]
    )
    if model.last_decision:
        decision = model.last_decision
        click.echo(f"last decision {decision.number}: {decision.kind} {decision.subject}: {decision.reason}")


def _quality(model: ModelStatus) -> str:
    if model.interval is None:
        return _metric(model, model.quality)
    lower, upper = model.interval
    return f"{_metric(model, model.quality)} (95% interval {lower:.4g} to {upper:.4g})"


def _metric(model: ModelStatus, value: float | None) -> str:
    return "insufficient data" if value is None else f"{model.metric} {value:.4g}"


def _now(overview: Overview) -> str:
    return f"{format_time(overview.now_at)}{' (simulated clock)' if overview.simulated else ''}"


def _url(session: Session) -> str | None:
    info = session.home.server()
    return info.url if info else None


def _serving(session: Session) -> str | None:
    info = session.home.serving()
    return info.url if info else None


def _builtins(overview: Overview) -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(overview)
    return found
