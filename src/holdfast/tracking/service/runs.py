"""The verbs of runs that tracking clients use: create, log, end, delete and restore, search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from random import Random
from typing import TypeVar

import msgspec

from holdfast.base import audit, events, lineage, urn
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.tracking import policy
from holdfast.tracking.errors import NotActiveError, ParameterChangedError
from holdfast.tracking.filter import Grammar, parse, parse_orders
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.records import (
    LoggedPoint,
    LoggedRun,
    ModelLink,
    Run,
    RunHead,
    RunInput,
    RunStatus,
    View,
)
from holdfast.tracking.service import experiments as experiment_verbs
from holdfast.tracking.service.experiments import ExperimentService
from holdfast.tracking.service.run_access import artifact_root, head_in
from holdfast.tracking.store import inputs as input_store
from holdfast.tracking.store import logged_models as model_store
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store import runs as store
from holdfast.tracking.store import search
from holdfast.tracking.store.paging import fingerprint

T = TypeVar("T")

NAME_TAG = "mlflow.runName"
PAGE_MOST = 50_000
_LEGAL_STATUS = frozenset({"running", "scheduled", "finished", "failed", "killed"})
_ENDED = frozenset({"finished", "failed", "killed"})


class LoggedRunPage(msgspec.Struct, frozen=True):
    """One page of runs; `next_page` asks for the next one."""

    runs: tuple[LoggedRun, ...]
    next_page: str | None = None


class RunService:
    """Runs of one ledger, as tracking clients log and read them."""

    def __init__(self, ledger: Ledger, clock: Clock, experiments: ExperimentService, rng: Random) -> None:
        self._ledger = ledger
        self._clock = clock
        self._experiments = experiments
        self._rng = rng

    def create(
        self,
        context: Context,
        experiment_id: str,
        *,
        name: str = "",
        user: str = "",
        started_at: Micros | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> LoggedRun:
        """Begins a run under an id of its own, and returns once it is durable; raises as `submit_create`."""
        return self.submit_create(
            context, experiment_id, name=name, user=user, started_at=started_at, tags=tags
        ).result()

    def submit_create(
        self,
        context: Context,
        experiment_id: str,
        *,
        name: str = "",
        user: str = "",
        started_at: Micros | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Future[LoggedRun]:
        """Queues the beginning of a run under an id of its own; the future is done once it is durable.

        Raises:
            NotFoundError: there is no such experiment.
            NotActiveError: it is deleted.
            InvalidError: a tag, the name or the start is not legal.
        """
        checked = policy.check_tags(tags)
        name = _agreed_name(name, checked.get(NAME_TAG, ""))
        policy.check_length(name, policy.EXPERIMENT_NAME_MOST, "Run name")
        policy.check_length(user, policy.KEY_MOST, "user_id")
        if started_at is not None:
            policy.check_time(started_at // 1000, "start_time")
        self._experiments.prepare(context)
        run_id = new_run_id(self._rng)
        name = name or f"run-{run_id[:8]}"
        at = self._clock.now() if started_at is None else started_at
        run = Run(
            run_id=run_id,
            experiment="",
            name=name,
            status="running",
            started_at=at,
            created_by=user or context.actor.name,
            tags={**checked, NAME_TAG: name},
        )

        def change(transaction: Transaction) -> LoggedRun:
            experiment = experiment_verbs.experiment_in(transaction, context, experiment_id or "0")
            experiment_verbs.check_active(experiment)
            root = artifact_root(experiment.artifact_location, run_id)
            number = store.insert(transaction, context.project, run, experiment.number, root)
            return LoggedRun(
                number=number,
                run_id=run_id,
                experiment_id=experiment.experiment_id,
                name=name,
                status="running",
                lifecycle="active",
                started_at=at,
                ended_at=None,
                user=run.created_by,
                artifact_root=root,
                tags=run.tags,
            )

        return self._ledger.submit(change)

    def get(self, context: Context, run_id: str) -> LoggedRun:
        """A run with everything that was logged to it, deleted or not; `NotFoundError` when there is none."""
        with self._ledger.read() as reader:
            return store.logged(reader, [head_in(reader, context, run_id).number])[0]

    def update(
        self,
        context: Context,
        run_id: str,
        *,
        status: str | None = None,
        ended_at: Micros | None = None,
        name: str | None = None,
    ) -> LoggedRun:
        """Changes status, end or name of an active run, and returns it without what was logged.

        A run that ends tells so by an event, and its metrics are packed.
        """
        if status is not None and status not in _LEGAL_STATUS:
            raise InvalidError(f"Invalid status {status[:50]!r}", field="status")
        if ended_at is not None:
            policy.check_time(ended_at // 1000, "end_time")
        tags = policy.check_tags([(NAME_TAG, name)]) if name else {}
        at = self._clock.now()

        def change(transaction: Transaction, head: RunHead) -> LoggedRun:
            changes = {"status": status, "ended_at": ended_at, "name": name or None}
            changes = {key: value for key, value in changes.items() if value is not None}
            if changes:
                store.update(transaction, head.number, changes)
                store.set_tags(transaction, head.number, tags)
            if status in _ENDED and head.status not in _ENDED:
                _announce_end(transaction, context, run_id, status, at)
                metric_store.settle(transaction, head.number)
            return store.logged(transaction, [head.number], brief=True)[0]

        return self._change(context, run_id, change)

    def delete(self, context: Context, run_id: str) -> None:
        """Deletes a run; it can be restored until the garbage is collected. Twice does no harm."""
        self._set_lifecycle(context, run_id, "deleted")

    def restore(self, context: Context, run_id: str) -> None:
        """Restores a deleted run. Twice does no harm."""
        self._set_lifecycle(context, run_id, "active")

    def log_batch(
        self,
        context: Context,
        run_id: str,
        points: Sequence[LoggedPoint] = (),
        parameters: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Logs points, parameters and tags, all or none of them, and returns once they are durable.

        Raises: as `submit_batch`, whose future raises some of them.
        """
        self.submit_batch(context, run_id, points, parameters, tags).result()

    def submit_batch(
        self,
        context: Context,
        run_id: str,
        points: Sequence[LoggedPoint] = (),
        parameters: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> Future[None]:
        """Queues points, parameters and tags, all or none of them; the future is done once they are durable.

        Raises:
            InvalidError: a name, value or amount is not legal.
            ParameterChangedError: a parameter has another value already.
            NotFoundError: there is no such run.
            NotActiveError: it is deleted.
        """
        policy.check_batch(points, len(parameters), len(tags))
        policy.check_points(points)
        wanted, set_tags = policy.check_parameters(parameters), policy.check_tags(tags)
        # Packed here, so that the ledger is not held for it.
        prepared = metric_store.prepare(
            [(point.key, point.step, point.at, float(point.value)) for point in points]
        )
        about_models = any(point.model_id for point in points)

        def change(transaction: Transaction, head: RunHead) -> None:
            if wanted:
                _set_parameters(transaction, run_id, head, wanted)
            if set_tags:
                _set_tags(transaction, head, set_tags)
            if prepared.points:
                metric_store.append(transaction, head.number, head.experiment_number, prepared)
            if about_models:
                model_store.add_points(transaction, context.project, run_id, points)

        return self._submit(context, run_id, change)

    def delete_tag(self, context: Context, run_id: str, key: str) -> None:
        """Removes a tag of an active run; `NotFoundError` when there is none."""

        def change(transaction: Transaction, head: RunHead) -> None:
            if not store.delete_tag(transaction, head.number, key):
                raise NotFoundError(f"No tag with name: {key[:200]} in run with id {run_id}")

        self._change(context, run_id, change)

    def log_inputs(
        self, context: Context, run_id: str, datasets: Sequence[RunInput], models: Sequence[ModelLink] = ()
    ) -> None:
        """Notes what a run read, as lineage too."""
        if len(datasets) > policy.METRICS_MOST:
            raise InvalidError(f"at most {policy.METRICS_MOST} datasets are logged at once")
        policy.check_inputs(datasets)
        at = self._clock.now()

        def change(transaction: Transaction, head: RunHead) -> None:
            for given in datasets:
                input_store.add_dataset(transaction, head.experiment_number, head.number, given)
                source = urn.source(f"{given.dataset.name}@{given.dataset.digest}")
                lineage.record_edge(transaction, context, source, "trained", urn.run(run_id), at)
            for link in models:
                input_store.add_model(transaction, head.number, "input", link)
                lineage.record_edge(
                    transaction, context, urn.logged_model(link.model_id), "read by", urn.run(run_id), at
                )

        self._change(context, run_id, change)

    def log_outputs(self, context: Context, run_id: str, models: Sequence[ModelLink]) -> None:
        """Notes which logged models a run wrote, as lineage too."""
        at = self._clock.now()

        def change(transaction: Transaction, head: RunHead) -> None:
            for link in models:
                input_store.add_model(transaction, head.number, "output", link)
                lineage.record_edge(
                    transaction, context, urn.run(run_id), "wrote", urn.logged_model(link.model_id), at
                )

        self._change(context, run_id, change)

    def append_to_tag(self, context: Context, run_id: str, key: str, item: object) -> None:
        """Adds an item to the JSON list that a tag holds (`mlflow.log-model.history`)."""

        def change(transaction: Transaction, head: RunHead) -> None:
            known = store.tag(transaction, head.number, key)
            try:
                items = [] if known is None else msgspec.json.decode(known, type=list[object])
            except msgspec.MsgspecError:
                items = []
            text = msgspec.json.encode([*items, item]).decode()
            store.set_tags(transaction, head.number, policy.check_tags([(key, text)]))

        self._change(context, run_id, change)

    def search(
        self,
        context: Context,
        experiment_ids: Sequence[str],
        *,
        condition: str = "",
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 1000,
        page: str | None = None,
        grammar: Grammar = search.RUNS,
    ) -> LoggedRunPage:
        """Runs of some experiments that fulfil a condition of a grammar, by default those started last first.

        Raises:
            InvalidError: the condition, an order or the page mark is not legal.
        """
        if not 1 <= limit <= PAGE_MOST:
            raise InvalidError(
                f"Invalid value {limit} for parameter 'max_results'", hint=f"use 1 to {PAGE_MOST}"
            )
        parsed = parse(condition, grammar)
        orders = parse_orders(order_by, search.RUNS)
        if len({(order.kind, order.key) for order in orders}) < len(orders):
            raise InvalidError(f"`order_by` contains duplicate fields: {list(order_by)}")
        asked = fingerprint(condition, order_by, view, sorted(experiment_ids))
        with self._ledger.read() as reader:
            numbers = search.experiment_numbers(
                reader, context.project, [experiment_verbs.parse_id(item) for item in experiment_ids]
            )
            found = search.search_runs(reader, numbers, parsed, view, orders, limit, page, asked)
            return LoggedRunPage(tuple(store.logged(reader, found.numbers)), found.next_mark)

    def dataset_summaries(
        self, context: Context, experiment_ids: Sequence[str]
    ) -> list[tuple[str, str, str, str | None]]:
        """(experiment id, name, digest, context) of what the runs of some experiments read."""
        with self._ledger.read() as reader:
            numbers = search.experiment_numbers(
                reader, context.project, [experiment_verbs.parse_id(item) for item in experiment_ids]
            )
            return input_store.summaries(reader, numbers) if numbers else []

    def _set_lifecycle(self, context: Context, run_id: str, lifecycle: str) -> None:
        at = self._clock.now()

        def change(transaction: Transaction) -> None:
            head = head_in(transaction, context, run_id)
            if head.lifecycle == lifecycle:
                return
            deleted_at = at if lifecycle == "deleted" else None
            store.update(transaction, head.number, {"lifecycle": lifecycle, "deleted_at": deleted_at})
            action = "tracking.delete" if lifecycle == "deleted" else "tracking.restore"
            audit.record(transaction, context, action, urn.run(run_id), {}, at)

        self._ledger.write(change)

    def _change(self, context: Context, run_id: str, change: Callable[[Transaction, RunHead], T]) -> T:
        return self._submit(context, run_id, change).result()

    def _submit(
        self, context: Context, run_id: str, change: Callable[[Transaction, RunHead], T]
    ) -> Future[T]:
        def checked(transaction: Transaction) -> T:
            head = head_in(transaction, context, run_id)
            if head.lifecycle != "active":
                raise NotActiveError(
                    f"The run {run_id} must be in the 'active' state. Current state is {head.lifecycle}"
                )
            return change(transaction, head)

        return self._ledger.submit(checked)


def _agreed_name(name: str, tag: str) -> str:
    if name and tag and name != tag:
        raise InvalidError(
            f"Both 'run_name' argument and '{NAME_TAG}' tag are specified, but with different values"
            f" (run_name={name!r}, {NAME_TAG}={tag!r})"
        )
    return name or tag


def _set_parameters(transaction: Transaction, run_id: str, head: RunHead, wanted: dict[str, str]) -> None:
    known = store.parameters(transaction, head.number, list(wanted))
    for key, value in known.items():
        if wanted[key] != value:
            raise ParameterChangedError(
                f"Changing param values is not allowed. Param with key={key!r} was already logged with"
                f" value={value!r} for run ID={run_id!r}. Attempted logging new value {wanted[key]!r}"
            )
    store.set_parameters(
        transaction, head.number, {key: value for key, value in wanted.items() if key not in known}
    )


def _set_tags(transaction: Transaction, head: RunHead, tags: dict[str, str]) -> None:
    store.set_tags(transaction, head.number, tags)
    if tags.get(NAME_TAG):
        store.update(transaction, head.number, {"name": tags[NAME_TAG]})


def _announce_end(
    transaction: Transaction, context: Context, run_id: str, status: RunStatus | str | None, at: Micros
) -> None:
    if status == "finished":
        events.emit(transaction, context, "tracking.run_finished", {"run_id": run_id}, at)
    else:
        payload = {"run_id": run_id, "status": str(status)}
        events.emit(transaction, context, "tracking.run_failed", payload, at)
