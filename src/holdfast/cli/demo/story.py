"""The story of a run, told in the terminal. Every number comes from the facts that the server gave."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from holdfast.base.clock import DAY_US, Micros, to_datetime
from holdfast.base.home import Home
from holdfast.cli.demo.facts import Facts
from holdfast.cli.demo.processes import Processes
from holdfast.cli.demo.scene import Scene
from holdfast.cli.demo.watch import MARKS
from holdfast.loop.records import Decision, WithoutRetraining
from holdfast.monitoring.records import Alert
from holdfast.registry.records import ModelVersion

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS_MOST = 40
_MOVED_MOST = 3


def tell(facts: Facts, scene: Scene, home: Home | None, processes: Processes | None, wall_s: float) -> None:
    """Prints what happened, what it was worth, and where to look.

    Args:
        home: where it is kept; None where it is removed now.
        processes: those that stay up; None where they end now.
    """
    console = Console(highlight=False)
    world = "a simulated world" if facts.simulated else "real data, replayed"
    title = f"[bold]holdfast demo[/] · {facts.scene}: {world}, in {wall_s:.0f} s"
    console.print()
    console.print(Panel(_chapters(facts, scene), title=title, title_align="left", padding=(1, 2)))
    console.print(Panel(_quality(facts.quality), title="quality", title_align="left", padding=(0, 2)))
    console.print(_where(facts, home, processes))


def _chapters(facts: Facts, scene: Scene) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for at, kind, text in _lines(facts, scene):
        mark, colour = MARKS.get(kind, ("·", "white"))
        day = "" if at is None else f"{to_datetime(at):%Y-%m-%d}"
        table.add_row(Text(day, style="dim"), Text(f"{mark} {kind}", style=colour), Text(text))
    return table


def _lines(facts: Facts, scene: Scene) -> Iterator[tuple[Micros | None, str, str]]:
    """(when, what, sentence), in the order of the story."""
    yield None, "world", f"{scene.note}; {scene.turn}"
    yield from _first_version(facts)
    cycle = _first_cycle(facts)
    if cycle is not None:
        yield from _cycle(facts, *cycle)
    yield from _the_rest(facts)
    yield from _rollback(facts)


def _first_version(facts: Facts) -> Iterator[tuple[Micros | None, str, str]]:
    deployed = next(iter(facts.of_kind("deploy")), None)
    if deployed is not None:
        first = next(item for item in facts.versions if item.urn == deployed.subject)
        yield deployed.decided_at, "deploy", f"version 1 trained and live: {_scores(first)}; {_gates(first)}"


def _first_cycle(facts: Facts) -> tuple[Decision, ModelVersion] | None:
    """The first training by the loop that ended in production."""
    promoted = {item.subject for item in facts.of_kind("promote")}
    for retrained in facts.retrainings():
        version = facts.version_of_run(retrained.subject)
        if version is not None and version.urn in promoted:
            return retrained, version
    return None


def _cycle(
    facts: Facts, retrained: Decision, version: ModelVersion
) -> Iterator[tuple[Micros | None, str, str]]:
    """Alert → training → gates → shadow or canary → promotion of one version."""
    numbers = retrained.evidence.get("alerts") or []
    for alert in facts.alerts:
        if alert.number in numbers:
            yield alert.opened_at, "alert", _moved(alert)
    because = f"the loop trains version {version.version}, {retrained.rule}"
    yield retrained.decided_at, "retrain", f"{because}: {_scores(version)}; {_gates(version)}"
    for decision in facts.decisions:
        if decision.subject == version.urn and decision.kind in ("start rollout", "advance", "promote"):
            yield decision.decided_at, decision.kind, _with_rule(decision)


def _with_rule(decision: Decision) -> str:
    if decision.kind != "start rollout":
        return decision.reason
    how = {
        "canary": "a canary: a first share of the traffic is its own",
        "shadow_then_switch": "a shadow: it answers every request, unseen",
    }
    return f"{decision.reason}; it starts as {how.get(decision.rule, decision.rule)}"


def _moved(alert: Alert) -> str:
    """The kind of the alert and the features that moved most."""
    moved = [item for item in alert.findings if item.state in ("drifting", "degraded", "violated")]
    moved.sort(key=lambda item: -(item.effect or 0.0))
    named = "; ".join(item.message for item in moved[:_MOVED_MOST]) or alert.message
    more = f"; and {len(moved) - _MOVED_MOST} more" if len(moved) > _MOVED_MOST else ""
    return f"{alert.kind}: {named}{more}"


def _the_rest(facts: Facts) -> Iterator[tuple[Micros | None, str, str]]:
    """What else the loop did, in numbers."""
    counts = [
        (len(facts.retrainings()), "training", "trainings"),
        (len(facts.of_kind("promote")), "promotion", "promotions"),
        (len(facts.of_kind("reject")), "version stopped by its gates", "versions stopped by their gates"),
        (len(facts.of_kind("give up")), "rollout given up", "rollouts given up"),
        (len(facts.of_kind("training failed")), "training failed", "trainings failed"),
        (len(facts.alerts), "alert", "alerts"),
    ]
    said = ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)
    yield None, "in all", f"{said}; every one is a row with its evidence"


def _rollback(facts: Facts) -> Iterator[tuple[Micros | None, str, str]]:
    timing = facts.rollback
    if timing is None:
        return
    at = facts.of_kind("roll back")[-1].decided_at
    last = "no answer" if timing.last_ms is None else f"the last answer after {timing.last_ms:.0f} ms"
    yield (
        at,
        "roll back",
        f"version {timing.from_version} → {timing.to_version} under load: the first answer of version"
        f" {timing.to_version} after {timing.first_ms:.0f} ms, {last} of version {timing.from_version};"
        " no request failed. Version"
        f" {timing.from_version} is quarantined and promotion waits for a person",
    )


def _quality(quality: WithoutRetraining) -> Text:
    """Both losses week by week, and what they come to."""
    if quality.loop is None or quality.never is None or quality.ratio is None:
        return Text("no labels, so nothing can be said about quality")
    loop, never = _by_column(quality)
    top = max(*loop, *never)
    name = quality.metric.replace("_", " ")
    change = abs(1 - quality.ratio)
    interval = "too few days for an interval"
    if quality.ratio_ci95 is not None:
        low, high = quality.ratio_ci95
        interval = f"95% interval {low:.2f} to {high:.2f}, bootstrap over blocks of {quality.block_days} days"
    return Text.assemble(
        ("with the loop       ", "green"), (_bars(loop, top), "green"), f"  {name} {quality.loop:.4g}\n",
        ("without retraining  ", "red"), (_bars(never, top), "red"), f"  {name} {quality.never:.4g}\n",
        (f"{change:.0%} {'lower' if quality.ratio < 1 else 'higher'} with the loop", "bold"),
        f": ratio {quality.ratio:.3f} ({interval}); version {quality.version} scored again on all",
        f" {quality.rows:,} labelled rows",
    )  # fmt: skip


def _by_column(quality: WithoutRetraining) -> tuple[list[float], list[float]]:
    """Mean losses of equal spans of days, at most so many that they fit a line."""
    first = quality.days[0].day_at
    count = (quality.days[-1].day_at - first) // DAY_US + 1
    span = -(-count // _COLUMNS_MOST)
    sums: dict[int, list[float]] = {}
    for day in quality.days:
        total = sums.setdefault((day.day_at - first) // DAY_US // span, [0.0, 0.0, 0.0])
        for place, value in enumerate((day.rows, day.rows * day.served, day.rows * day.never)):
            total[place] += value
    columns = [sums[key] for key in sorted(sums)]
    return [item[1] / item[0] for item in columns], [item[2] / item[0] for item in columns]


def _bars(values: list[float], top: float) -> str:
    return "".join(
        _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] if top else "▁" for value in values
    )


def _where(facts: Facts, home: Home | None, processes: Processes | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    if processes is not None:
        table.add_row("pages", f"{processes.server_url}/models/{facts.model}")
        table.add_row("predict", f"{processes.serving_url}/v1/predict/{facts.model}")
    if home is not None:
        table.add_row("look", f"export HOLDFAST_HOME={home.root}")
        table.add_row("", f"holdfast trace {facts.model} · holdfast status · holdfast audit verify")
        table.add_row("undo", facts.decisions[-1].reversal or "–")
    else:
        table.add_row("look", "run it without --exit for its pages, or with --home DIR to keep everything")
    table.add_row("yours", "holdfast up FILE does the same for a model of your own")
    if processes is not None:
        table.add_row("", Text("Ctrl-C ends it", style="bold"))
    return table


def _scores(version: ModelVersion) -> str:
    wanted = [gate.spec.metric for gate in version.gates] or list(version.metrics)
    names = [name for name in dict.fromkeys(wanted) if name in version.metrics]
    return ", ".join(f"{name} {version.metrics[name]:.4g}" for name in names) + " on held-out rows"


def _gates(version: ModelVersion) -> str:
    passed = sum(gate.state == "passed" for gate in version.gates)
    return f"{passed} of {len(version.gates)} gates passed"
