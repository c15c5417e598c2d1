"""The verbs of monitoring: follow the prediction log, check, alert, and show.

Windows and the log cursor are written in one transaction, and so are checks, alerts and events: a crash between
any two steps leaves a ledger from which the next call goes on as if nothing had happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.base import lineage, urn
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, Clock, Micros
from holdfast.base.context import Context, system_context
from holdfast.base.encoding import from_msgpack
from holdfast.base.errors import NotFoundError
from holdfast.base.events import emit
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.monitoring import store
from holdfast.monitoring.alerts import follow
from holdfast.monitoring.errors import NoAlertError
from holdfast.monitoring.follower import LogFollower
from holdfast.monitoring.records import (
    Alert,
    Check,
    CheckKind,
    DriftReport,
    GetAlertRequest,
    ListAlertsRequest,
    ListChecksRequest,
    ModelHealthRequest,
    MonitorPolicy,
    QualityPoint,
    Window,
)
from holdfast.registry.baseline import DEFAULT_LOSS, Baseline
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.serving.records import DeploymentKey

if TYPE_CHECKING:
    from holdfast.monitoring.drift import ReferenceVariation
    from holdfast.monitoring.policy import Outcome
    from holdfast.monitoring.windows import Pins
    from holdfast.serving.log import PredictionLog

_FOR_EVER = 1 << 62

# No check looks further back: labels that come later than this are not joined.
_LOOKBACK_US = 120 * DAY_US
_DRIFT: tuple[CheckKind, ...] = ("input drift", "prediction drift")


class MonitoringService:
    """Watches deployments. One instance follows each of them; what it remembers, it can read again."""

    def __init__(
        self, ledger: Ledger, blobs: Blobs, clock: Clock, registry: RegistryService, log: PredictionLog
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._registry = registry
        self._follower = LogFollower(ledger, log, self._pins)
        self._baselines: dict[str, Baseline | None] = {}
        self._variations: dict[tuple[str, str, int, int], ReferenceVariation] = {}

    @operation("GET", "/alerts", "List alerts, newest first.")
    def list_alerts(self, context: Context, request: ListAlertsRequest) -> list[Alert]:
        with self._ledger.read() as reader:
            return store.list_alerts(
                reader,
                context.project,
                model=request.model,
                environment=request.environment,
                state=request.state,
                before=request.before,
                limit=request.limit,
            )

    @operation("GET", "/alerts/{number}", "Show an alert.")
    def get_alert(self, context: Context, request: GetAlertRequest) -> Alert:
        with self._ledger.read() as reader:
            alert = store.find_alert(reader, context.project, request.number)
        if alert is None:
            raise NoAlertError(f"there is no alert {request.number}", hint="list them with `holdfast status`")
        return alert

    @operation("GET", "/checks", "List checks, newest first.")
    def list_checks(self, context: Context, request: ListChecksRequest) -> list[Check]:
        with self._ledger.read() as reader:
            return store.list_checks(
                reader,
                context.project,
                model=request.model,
                environment=request.environment,
                kind=request.kind,
                before=request.before,
                limit=request.limit,
            )

    @operation("GET", "/models/{name}/quality", "Quality of what was served, day by day.")
    def quality(self, context: Context, request: ModelHealthRequest) -> list[QualityPoint]:
        from holdfast.monitoring.quality import quality_points

        with self._ledger.read() as reader:
            windows = store.list_windows(
                reader, context.project, request.environment, request.name, 0, _FOR_EVER
            )
        return quality_points(windows)

    def recent_quality(
        self, context: Context, environment: str, model: str, version: int, since_at: Micros
    ) -> QualityPoint:
        """The quality of one version over all days from that of `since_at`, as one point with its 95% interval."""
        from holdfast.monitoring.quality import pooled_point

        first_day = since_at // DAY_US * DAY_US
        with self._ledger.read() as reader:
            windows = store.list_windows(reader, context.project, environment, model, first_day, _FOR_EVER)
        return pooled_point(first_day, [window for window in windows if window.version == version])

    @operation("GET", "/models/{name}/drift", "The latest findings on drift of inputs and predictions.")
    def drift(self, context: Context, request: ModelHealthRequest) -> DriftReport:
        with self._ledger.read() as reader:
            checks = [
                check
                for kind in _DRIFT
                for check in store.list_checks(
                    reader,
                    context.project,
                    model=request.name,
                    environment=request.environment,
                    kind=kind,
                    limit=1,
                )
            ]
        return DriftReport(request.name, request.environment, tuple(checks))

    def open_alerts(self, reader: Reader, context: Context, environment: str, model: str) -> list[Alert]:
        """The alerts of a deployment that have not been resolved, oldest first."""
        found = store.list_alerts(reader, context.project, model=model, environment=environment, state="open")
        return found[::-1]

    def windows(
        self,
        reader: Reader,
        context: Context,
        environment: str,
        model: str,
        from_at: Micros,
        until_at: Micros,
    ) -> list[Window]:
        """The windows of the days in [from_at, until_at), by day and version."""
        return store.list_windows(reader, context.project, environment, model, from_at, until_at)

    def watch(
        self,
        context: Context,
        environment: str,
        version: ModelVersion,
        policy: MonitorPolicy,
        now: Micros | None = None,
    ) -> list[Check]:
        """Follows the log and, when `policy.every_us` has passed since the last checks, checks; else nothing."""
        now = self._clock.now() if now is None else now
        self.observe(context, environment, version.name)
        with self._ledger.read() as reader:
            last = store.list_checks(
                reader,
                context.project,
                model=version.name,
                environment=environment,
                version=version.version,
                limit=1,
            )
        if last and now - last[0].checked_at < policy.every_us:
            return []
        baseline = self.baseline(version)
        if baseline is None:
            return []
        return self.check(
            context,
            environment,
            version.name,
            version.version,
            policy,
            baseline,
            now,
            since_at=_serving_since(version),
        )

    def observe(self, context: Context, environment: str, model: str) -> int:
        """Brings the windows of a deployment up to date with its log; returns how many of them changed."""
        return self._follower.observe(DeploymentKey(context.project, environment, model))

    def check(
        self,
        context: Context,
        environment: str,
        model: str,
        version: int,
        policy: MonitorPolicy,
        baseline: Baseline,
        now: Micros,
        *,
        since_at: Micros = 0,
    ) -> list[Check]:
        """Checks a version's windows as they are now, and opens, updates or resolves alerts.

        Days before that of `since_at` do not count: a version that came back after a rollback is not judged by
        what it did months ago. A second call for the same moment returns the checks of the first and changes nothing.
        """
        from holdfast.monitoring.policy import evaluate, window_bounds

        with self._ledger.read() as reader:
            windows = store.list_windows(
                reader, context.project, environment, model, now - _LOOKBACK_US - policy.window_us, now
            )
        first_day = since_at // DAY_US * DAY_US
        present = [window for window in windows if window.day_at >= first_day]
        mine = [window for window in present if window.version == version or window.rejected]
        from_at, until_at = window_bounds(policy, now)
        outcomes = evaluate(
            policy,
            baseline,
            mine,
            now,
            self._variation((context.project, model, version), baseline, policy),
            sum(window.requests for window in present if from_at <= window.day_at < until_at),
        )

        def record(transaction: Transaction) -> list[Check]:
            known = store.list_checks(
                transaction,
                context.project,
                model=model,
                environment=environment,
                version=version,
                checked_at=now,
            )
            if known:
                return known[::-1]
            return [
                self._record(transaction, context, environment, model, version, outcome, now)
                for outcome in outcomes
            ]

        return self._ledger.write(record)

    def baseline(self, version: ModelVersion) -> Baseline | None:
        """What a version's production data is compared with; None where training kept nothing."""
        if version.profile not in self._baselines:
            self._baselines[version.profile] = (
                from_msgpack(self._blobs.read(version.profile), Baseline) if version.profile else None
            )
        return self._baselines[version.profile]

    def _variation(
        self, subject: tuple[str, str, int], baseline: Baseline, policy: MonitorPolicy
    ) -> ReferenceVariation:
        from holdfast.monitoring.drift import reference_variation

        key = (*subject, policy.window_us)
        if key not in self._variations:
            self._variations[key] = reference_variation(baseline, policy.window_us)
        return self._variations[key]

    def _pins(self, project: str, model: str, version: int) -> Pins:
        from holdfast.monitoring.windows import Pins

        try:
            found = self._registry.version(system_context(project), model, version)
        except NotFoundError:
            return (
                Pins()
            )  # The log may tell of a version that this home does not have, after a partial restore.
        baseline = self.baseline(found)
        if baseline is None:
            # A version from outside has nothing to be compared with; its labels still say how good it is.
            return Pins(metric=DEFAULT_LOSS.get(found.task, ""))
        return Pins(baseline.inputs, baseline.prediction, baseline.losses.metric, baseline.categories)

    def _record(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        model: str,
        version: int,
        outcome: Outcome,
        now: Micros,
    ) -> Check:
        """Stores one check and takes the step of its alert."""
        previous = store.list_checks(
            transaction, context.project, model=model, environment=environment, kind=outcome.kind, limit=1
        )
        check = Check(
            0,
            model,
            environment,
            version,
            outcome.kind,
            outcome.state,
            outcome.window_from_at,
            outcome.window_until_at,
            now,
            outcome.rows,
            outcome.message,
            outcome.findings,
        )
        number = store.insert_check(transaction, context.project, check)
        check = msgspec.structs.replace(check, number=number)
        present = store.list_alerts(
            transaction,
            context.project,
            model=model,
            environment=environment,
            kind=outcome.kind,
            state="open",
        )
        step = follow(present[0] if present else None, check, previous[0] if previous else None)
        if step.resolved is not None:
            store.update_alert(transaction, context.project, step.resolved)
            _announce(transaction, context, "monitoring.alert_resolved", step.resolved, now)
        if step.updated is not None:
            store.update_alert(transaction, context.project, step.updated)
        if step.opened is not None:
            number = store.insert_alert(transaction, context.project, step.opened)
            opened = msgspec.structs.replace(step.opened, number=number)
            source = urn.model_version(model, version)
            lineage.record_edge(transaction, context, source, "alerted by", opened.urn, now)
            _announce(transaction, context, "monitoring.alert_opened", opened, now)
        return check


def _serving_since(version: ModelVersion) -> Micros:
    """When a version's present stretch of serving began, the first share of a canary or a shadow included."""
    since = 0
    for step in version.transitions:
        if step.stage not in ("staged", "live"):
            since = 0
        elif since == 0:
            since = step.at
    return since


def _announce(transaction: Transaction, context: Context, kind: str, alert: Alert, at: Micros) -> None:
    payload = {
        "alert": alert.number,
        "model": alert.model,
        "environment": alert.environment,
        "version": alert.version,
        "kind": alert.kind,
    }
    emit(transaction, context, kind, payload, at)
