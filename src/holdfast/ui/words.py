"""How the facts of the loop are said on pages: titles of decisions, statuses, who did it, changes of a metric."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.base.context import ActorKind
from holdfast.loop.overview import Health
from holdfast.loop.records import Decision, DecisionKind
from holdfast.ui.kit.format import number, percent

# Metrics of which more is better; of all others less is.
GREATER_IS_BETTER = frozenset({"r2", "roc_auc", "average_precision", "accuracy", "precision", "recall", "f1"})

METRIC_NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "log_loss": "log loss",
    "brier": "Brier score",
    "roc_auc": "area under the ROC curve",
    "average_precision": "average precision",
}

HEALTH_BADGES: dict[Health, str] = {
    "alert": "open alert",
    "frozen": "frozen",
    "rollout": "rollout",
    "training": "training",
    "ok": "ok",
    "insufficient data": "insufficient data",
    "not deployed": "not deployed",
}

# What became of it for good; steps on the way have no status, because a past step is not "under way".
DECISION_STATUS: dict[DecisionKind, str] = {
    "retrain": "",
    "reject": "rejected",
    "deploy": "promoted",
    "start rollout": "",
    "advance": "",
    "promote": "promoted",
    "roll back": "rolled back",
    "give up": "gave up",
    "freeze": "frozen",
    "resume": "",
    "training failed": "failed",
}


def metric_name(metric: str | None) -> str:
    """A metric written out.

    Example:
        >>> metric_name("mae"), metric_name("f1"), metric_name(None)
        ('mean absolute error', 'f1', 'quality')
    """
    return METRIC_NAMES.get(metric or "", (metric or "quality").replace("_", " "))


def is_worse(metric: str | None, value: float, reference: float) -> bool:
    """Whether a value of a metric is worse than a reference."""
    return value < reference if metric in GREATER_IS_BETTER else value > reference


def change(metric: str | None, value: float | None, reference: float | None) -> str:
    """The relative change of a metric in words; empty where there is nothing to compare.

    Example:
        >>> change("mae", 55.0, 50.0), change("accuracy", 0.99, 0.9)
        ('10% worse', '10% better')
    """
    if value is None or not reference:
        return ""
    relative = abs(value - reference) / abs(reference)
    if relative < 0.005:
        return "unchanged"
    return f"{percent(relative, 2)} {'worse' if is_worse(metric, value, reference) else 'better'}"


def decision_title(decision: Decision) -> str:
    """What was decided, in a few words that need no page around them."""
    name = subject_version(decision)
    titles: dict[DecisionKind, str] = {
        "retrain": "Training requested",
        "reject": f"{name} rejected",
        "deploy": f"{name} deployed",
        "start rollout": f"Rollout of {name.lower()} started",
        "advance": f"{name} takes its next step",
        "promote": f"{name} promoted",
        "roll back": f"{name} rolled back",
        "give up": f"Rollout of {name.lower()} ended without promotion",
        "freeze": "Automatic promotion frozen",
        "resume": "Automatic promotion resumed",
        "training failed": "Training failed",
    }
    return titles.get(decision.kind, decision.kind.capitalize())


def reason(decision: Decision) -> str:
    """Why, as a sentence; where an alert was the reason it is that alert's, which begins with a column's name."""
    is_alert = decision.kind == "retrain" and decision.rule.startswith("on ")
    return decision.reason if is_alert else sentence(decision.reason)


def subject_version(decision: Decision) -> str:
    """`Version 3` for a decision about a version, else its subject."""
    _, _, tail = decision.subject.rpartition("@")
    is_version = decision.subject.startswith("registry/") and tail.isdecimal()
    return f"Version {tail}" if is_version else decision.subject


def who(name: str, kind: ActorKind) -> str:
    """Who acted: the loop, holdfast itself, or a person by name."""
    return {"loop": "the loop", "system": "holdfast"}.get(kind, name)


def by(name: str) -> str:
    """Who acted, where only the name was kept."""
    return who(name, "loop" if name == "loop" else "person")


def joined(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`.

    Example:
        >>> joined(["a", "b", "c"])
        'a, b and c'
    """
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "alert"), counted(2000, "alert")
        ('1 alert', '2,000 alerts')
    """
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def sentence(text: str) -> str:
    """The text with a capital first letter, unless it begins with the name of a column or a function.

    Example:
        >>> sentence("the gate passed"), sentence("card_age is drifting"), sentence("temp: no change")
        ('The gate passed', 'card_age is drifting', 'temp: no change')
    """
    first = text.partition(" ")[0]
    return text if any(mark in first for mark in "_(@:") else text[:1].upper() + text[1:]


def stopped(text: str) -> str:
    """The text with exactly one full stop at its end; empty text stays empty."""
    return f"{text.rstrip('. ')}." if text else ""
