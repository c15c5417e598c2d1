"""Which columns the table of runs has: chosen in the URL as `metrics.loss,params.lr`, else what tells runs apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from holdfast.tracking.comparison import better
from holdfast.tracking.run_records import RunSummary
from holdfast.ui.runs.curves import is_system

Kind = Literal["metrics", "params", "tags"]

KINDS: tuple[Kind, ...] = ("metrics", "params", "tags")
TITLES = {"metrics": "Metrics", "params": "Parameters", "tags": "Tags"}
COLUMNS_MOST = 40
_DEFAULT_METRICS = 3
_DEFAULT_PARAMETERS = 3
_OFFERED_MOST = 60


class Chosen(msgspec.Struct, frozen=True):
    """One metric, parameter or tag as a column."""

    kind: Kind
    key: str

    @property
    def name(self) -> str:
        """How the URL names it."""
        return f"{self.kind}.{self.key}"

    @property
    def field(self) -> str:
        """How the filter grammar names it.

        Example:
            >>> Chosen("metrics", "val loss").field, Chosen("params", "lr").field
            ('metrics.`val loss`', 'params.lr')
        """
        plain = all(char.isalnum() or char in "_-/:." for char in self.key) and self.key.isascii()
        quoted = self.key if plain and not self.key.startswith(".") else f"`{self.key}`"
        return f"{self.kind}.{quoted}"

    @property
    def first_direction(self) -> str:
        """The direction a reader wants first: a metric from its best value, all else from A."""
        if self.kind != "metrics":
            return "ASC"
        return "ASC" if better(self.key) == "lower" else "DESC"

    def value(self, run: RunSummary) -> Any:
        """What a run has there; None where it has nothing."""
        if self.kind == "metrics":
            found = run.metrics.get(self.key)
            return None if found is None else float(found)
        return (run.parameters if self.kind == "params" else run.tags).get(self.key)


def parse(names: Sequence[str]) -> list[Chosen]:
    """The columns that a URL names; what is none of the three kinds is left out.

    Example:
        >>> [item.key for item in parse(["metrics.a.b", "params.lr", "nonsense"])]
        ['a.b', 'lr']
    """
    found = []
    for name in names[:COLUMNS_MOST]:
        kind, _, key = name.partition(".")
        known = next((item for item in KINDS if kind in (item, item.removesuffix("s"))), None)
        if known is not None and key:
            found.append(Chosen(known, key))
    return list(dict.fromkeys(found))


def defaults(runs: Sequence[RunSummary]) -> list[Chosen]:
    """Metrics that most runs share, and parameters that differ between them."""
    metrics = Counter(key for run in runs for key in run.metrics if not is_system(key))
    shared = sorted(metrics, key=lambda key: (-metrics[key], better(key) is None, key))
    parameters = Counter(key for run in runs for key in run.parameters)
    differing = [key for key in parameters if len({run.parameters.get(key, "") for run in runs} - {""}) > 1]
    differing.sort(key=lambda key: (-parameters[key], key))
    return [
        *(Chosen("metrics", key) for key in shared[:_DEFAULT_METRICS]),
        *(Chosen("params", key) for key in differing[:_DEFAULT_PARAMETERS]),
    ]


def offered(runs: Sequence[RunSummary], chosen: Sequence[Chosen]) -> dict[Kind, list[Chosen]]:
    """What a reader may choose from: everything these runs have, most frequent first, and what is chosen already."""
    found: dict[Kind, list[Chosen]] = {}
    for kind in KINDS:
        counts = Counter(key for run in runs for key in _keys(run, kind))
        often = sorted(counts, key=lambda key: (is_system(key), -counts[key], key))[:_OFFERED_MOST]
        known = [item.key for item in chosen if item.kind == kind]
        found[kind] = [Chosen(kind, key) for key in dict.fromkeys([*known, *often])]
    return found


def _keys(run: RunSummary, kind: Kind) -> Sequence[str]:
    if kind == "metrics":
        return list(run.metrics)
    if kind == "params":
        return list(run.parameters)
    # What the clients note for themselves is rarely worth a column, and has a place on the run's page.
    return [key for key in run.tags if key != "mlflow.runName" and not key.startswith("mlflow.log-model")]
