"""`@hf.model`: a whole production model around the user's own training function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from holdfast.base.errors import DeclarationError
from holdfast.data.records import TableSpec
from holdfast.features.records import FeatureViewSpec
from holdfast.loop.records import LoopSpec, RetrainPolicy
from holdfast.monitoring.records import MonitorPolicy
from holdfast.registry.policy import check_gate
from holdfast.registry.records import GateSpec
from holdfast.rollout.records import RolloutPolicy
from holdfast.sdk import checks
from holdfast.sdk.feature_views import feature_spec
from holdfast.sdk.table import Table
from holdfast.training.records import ModelSpec

F = TypeVar("F", bound=Callable[..., Any])

_TASKS = ("binary", "regression")


def model(
    name: str,
    *,
    table: Table,
    task: str,
    features: Sequence[Callable[..., Any]] = (),
    gates: Sequence[GateSpec] = (),
    rollout: RolloutPolicy | None = None,
    retrain: RetrainPolicy | None = None,
    monitor: MonitorPolicy | None = None,
    holdout: str | timedelta | None = None,
    refit: bool = True,
    seed: int = 0,
    params: Mapping[str, float | int | str | bool | None] | None = None,
    environment: str = "production",
) -> Callable[[F], F]:
    """Declares a function `train(data, params)` that returns a fitted estimator as a production model.

    Args:
        name: the model's name, and its deployment's.
        table: the table with its label.
        task: `regression` or `binary`.
        features: functions declared with `@hf.features`, over this table or others, and `@hf.request_features`.
        gates: what a version must show; none means that every version may be deployed.
        rollout: how a version reaches production; `shadow_then_switch()` by default.
        retrain: when to train again; only when asked, by default.
        monitor: what to watch; sound defaults without it.
        holdout: the last stretch of time that is held out to evaluate; the last fifth of the rows by default.
        refit: fit the registered model on all rows after it was evaluated on the held-out ones.
        seed: for every source of randomness of the training process.
        params: passed to the function.
        environment: where it is deployed.

    Raises:
        DeclarationError: at once, where the declaration is written.
    """
    checked = checks.instances(gates, GateSpec, "gates", 'hf.at_most("mae", 60)')
    task = checks.one_of(task, _TASKS, "task")
    if not isinstance(table, Table) or table.spec.label is None:
        raise DeclarationError(
            f"{name}: a model needs a table with a label", hint='write hf.Table(…, label="cnt")'
        )
    specs = tuple(_feature_spec(function, table) for function in features)
    for gate in checked:
        check_gate(gate, task)  # type: ignore[arg-type]
    spec = LoopSpec(
        model=ModelSpec(
            name=checks.name(name, "model"),
            table=table.spec,
            task=task,  # type: ignore[arg-type]
            features=specs,
            gates=checked,
            holdout_us=checks.span(holdout, "holdout") if holdout is not None else None,
            refit=refit,
            seed=seed,
            parameters=dict(params or {}),
            feature_tables=_other_tables(features, table),
        ),
        rollout=rollout or RolloutPolicy("shadow_then_switch", shadow_us=checks.span("7d", "days")),
        monitor=monitor or MonitorPolicy(),
        retrain=retrain or RetrainPolicy(),
        environment=checks.name(environment, "environment"),
    )

    def declare(function: F) -> F:
        if not callable(function):
            raise DeclarationError(
                f"{name}: @hf.model stands above a function, not {type(function).__name__}"
            )
        function.__holdfast_model__ = spec  # type: ignore[attr-defined]
        return function

    return declare


def _feature_spec(function: Callable[..., Any], table: Table) -> FeatureViewSpec:
    spec = feature_spec(function)
    if spec.kind == "request":
        return spec
    if spec.table != table.spec.name:
        if getattr(function, "__holdfast_feature_table__", None) is None:
            raise DeclarationError(
                f"features: {spec.name} is declared over the table {spec.table!r}, "
                f"the model over {table.spec.name!r}",
                hint=f"name the function's parameter {table.spec.name!r}, or pass table=",
            )
        return spec
    if not spec.entity and table.spec.key:
        spec = msgspec.structs.replace(spec, entity=table.spec.key)
    return spec


def _other_tables(functions: Sequence[Callable[..., Any]], table: Table) -> tuple[TableSpec, ...]:
    """The tables that only the features read."""
    found = {}
    for function in functions:
        other = getattr(function, "__holdfast_feature_table__", None)
        if other is not None and other.spec.name != table.spec.name:
            found[other.spec.name] = other.spec
    return tuple(found.values())
