"""The training pipeline: pull, validate, features, split, train, evaluate, gates, refit, store.

It runs in a child process, reads and writes blobs and files, and never sees the ledger.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import to_msgpack
from holdfast.data.add import build_plain
from holdfast.data.build import build_dataset, read_parts
from holdfast.data.checking import check_frame
from holdfast.data.readers.open import open_source
from holdfast.data.records import Contract, DatasetDraft, TableSpec
from holdfast.data.source import AVAILABLE_AT, ROW_ID, TIME
from holdfast.features.compute import check_time_travel, compute_view, feature_columns
from holdfast.features.offline import ComputedView
from holdfast.features.offline import join_features as features_offline
from holdfast.features.request import with_request_features
from holdfast.features.tables import declared_rows
from holdfast.registry.baseline import build_baseline
from holdfast.registry.encode import encode_frame
from holdfast.registry.formats import save_model
from holdfast.registry.formats.save import reference_predictions
from holdfast.registry.records import Signature
from holdfast.statistics.metrics import METRICS
from holdfast.tracking.records import CodeSnapshot
from holdfast.training.columns import choose_inputs
from holdfast.training.environment import snapshot_environment
from holdfast.training.errors import TrainingDataError
from holdfast.training.evaluation import HeldOut, judge_gates, measure
from holdfast.training.records import TrainingOutcome, TrainingTask
from holdfast.training.split import Split, split_in_time
from holdfast.training.training_set import Params, TrainingSet
from holdfast.training.user_code import UserCode, call, load_user_code

TIME_TRAVEL_INSTANTS = 16
AGREEMENT_ROWS = 5000
_WRITTEN_MOST = 400

FloatArray = npt.NDArray[np.float64]


class Stopwatch:
    """Seconds spent in each named step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 4)


class Prepared:
    """Everything a model is fitted on: raw rows in order of time with features joined, matrix, labels, split."""

    def __init__(self, rows: pl.DataFrame, signature: Signature, labels: FloatArray, split: Split) -> None:
        self.rows = rows
        self.signature = signature
        self.matrix = encode_frame(rows, signature)
        self.labels = labels
        self.split = split
        self.times = _micros(rows, TIME)
        self.available = _micros(rows, AVAILABLE_AT)

    def training_set(self, rows: npt.NDArray[np.bool_] | None = None) -> TrainingSet:
        """The chosen rows (all of them by default) as the user's function receives them."""
        chosen = np.ones(len(self.labels), dtype=bool) if rows is None else rows
        names = tuple(column.name for column in self.signature.columns)
        frame = self.rows.filter(pl.Series(chosen))
        return TrainingSet(
            X=pl.DataFrame(self.matrix[chosen], schema=dict.fromkeys(names, pl.Float64), orient="row"),
            y=self.labels[chosen],
            frame=frame.drop(AVAILABLE_AT, ROW_ID),
            time=frame.get_column(TIME),
            categorical=tuple(c.name for c in self.signature.columns if c.categories is not None),
            columns=names,
        )

    def held_out(self, outputs: FloatArray) -> HeldOut:
        chosen = self.split.holdout
        return HeldOut(
            self.rows.filter(pl.Series(chosen)), self.labels[chosen], outputs, self.available[chosen]
        )


def run_pipeline(task: TrainingTask) -> TrainingOutcome:
    """Trains one model and stores everything that it made as blobs.

    Raises:
        HoldfastError: the data, the declaration or the user's code does not allow it; one sentence says why.
    """
    blobs = Blobs(Path(task.blobs_folder))
    watch = Stopwatch()
    with watch.step("load"):
        code = load_user_code(task)
    with watch.step("pull"):
        draft, rows, warnings = pull(task, code, blobs)
    with watch.step("features"):
        joined, view_columns = join_features(task, code, rows)
    prepared, left_out = prepare(task, draft, joined, view_columns)
    with watch.step("train"):
        candidate = fit(task, code, prepared.training_set(prepared.split.train))
    with watch.step("evaluate"):
        held_out = evaluate_candidate(task, prepared, candidate)
        metrics = measure(task.spec.task, held_out)
        gates = judge_gates(task.spec.gates, task.spec.task, held_out, task.production, blobs)
    with watch.step("refit"):
        final = fit(task, code, prepared.training_set()) if task.spec.refit else candidate
    with watch.step("store"):
        names = [column.name for column in prepared.signature.columns]
        files = save_model(final, _sample(prepared.matrix), task.spec.task, blobs, names)
        baseline = build_baseline(
            prepared.signature,
            prepared.rows,
            prepared.times,
            prepared.times[prepared.split.holdout],
            held_out.outputs,
            held_out.labels,
            monitored_metric(task, code.train),
        )
        profile = blobs.put(to_msgpack(baseline))
        history = store_history(task, rows, blobs)
        feature_datasets = tuple(
            build_plain(_plain_spec(table), open_source(table.source), blobs).draft
            for table in task.spec.feature_tables
        )
    return TrainingOutcome(
        run_id=task.run_id,
        dataset=draft,
        contract=Contract(draft.table, (task.base.version if task.base else 0) + 1, draft.fields),
        signature=prepared.signature,
        files=files,
        metrics=metrics,
        gates=gates,
        profile=profile,
        feature_columns=view_columns,
        environment=snapshot_environment(task.cpu_count),
        code=task.code or CodeSnapshot("", task.entry),
        parameters=_parameters(task, final),
        history=history,
        rows_train=int(prepared.split.train.sum()),
        rows_holdout=int(prepared.split.holdout.sum()),
        seconds=watch.seconds,
        warnings=(*warnings, *left_out),
        feature_datasets=feature_datasets,
    )


