"""The evidence of a decision, whatever its shape, as names with values that a reader can check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.ui import urls
from holdfast.ui.kit import Fact
from holdfast.ui.kit.format import number, percent
from holdfast.ui.words import counted

_SHOWN = 12


def facts(evidence: Mapping[str, Any]) -> tuple[Fact, ...]:
    """The facts of a decision's evidence: known shapes in words, anything else by its path."""
    found: list[Fact] = []
    judged = [str(gate["spec"]["metric"]) for gate in evidence.get("gates") or [] if "spec" in gate]
    for name, value in evidence.items():
        if name == "metrics":
            found += _metrics(value, judged)
            continue
        found += _KNOWN[name](value) if name in _KNOWN else _plain(name, value)
    return tuple(found[:_SHOWN])


def relative(value: float | None) -> str:
    """A relative change with its sign: `+8.2%`."""
    if value is None:
        return "–"
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{percent(abs(value), 2)}"


def relative_interval(interval: tuple[float, float] | list[float] | None) -> str:
    """`−12% to +3%`, or what stands for an interval that could not be given."""
    return f"{relative(interval[0])} to {relative(interval[1])}" if interval else "no interval"


def _verdict(verdict: Mapping[str, Any]) -> list[Fact]:
    found = []
    if verdict.get("estimate") is not None:
        spread = relative_interval(verdict.get("interval"))
        found.append(Fact("loss against the champion", f"{relative(verdict['estimate'])} ({spread})"))
    if verdict.get("rows"):
        found.append(Fact("labelled rows", number(int(verdict["rows"]))))
    if verdict.get("minimum_detectable_effect") is not None:
        found.append(Fact("smallest change seen", percent(verdict["minimum_detectable_effect"])))
    return found


def _variants(evidence: Mapping[str, Any]) -> list[Fact]:
    found = []
    for role in ("champion", "candidate"):
        one = evidence.get(role) or {}
        if one.get("requests"):
            errors = counted(int(one["errors"]), "error") if one.get("errors") else "no error"
            name = f"{role} (version {one.get('version')})"
            rows = int(one.get("rows") or 0)
            answered = counted(int(one["requests"]), "request")
            batches = f" ({counted(rows, 'row')})" if rows > int(one["requests"]) else ""
            found.append(Fact(name, f"{answered}{batches}, {errors}"))
    paired = evidence.get("paired") or {}
    if paired.get("pairs"):
        found.append(Fact("labelled pairs", number(int(paired["pairs"]))))
    return found


def _gates(gates: list[Mapping[str, Any]]) -> list[Fact]:
    return [Fact(str(gate.get("gate", "gate")), str(gate.get("state", ""))) for gate in gates]


def _metrics(metrics: Mapping[str, float], judged: list[str]) -> list[Fact]:
    """The metrics that gates judged, else the first ones."""
    names = [name for name in dict.fromkeys(judged) if name in metrics] or list(metrics)[:3]
    return [Fact(f"held-out {name}", number(float(metrics[name]))) for name in names]


def _alerts(numbers: list[int]) -> list[Fact]:
    return [Fact("because of", f"alert {one}", url=urls.alert(int(one))) for one in numbers]


def _version(name: str) -> Any:
    return lambda value: [Fact(name, f"version {value}")] if value else []


_KNOWN: dict[str, Any] = {
    "verdict": _verdict,
    "evidence": _variants,
    "gates": _gates,
    "alerts": _alerts,
    "from": _version("from"),
    "to": _version("back to"),
    "new_labels": lambda value: [Fact("new labels", number(int(value)))],
    "rollout": lambda value: [Fact("rollout", str(value), url=urls.rollout(int(value)))],
    "job": lambda value: [],
}


def _plain(name: str, value: Any) -> list[Fact]:
    """Anything else, nested names joined by a dot; lists are counted."""
    label = name.replace("_", " ")
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        return [fact for key, inner in value.items() for fact in _plain(f"{name}.{key}", inner)]
    if isinstance(value, list):
        return [Fact(label, f"{len(value)} entries")] if value else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [Fact(label, number(value))]
    return [Fact(label, str(value))]
