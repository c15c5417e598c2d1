"""Gates: what a version must show before it may be deployed."""

from __future__ import annotations

import math

from holdfast.base.errors import DeclarationError
from holdfast.registry.records import GateKind, GateSpec


def at_most(metric: str, threshold: float, *, by: str | None = None, min_rows: int = 30) -> GateSpec:
    """The held-out metric must be at most `threshold`, in every slice of `by` with `min_rows` rows.

    Example:
        >>> str(at_most("mae", 120, by="weathersit", min_rows=200))
        'mae ≤ 120 by weathersit'
    """
    return _threshold("at_most", metric, threshold, by, min_rows)


def at_least(metric: str, threshold: float, *, by: str | None = None, min_rows: int = 30) -> GateSpec:
    """The held-out metric must be at least `threshold`, in every slice of `by` with `min_rows` rows."""
    return _threshold("at_least", metric, threshold, by, min_rows)


def no_worse_than_production(metric: str, *, margin: float = 0.0, min_rows: int = 30) -> GateSpec:
    """The held-out metric must not be worse than that of the version in production on the same rows.

    Args:
        metric: a metric with a per-row loss, e.g. `mae` or `log_loss`.
        margin: the relative loss that still counts as no worse (0.02 is 2%).
        min_rows: without so many held-out rows the gate says `insufficient data`.
    """
    if not 0 <= margin < 1:
        raise DeclarationError(f"margin: {margin!r} is not a share between 0 and 1")
    return GateSpec("no_worse_than_production", metric, margin=margin, min_rows=_rows(min_rows))


def _threshold(kind: GateKind, metric: str, threshold: float, by: str | None, min_rows: int) -> GateSpec:
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not math.isfinite(threshold):
        raise DeclarationError(f"{kind}({metric!r}): {threshold!r} is not a finite number")
    return GateSpec(kind, metric, threshold=float(threshold), by=by, min_rows=_rows(min_rows))


def _rows(count: int) -> int:
    if not isinstance(count, int) or count < 1:
        raise DeclarationError(f"min_rows: {count!r} is not a whole number of at least 1")
    return count