def _plain_spec(table: TableSpec) -> TableSpec:
    """A table that only features read, as a dataset: every row as it is, for many may be of one key and time."""
    return TableSpec(table.name, table.source, "", drop=table.drop)


def pull(
    task: TrainingTask, code: UserCode, blobs: Blobs
) -> tuple[DatasetDraft, pl.DataFrame, tuple[str, ...]]:
    """The dataset with everything known by now, its rows in order of time, and what the contract warns of.

    Raises:
        TrainingDataError: rows that are new since the base version break its contract.
    """
    feed = [Path(path) for path in task.feed]
    draft = build_dataset(
        task.spec.table, code.table.time, blobs, task.as_of_at, task.source, task.base, feed
    )
    rows = read_parts(draft.parts, blobs).collect().sort(TIME, maintain_order=True)
    return draft, rows, _validate(task, draft, rows)


def _validate(task: TrainingTask, draft: DatasetDraft, rows: pl.DataFrame) -> tuple[str, ...]:
    """The rows that are new since the base version (without one, all) against the contract: the one that people
    keep, or else the base version's."""
    declared = task.spec.table.contract
    if declared is not None:
        contract = msgspec.structs.replace(declared, fields=draft.fields)
    elif task.base is not None:
        contract = task.base.contract
    else:
        return ()
    known_at = pl.col(AVAILABLE_AT).dt.epoch("us")
    fresh = rows if task.base is None else rows.filter(known_at > task.base.as_of_at)
    fields = [field.name for field in contract.fields]
    violations = check_frame(fresh.select(fields), contract, now_at=task.as_of_at)
    errors = [violation.message for violation in violations if violation.severity == "error"]
    if errors:
        raise TrainingDataError(
            f"{len(errors)} columns of the {fresh.height} new rows break the contract: {'; '.join(errors[:3])}",
            hint="correct what is logged, or start a new table",
        )
    return tuple(violation.message for violation in violations)


def join_features(
    task: TrainingTask, code: UserCode, rows: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, tuple[str, ...]]]:
    """The rows with every view's features as they could have been known, and the columns of each view.

    Raises:
        FeatureFunctionError, TimeTravelError: a feature function raises, or looks into the future.
    """
    generator = np.random.default_rng(task.spec.seed)
    own, others = task.spec.table, {table.name: table for table in task.spec.feature_tables}
    frames: dict[str, pl.DataFrame] = {own.name: rows}
    computed = []
    for view in task.spec.features:
        if view.kind == "request":
            continue
        function = code.features[view.name]
        if view.table not in frames:
            table = getattr(function, "__holdfast_feature_table__", None)
            frames[view.table] = declared_rows(table, others[view.table], task.as_of_at)
        table_rows = frames[view.table].lazy()
        frame = compute_view(function, table_rows, view)
        computed.append(ComputedView(view, frame, feature_columns(frame, view)))
        check_time_travel(
            function,
            table_rows,
            view,
            instants=TIME_TRAVEL_INSTANTS,
            rng=generator,
            label_delay_us=own.label_delay_us if view.table == own.name else None,
        )
    joined = features_offline(rows, computed)
    columns = {view.spec.name: view.columns for view in computed}
    for view in task.spec.features:
        if view.kind == "request":
            joined, columns[view.name] = with_request_features(joined, code.features[view.name], view)
    return joined, {view.name: columns[view.name] for view in task.spec.features}


def prepare(
    task: TrainingTask, draft: DatasetDraft, joined: pl.DataFrame, view_columns: dict[str, tuple[str, ...]]
) -> tuple[Prepared, tuple[str, ...]]:
    """Signature, matrix, labels and the split in time; and a warning for each column left out."""
    spec = task.spec
    inputs = choose_inputs(joined, draft.fields, spec, view_columns)
    labels = joined.get_column(spec.table.label or "").to_numpy().astype(np.float64)
    split = split_in_time(_micros(joined, TIME), _micros(joined, AVAILABLE_AT), spec.holdout_us)
    check_labels(labels, split, spec.table.label or "", spec.task)
    return Prepared(joined, inputs.signature, labels, split), inputs.warnings


