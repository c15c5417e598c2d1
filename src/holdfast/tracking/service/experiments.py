"""The verbs of experiments: create, look up, search, rename, delete and restore, tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.tracking import policy
from holdfast.tracking.errors import AlreadyExistsError, NotActiveError
from holdfast.tracking.filter import Grammar, Order, parse, parse_orders
from holdfast.tracking.records import Experiment, View
from holdfast.tracking.store import experiments as store
from holdfast.tracking.store import runs as run_store
from holdfast.tracking.store.experiment_search import search_experiments
from holdfast.tracking.store.paging import fingerprint

GRAMMAR = Grammar(
    kinds=frozenset({"tag", "attribute"}),
    attributes={name: name for name in ("name", "experiment_id", "creation_time", "last_update_time")},
    numbers=frozenset({"creation_time", "last_update_time"}),
)
PAGE_MOST = 50_000


class ExperimentPage(msgspec.Struct, frozen=True):
    """One page of experiments; `next_page` asks for the next one."""

    experiments: tuple[Experiment, ...]
    next_page: str | None = None


class ExperimentService:
    """Experiments of one ledger. Experiment 0, "Default", exists in every project."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._prepared: set[str] = set()

    def create(
        self, context: Context, name: str, artifact_location: str = "", tags: Sequence[tuple[str, str]] = ()
    ) -> str:
        """Adds an experiment and returns its id.

        Raises:
            InvalidError: the name, the location or a tag is not legal.
            AlreadyExistsError: an experiment of that name exists, deleted or not.
        """
        policy.check_experiment_name(name)
        policy.check_location(artifact_location)
        checked = policy.check_tags(tags, policy.EXPERIMENT_TAG_MOST)
        self.prepare(context)
        at = self._clock.now()

        def change(transaction: Transaction) -> str:
            _refuse_taken(transaction, context.project, name)
            number = store.insert(transaction, context.project, name, artifact_location.rstrip("/"), at)
            for key, value in checked.items():
                store.set_tag(transaction, number, key, value)
            created = store.find_by_number(transaction, number)
            assert created is not None
            return created.experiment_id

        return self._ledger.write(change)

    def get(self, context: Context, experiment_id: str) -> Experiment:
        """The experiment of an id; `NotFoundError` when there is none."""
        self.prepare(context)
        with self._ledger.read() as reader:
            return experiment_in(reader, context, experiment_id)

    def get_by_name(self, context: Context, name: str) -> Experiment:
        """The experiment of a name, deleted ones too; `NotFoundError` when there is none."""
        self.prepare(context)
        with self._ledger.read() as reader:
            found = store.find_by_name(reader, context.project, name)
        if found is None:
            raise NotFoundError(f"Could not find experiment with name {name[:200]!r}")
        return found

    def search(
        self,
        context: Context,
        *,
        condition: str = "",
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 1000,
        page: str | None = None,
    ) -> ExperimentPage:
        """Experiments that fulfil a condition, by default the newest first.

        Raises:
            InvalidError: the condition, an order or the page mark is not legal.
        """
        if not 1 <= limit <= PAGE_MOST:
            raise InvalidError(f"max_results must be between 1 and {PAGE_MOST}, not {limit}")
        self.prepare(context)
        parsed = parse(condition, GRAMMAR)
        orders = parse_orders(order_by, GRAMMAR) or [Order("attribute", "creation_time", False)]
        asked = fingerprint(condition, order_by, view)
        with self._ledger.read() as reader:
            rows, mark = search_experiments(reader, context.project, parsed, orders, view, limit, page, asked)
        return ExperimentPage(tuple(rows), mark)

    def rename(self, context: Context, experiment_id: str, name: str) -> None:
        """Gives another name; the id stays.

        Raises:
            AlreadyExistsError: another experiment has it.
            NotActiveError: the experiment is deleted.
        """
        policy.check_experiment_name(name)

        def change(transaction: Transaction, found: Experiment, at: Micros) -> None:
            check_active(found)
            if name != found.name:
                _refuse_taken(transaction, context.project, name)
                store.update(transaction, found.number, at, name=name)

        self._change(context, experiment_id, change)

    def delete(self, context: Context, experiment_id: str) -> None:
        """Deletes an experiment and its runs; both can be restored."""

        def change(transaction: Transaction, found: Experiment, at: Micros) -> None:
            check_active(found)
            store.update(transaction, found.number, at, lifecycle="deleted")
            run_store.set_lifecycle_of_experiment(transaction, found.number, "deleted", at)

        self._change(context, experiment_id, change)

    def restore(self, context: Context, experiment_id: str) -> None:
        """Restores an experiment and its runs."""

        def change(transaction: Transaction, found: Experiment, at: Micros) -> None:
            if found.lifecycle != "deleted":
                raise InvalidError(f"The experiment {found.experiment_id} is not deleted")
            store.update(transaction, found.number, at, lifecycle="active")
            run_store.set_lifecycle_of_experiment(transaction, found.number, "active", None)

        self._change(context, experiment_id, change)

    def set_tag(self, context: Context, experiment_id: str, key: str, value: str) -> None:
        """Sets a tag of an active experiment."""
        policy.check_tags([(key, value)], policy.EXPERIMENT_TAG_MOST)

        def change(transaction: Transaction, found: Experiment, at: Micros) -> None:
            check_active(found)
            store.set_tag(transaction, found.number, key, value)

        self._change(context, experiment_id, change)

    def delete_tag(self, context: Context, experiment_id: str, key: str) -> None:
        """Removes a tag; `NotFoundError` when there is none."""

        def change(transaction: Transaction, found: Experiment, at: Micros) -> None:
            check_active(found)
            if not store.delete_tag(transaction, found.number, key):
                raise NotFoundError(f"No tag with name: {key} in experiment with id {experiment_id}")

        self._change(context, experiment_id, change)

    def prepare(self, context: Context) -> None:
        """Makes experiment 0 of a project that is met for the first time."""
        if context.project in self._prepared:
            return
        with self._ledger.read() as reader:
            known = store.find(reader, context.project, 0)
        if known is None:
            at = self._clock.now()
            self._ledger.write(lambda transaction: make_default(transaction, context.project, at))
        self._prepared.add(context.project)

    def _change(self, context: Context, experiment_id: str, change: Any) -> None:
        self.prepare(context)
        at = self._clock.now()
        self._ledger.write(
            lambda transaction: change(transaction, experiment_in(transaction, context, experiment_id), at)
        )


