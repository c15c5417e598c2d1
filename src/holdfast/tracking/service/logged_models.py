"""The verbs of logged models: create, finish, look up, search, tag, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from holdfast.base import lineage, urn
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.tracking import policy
from holdfast.tracking.errors import ParameterChangedError
from holdfast.tracking.filter import ORDERS_MOST, parse, parse_order
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.records import LoggedModel, ModelStatus
from holdfast.tracking.service import experiments as experiment_verbs
from holdfast.tracking.service.experiments import ExperimentService
from holdfast.tracking.store import logged_models as store
from holdfast.tracking.store import model_search, search
from holdfast.tracking.store.model_search import Dataset, ModelOrder
from holdfast.tracking.store.paging import fingerprint

T = TypeVar("T")

PAGE_MOST = 1000
_DATASETS_MOST = 100


class LoggedModelPage(msgspec.Struct, frozen=True):
    """One page of models; `next_page` asks for the next one."""

    models: tuple[LoggedModel, ...]
    next_page: str | None = None


class LoggedModelService:
    """Logged models of one ledger."""

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
        model_type: str = "",
        source_run_id: str = "",
        parameters: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> LoggedModel:
        """Adds a model whose files are still to come (`pending`).

        Raises:
            NotFoundError: there is no such experiment.
            InvalidError: the name, a parameter or a tag is not legal.
        """
        model_id = f"m-{new_run_id(self._rng)}"
        name = name or f"model-{model_id[2:10]}"
        policy.check_model_name(name)
        policy.check_length(model_type, policy.MODEL_TYPE_MOST, "Model type")
        policy.check_length(source_run_id, policy.KEY_MOST, "Source run ID")
        checked, checked_tags = policy.check_parameters(parameters), policy.check_tags(tags)
        self._experiments.prepare(context)
        at = self._clock.now()

        def change(transaction: Transaction) -> LoggedModel:
            experiment = experiment_verbs.experiment_in(transaction, context, experiment_id)
            experiment_verbs.check_active(experiment)
            model = LoggedModel(
                number=0,
                model_id=model_id,
                experiment_id=experiment.experiment_id,
                name=name,
                model_type=model_type,
                source_run_id=source_run_id,
                status="pending",
                lifecycle="active",
                artifact_location=f"{experiment.artifact_location}/models/{model_id}/artifacts",
                created_at=at,
                updated_at=at,
                parameters=checked,
                tags=checked_tags,
            )
            store.insert(transaction, context.project, model, experiment.number)
            if source_run_id:
                source = urn.run(source_run_id)
                lineage.record_edge(transaction, context, source, "wrote", urn.logged_model(model_id), at)
            return model

        return self._ledger.write(change)

    def get(self, context: Context, model_id: str, *, deleted_too: bool = False) -> LoggedModel:
        """A model; `NotFoundError` when there is none, or when it is deleted and those are not asked for."""
        with self._ledger.read() as reader:
            found = _model_in(reader, context, model_id)
        if found.lifecycle != "active" and not deleted_too:
            raise _not_found(model_id)
        return found

    def finish(self, context: Context, model_id: str, status: ModelStatus) -> LoggedModel:
        """Says that the files are there (`ready`), or that they never will be (`upload_failed`)."""

        def change(transaction: Transaction, model: LoggedModel) -> LoggedModel:
            changes = store.touched(self._clock.now(), status=status)
            store.update(transaction, model.number, changes)
            return _model_in(transaction, context, model_id)

        return self._change(context, model_id, change)

    def delete(self, context: Context, model_id: str) -> None:
        """Deletes a model; its files go when the garbage is collected."""

        def change(transaction: Transaction, model: LoggedModel) -> None:
            store.update(transaction, model.number, store.touched(self._clock.now(), lifecycle="deleted"))

        self._change(context, model_id, change)

    def log_parameters(self, context: Context, model_id: str, parameters: Sequence[tuple[str, str]]) -> None:
        """Adds parameters; another value for one that is set is refused."""
        checked = policy.check_parameters(parameters)

        def change(transaction: Transaction, model: LoggedModel) -> None:
            for key, value in checked.items():
                if model.parameters.get(key, value) != value:
                    raise ParameterChangedError(
                        f"Changing param values is not allowed: {key!r} of {model_id} is {model.parameters[key]!r}"
                    )
            store.set_pairs(transaction, "logged_model_parameter", model.number, checked)

        self._change(context, model_id, change)

    def set_tags(self, context: Context, model_id: str, tags: Sequence[tuple[str, str]]) -> LoggedModel:
        """Sets tags and returns the model."""
        checked = policy.check_tags(tags)

        def change(transaction: Transaction, model: LoggedModel) -> LoggedModel:
            store.set_pairs(transaction, "logged_model_tag", model.number, checked)
            return _model_in(transaction, context, model_id)

        return self._change(context, model_id, change)

    def delete_tag(self, context: Context, model_id: str, key: str) -> None:
        """Removes a tag; `NotFoundError` when there is none."""

        def change(transaction: Transaction, model: LoggedModel) -> None:
            if not store.delete_tag(transaction, model.number, key):
                raise NotFoundError(f"No tag with key {key!r} found for model with ID {model_id!r}")

        self._change(context, model_id, change)

    def search(
        self,
        context: Context,
        experiment_ids: Sequence[str],
        *,
        condition: str = "",
        datasets: Sequence[Dataset] = (),
        orders: Sequence[ModelOrder] = (),
        limit: int = 50,
        page: str | None = None,
    ) -> LoggedModelPage:
        """Active models of some experiments, by default the newest first.

        Raises:
            InvalidError: the condition, the limit or the page mark is not legal.
        """
        if not 1 <= limit <= PAGE_MOST:
            raise InvalidError(f"max_results must be between 1 and {PAGE_MOST}, not {limit}")
        if len(datasets) > _DATASETS_MOST:
            raise InvalidError(f"at most {_DATASETS_MOST} datasets are taken")
        if len(orders) > ORDERS_MOST:
            raise InvalidError(f"Invalid order_by: more than {ORDERS_MOST} columns", field="order_by")
        parsed = parse(condition, model_search.MODELS)
        asked = fingerprint(condition, sorted(experiment_ids), list(datasets), list(orders))
        with self._ledger.read() as reader:
            numbers = search.experiment_numbers(
                reader, context.project, [experiment_verbs.parse_id(item) for item in experiment_ids]
            )
            found, mark = model_search.search_models(
                reader, numbers, parsed, datasets, orders, limit, page, asked
            )
        return LoggedModelPage(tuple(found), mark)

    def _change(self, context: Context, model_id: str, change: Callable[[Transaction, LoggedModel], T]) -> T:
        return self._ledger.write(
            lambda transaction: change(transaction, _model_in(transaction, context, model_id))
        )


def _model_in(reader: Reader, context: Context, model_id: str) -> LoggedModel:
    found = store.find(reader, context.project, model_id)
    if found is None:
        raise _not_found(model_id)
    return found


def _not_found(model_id: str) -> NotFoundError:
    return NotFoundError(f"Logged model with ID {model_id[:100]!r} not found")


def model_order(field: str, ascending: bool, dataset: Dataset | None = None) -> ModelOrder:
    """A key to sort models by, e.g. `metrics.accuracy`, perhaps on one dataset.

    Raises:
        InvalidError: there is no such field.
    """
    return ModelOrder(parse_order(f"{field} {'ASC' if ascending else 'DESC'}", model_search.MODELS), dataset)