def check_labels(labels: FloatArray, split: Split, name: str, task: str) -> None:
    """Raises `TrainingDataError` for labels that the task cannot learn from."""
    if not np.isfinite(labels).all():
        raise TrainingDataError(f"the label {name!r} has infinite values", hint="correct these rows")
    if task != "binary":
        return
    others = np.setdiff1d(labels, [0.0, 1.0])
    if len(others):
        raise TrainingDataError(
            f"the task is binary, but the label {name!r} has other values than 0 and 1, e.g. {others[0]:g}",
            hint="encode it as 0 and 1, or declare task='regression'",
        )
    if len(np.unique(labels[split.train])) < 2:
        raise TrainingDataError(
            f"the label {name!r} is {labels[0]:g} in every row to train on",
            hint="a binary model needs rows of both classes; wait for more labels or shorten the holdout",
        )


def fit(task: TrainingTask, code: UserCode, data: TrainingSet) -> Any:
    """Calls the user's training function with seeded generators.

    Raises:
        UserCodeError: it raised; the message names the error, the file and the line.
    """
    random.seed(task.spec.seed)
    np.random.seed(task.spec.seed % 2**32)
    name = getattr(code.train, "__name__", task.spec.name)
    what = f"the training function {name}"
    return call(what, code.folder, code.train, data, Params(task.spec.parameters))


def evaluate_candidate(task: TrainingTask, prepared: Prepared, candidate: Any) -> HeldOut:
    """The candidate's outputs on the rows held out.

    Raises:
        UnusableModelError: what the training function returned is no model of this task.
    """
    names = [column.name for column in prepared.signature.columns]
    matrix = prepared.matrix[prepared.split.holdout]
    return prepared.held_out(reference_predictions(candidate, matrix, task.spec.task, names))


def monitored_metric(task: TrainingTask, train: Any) -> str:
    """The metric whose losses monitoring follows: the declared one where it is a mean over rows."""
    # The declaration belongs to a higher layer; all that is known of it here is where it may name a metric.
    policy = getattr(getattr(train, "__holdfast_model__", None), "monitor", None)
    metric = METRICS.get(getattr(policy, "metric", None) or "")
    if metric is not None and metric.row_losses is not None and task.spec.task in metric.tasks:
        return metric.name
    return "mae" if task.spec.task == "regression" else "log_loss"


def store_history(task: TrainingTask, rows: pl.DataFrame, blobs: Blobs) -> str | None:
    """The blob of the last rows that the feature functions need to go on from; None without features."""
    own = [view for view in task.spec.features if view.kind == "table" and view.table == task.spec.table.name]
    if not own or not rows.height:
        return None
    lookback_us = max(view.lookback_us + view.ttl_us for view in own)
    last = int(_micros(rows, TIME)[-1])
    recent = rows.filter(pl.col(TIME).dt.epoch("us") >= last - lookback_us)
    target = io.BytesIO()
    recent.write_parquet(target, compression="zstd")
    return blobs.put(target.getvalue())


def _parameters(task: TrainingTask, estimator: Any) -> dict[str, str]:
    """The declared parameters, those of the estimator (the last of a pipeline) under its name, and `estimator`: how
    it would be written, with the parameters that are not its defaults."""
    declared = {name: str(value) for name, value in task.spec.parameters.items()}
    estimator = getattr(estimator, "steps", [("", estimator)])[-1][1]
    try:
        own = estimator.get_params(deep=False)
    except Exception:  # whoever writes an estimator without get_params has no parameters to show
        own = {}
    kind = type(estimator).__name__
    scalars = {n: v for n, v in own.items() if v is None or isinstance(v, bool | int | float | str)}
    written = {"estimator": " ".join(repr(estimator).split())[:_WRITTEN_MOST]} if own else {}
    return {f"{kind}.{name}": str(value) for name, value in scalars.items()} | written | declared


def _sample(matrix: FloatArray) -> FloatArray:
    """At most 5,000 rows, evenly spaced over the whole."""
    if len(matrix) <= AGREEMENT_ROWS:
        return matrix
    chosen = np.linspace(0, len(matrix) - 1, AGREEMENT_ROWS).astype(np.int64)
    return np.asarray(matrix[chosen])


def _micros(rows: pl.DataFrame, name: str) -> npt.NDArray[np.int64]:
    return rows.get_column(name).dt.epoch("us").to_numpy()