def make_default(transaction: Transaction, project: str, at: Micros) -> None:
    """Experiment 0, once."""
    if store.find(transaction, project, 0) is None:
        taken = store.find_by_name(transaction, project, store.DEFAULT_NAME) is not None
        store.insert(
            transaction, project, "Default (0)" if taken else store.DEFAULT_NAME, "", at, default=True
        )


def experiment_in(reader: Reader, context: Context, experiment_id: str) -> Experiment:
    """An experiment as a snapshot or transaction sees it.

    Raises:
        InvalidError: the id is not a number.
        NotFoundError: there is no such experiment.
    """
    found = store.find(reader, context.project, parse_id(experiment_id))
    if found is None:
        raise NotFoundError(f"No Experiment with id={experiment_id} exists")
    return found


def parse_id(experiment_id: str) -> int:
    """The number in an experiment id.

    Raises:
        InvalidError: it is none.
    """
    if not (experiment_id.isascii() and experiment_id.isdecimal() and len(experiment_id) <= 18):
        raise InvalidError(
            f"Invalid experiment ID {experiment_id[:100]!r}",
            hint="an experiment ID is an integer",
            field="experiment_id",
        )
    return int(experiment_id)


def check_active(found: Experiment) -> None:
    """Raises `NotActiveError` when the experiment is deleted."""
    if found.lifecycle != "active":
        raise NotActiveError(
            f"The experiment {found.experiment_id} must be in the 'active' state. Current state is {found.lifecycle}"
        )


def _refuse_taken(reader: Reader, project: str, name: str) -> None:
    known = store.find_by_name(reader, project, name)
    if known is not None:
        state = " It is deleted: restore it, or take another name." if known.lifecycle == "deleted" else ""
        raise AlreadyExistsError(f"Experiment(name={name}) already exists.{state}")
