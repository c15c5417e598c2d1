"""What differs between runs: pure functions from descriptions of runs to a comparison.

The values of a row stand in the order of the runs; None is what a run does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from holdfast.tracking.records import Measured
from holdfast.tracking.run_records import RunCurve, RunDescription, RunSummary

Direction = Literal["higher", "lower"]

COMMIT_TAG = "mlflow.source.git.commit"
SOURCE_TAG = "mlflow.source.name"

_WORD = re.compile(r"[a-z0-9]+")
# Words of metric names whose better direction nobody disputes, besides the metrics that holdfast computes itself.
_HIGHER = frozenset(
    {
        "acc", "accuracy", "auc", "auroc", "roc", "auprc", "f1", "fbeta", "precision", "recall",
        "sensitivity", "specificity", "r2", "ndcg", "map", "mrr", "bleu", "rouge", "iou", "dice", "kappa",
        "mcc", "score", "reward"
    }
)  # fmt: skip
_LOWER = frozenset(
    {
        "loss", "error", "err", "mae", "mse", "rmse", "rmsle", "mape", "smape", "msle", "logloss", "brier",
        "perplexity", "deviance", "hinge", "fpr", "fnr", "wer", "cer", "latency"
    }
)  # fmt: skip


class ComparedText(msgspec.Struct, frozen=True):
    """One parameter, package or other text, a value a run."""

    key: str
    values: tuple[str | None, ...]


class ComparedMetric(msgspec.Struct, frozen=True):
    """The latest values of a metric; `best` are the places of the best ones where the better direction is known."""

    key: str
    values: tuple[Measured | None, ...]
    better: Direction | None = None
    best: tuple[int, ...] = ()


class ComparedDataset(msgspec.Struct, frozen=True):
    """A dataset by name: its version or digest in each run, and what for (`train`, `test`…) where that was said."""

    name: str
    versions: tuple[str | None, ...]
    context: str | None = None

    @property
    def differs(self) -> bool:
        return len(set(self.versions)) > 1


class Comparison(msgspec.Struct, frozen=True):
    """Runs beside each other.

    Attributes:
        runs: the runs in the order asked for.
        parameters_differing: parameters that do not have one value in all runs.
        parameters_same: those that do.
        metrics: latest values, best ones marked.
        datasets: what the runs read.
        code: entry, source bundle, commit and uncommitted changes (as `changed` or `clean`), where any run has them.
        code_differs: whether the code of any two runs is not the same, as far as they say.
        environment_differing: python, platform and packages that are not the same in all runs that captured theirs.
        packages_same: how many packages are.
        curves: metrics by step.
    """

    runs: tuple[RunSummary, ...]
    parameters_differing: tuple[ComparedText, ...]
    parameters_same: dict[str, str]
    metrics: tuple[ComparedMetric, ...]
    datasets: tuple[ComparedDataset, ...]
    code: tuple[ComparedText, ...]
    code_differs: bool
    environment_differing: tuple[ComparedText, ...]
    packages_same: int
    curves: tuple[RunCurve, ...] = ()


def compare(runs: Sequence[RunDescription], curves: Iterable[RunCurve] = ()) -> Comparison:
    """Sets runs beside each other; the order of keys is that of their names."""
    parameters = _rows([item.run.parameters for item in runs])
    code = _code(runs)
    differing, same = _environment(runs)
    return Comparison(
        runs=tuple(item.run for item in runs),
        parameters_differing=tuple(row for row in parameters if _differs(row.values)),
        parameters_same={
            row.key: value
            for row in parameters
            if not _differs(row.values) and (value := row.values[0]) is not None
        },
        metrics=tuple(_metrics([item.run.metrics for item in runs])),
        datasets=tuple(_datasets(runs)),
        code=code,
        code_differs=any(_differs(row.values) for row in code),
        environment_differing=differing,
        packages_same=same,
        curves=tuple(curves),
    )


def better(key: str) -> Direction | None:
    """Which way a metric gets better, by its name; None where the name does not say.

    Example:
        >>> better("val_loss"), better("validation/roc_auc"), better("epoch"), better("error_score")
        ('lower', 'higher', None, None)
    """
    from holdfast.statistics.metrics import METRICS

    known = METRICS.get(key)
    if known is not None:
        return "higher" if known.greater_is_better else "lower"
    words = set(_WORD.findall(key.lower().replace("_", " ")))
    higher, lower = bool(words & _HIGHER), bool(words & _LOWER)
    # A name that says both, such as `error_score`, says neither.
    if higher == lower:
        return None
    # scikit-learn negates its errors so that more is better: `neg_mean_squared_error`.
    return "higher" if higher or "neg" in words else "lower"


def best_places(values: Sequence[Measured | None], direction: Direction | None) -> tuple[int, ...]:
    """The places of the best values; none when no two runs can be told apart.

    Example:
        >>> best_places([0.3, 0.1, None, "NaN", 0.1], "lower"), best_places([1.0, 1.0], "higher")
        ((1, 4), ())
    """
    numbers = {place: float(value) for place, value in enumerate(values) if value is not None}
    numbers = {place: value for place, value in numbers.items() if value == value}
    if direction is None or len(set(numbers.values())) < 2:
        return ()
    top = max(numbers.values()) if direction == "higher" else min(numbers.values())
    return tuple(place for place, value in numbers.items() if value == top)


def _metrics(values: Sequence[Mapping[str, Measured]]) -> Iterable[ComparedMetric]:
    for key in _keys(values):
        row = tuple(each.get(key) for each in values)
        direction = better(key)
        yield ComparedMetric(key, row, direction, best_places(row, direction))


def _rows(values: Sequence[Mapping[str, str]]) -> list[ComparedText]:
    return [ComparedText(key, tuple(each.get(key) for each in values)) for key in _keys(values)]


def _keys(values: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({key for each in values for key in each})


def _differs(values: Iterable[str | None]) -> bool:
    return len(set(values)) > 1


def _datasets(runs: Sequence[RunDescription]) -> Iterable[ComparedDataset]:
    read: list[dict[tuple[str, str | None], str]] = []
    for item in runs:
        found: dict[tuple[str, str | None], str] = {}
        for urn in item.datasets:
            name, _, version = urn.removeprefix("data/").partition("@")
            found[name, None] = version
        for given in item.run.inputs:
            found[given.dataset.name, given.tags.get("mlflow.data.context")] = given.dataset.digest
        read.append(found)
    keys = {key for found in read for key in found}
    for name, context in sorted(keys, key=lambda key: (key[0], key[1] or "")):
        yield ComparedDataset(name, tuple(found.get((name, context)) for found in read), context)


def _code(runs: Sequence[RunDescription]) -> tuple[ComparedText, ...]:
    # Each part is None in a run that does not say it.
    parts: dict[str, Callable[[RunDescription], str | None]] = {
        "entry": lambda item: item.code.entry if item.code else item.run.tags.get(SOURCE_TAG),
        "bundle": lambda item: item.code.bundle if item.code else None,
        "commit": lambda item: item.code.git_commit if item.code else item.run.tags.get(COMMIT_TAG),
        "changes": lambda item: (
            ("changed" if item.code.git_diff else "clean") if item.code and item.code.git_commit else None
        ),
    }
    rows = (ComparedText(key, tuple(read(item) for item in runs)) for key, read in parts.items())
    return tuple(row for row in rows if any(value is not None for value in row.values))


def _environment(runs: Sequence[RunDescription]) -> tuple[tuple[ComparedText, ...], int]:
    """What differs among the runs that captured their environment, and how many packages do not."""
    captured = [item.environment for item in runs]
    known = [place for place, item in enumerate(captured) if item is not None]
    if len(known) < 2:
        return (), 0
    heads = [{} if item is None else {"python": item.python, "platform": item.platform} for item in captured]
    packages = [{} if item is None else item.packages for item in captured]
    rows = _rows(packages)
    differing = [row for row in (*_rows(heads), *rows) if _differs(row.values[place] for place in known)]
    return tuple(differing), sum(1 for row in rows if not _differs(row.values[place] for place in known))
