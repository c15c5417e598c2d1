"""The nouns of monitoring: policy, check, alert, window."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.base.clock import DAY_US, Micros, format_time
from holdfast.profiles.records import Profile

CheckKind = Literal["input drift", "prediction drift", "data quality", "performance"]
CheckState = Literal["ok", "drifting", "degraded", "violated", "insufficient data", "not supported"]
AlertState = Literal["open", "resolved"]

# The states of a check that a person or the loop should know of.
PROBLEMS: tuple[CheckState, ...] = ("drifting", "degraded", "violated")

# The subject of a finding that speaks of all columns together.
EVERYTHING = "all columns"


class MonitorPolicy(msgspec.Struct, frozen=True):
    """What a model is watched with; the defaults need no set-up.

    A check looks at the last `window_us`, every `every_us`, needs `min_rows` rows (`min_labels` labels), and
    alarms when an effect is significant at `alpha` (corrected over features) and beyond `effect`
    (Kolmogorov-Smirnov or Jensen-Shannon distance), or the loss beyond `performance_effect` (relative).
    """

    window_us: int = 7 * DAY_US
    every_us: int = DAY_US
    min_rows: int = 100
    min_labels: int = 100
    alpha: float = 0.01
    effect: float = 0.15
    performance_effect: float = 0.15
    metric: str | None = None


class Finding(msgspec.Struct, frozen=True):
    """What a check says of one column or of the whole: the effect, its uncertainty and the sentence to show."""

    subject: str
    state: CheckState
    message: str
    effect: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    minimum_detectable_effect: float | None = None
    interval: tuple[float, float] | None = None
    detail: dict[str, Any] = {}


class Check(msgspec.Struct, frozen=True):
    """One check of one kind over one window of one deployment's version."""

    number: int
    model: str
    environment: str
    version: int
    kind: CheckKind
    state: CheckState
    window_from_at: Micros
    window_until_at: Micros
    checked_at: Micros
    rows: int
    message: str
    findings: tuple[Finding, ...] = ()


class Alert(msgspec.Struct, frozen=True):
    """A condition that a person or the loop should know of; one row from its opening to its end."""

    number: int
    model: str
    environment: str
    version: int
    kind: CheckKind
    state: AlertState
    opened_at: Micros
    message: str
    check: int
    last_seen_at: Micros
    findings: tuple[Finding, ...] = ()
    resolved_at: Micros | None = None
    resolution: str = ""

    @property
    def urn(self) -> str:
        return f"monitoring/alert/{self.number}"

    @property
    def told(self) -> str:
        """The message, with the day it was said where that is not the day on which the alert opened."""
        if self.last_seen_at // DAY_US == self.opened_at // DAY_US:
            return self.message
        return f"on {format_time(self.last_seen_at)[:10]}: {self.message}"


class QualityPoint(msgspec.Struct, frozen=True):
    """Quality of one day: the metric of what was served, with its 95% interval, and how many labels it rests on."""

    day_at: Micros
    rows: int
    labelled: int
    value: float | None = None
    interval: tuple[float, float] | None = None
    version: int | None = None


class LossSums(msgspec.Struct, frozen=True):
    """Sums over the losses of labelled rows in order of time; enough for mean, scatter and dependence.

    `sum_of_products` is over each loss times the one before it.
    """

    count: int = 0
    sum: float = 0.0
    sum_of_squares: float = 0.0
    sum_of_products: float = 0.0
    first: float = 0.0
    last: float = 0.0


class Window(msgspec.Struct, frozen=True):
    """What one version answered on one UTC day: mergeable sums and profiles, nothing of single rows.

    `inputs` and `prediction` are counted in the cells of the version's baseline, None where it has none.
    `flagged` counts requests by what the contract noted of them, `rejected` refused requests by error code; they
    reached no version, so the windows of version 0 count them. `metric` is the one whose losses `losses` sums.
    """

    version: int
    day_at: Micros
    rows: int = 0
    requests: int = 0
    errors: int = 0
    latency_us_sum: int = 0
    flagged: dict[str, int] = {}
    rejected: dict[str, int] = {}
    metric: str = ""
    losses: LossSums = LossSums()
    inputs: Profile | None = None
    prediction: Profile | None = None


class DriftReport(msgspec.Struct, frozen=True):
    """The latest answer to whether a model's inputs and predictions have drifted from its training data."""

    model: str
    environment: str
    checks: tuple[Check, ...] = ()


class ListAlertsRequest(msgspec.Struct, frozen=True):
    """Alerts of one model or all, open ones or all; `before` is the number at which the page before ended."""

    model: str | None = None
    environment: str | None = None
    state: AlertState | None = None
    before: int | None = None
    limit: int = 100


class GetAlertRequest(msgspec.Struct, frozen=True):
    """An alert by its number."""

    number: int


class ListChecksRequest(msgspec.Struct, frozen=True):
    """Checks of one model or all, of one kind or all; `before` is the number at which the page before ended."""

    model: str | None = None
    environment: str | None = None
    kind: CheckKind | None = None
    before: int | None = None
    limit: int = 100


class ModelHealthRequest(msgspec.Struct, frozen=True):
    """A model in an environment."""

    name: str
    environment: str = "production"
