"""The nouns of training: what a model declares, what a job is told, and what it hands back."""

from __future__ import annotations

import msgspec

from holdfast.base.clock import Micros
from holdfast.data.records import Contract, DatasetDraft, DatasetVersion, TableSpec
from holdfast.features.records import FeatureViewSpec
from holdfast.registry.records import GateResult, GateSpec, ModelFile, Signature, Task
from holdfast.tracking.records import Artifact, CodeSnapshot, EnvironmentSnapshot


class ModelSpec(msgspec.Struct, frozen=True):
    """What a user declares with `@hf.model`, as far as training needs it.

    The last `holdout_us` of the data (or, where that is None, the last fifth of the rows) are held out in time
    to evaluate; with `refit` the registered model is then fitted on all rows with the same recipe.
    `feature_tables` are those that only feature views read.
    """

    name: str
    table: TableSpec
    task: Task
    features: tuple[FeatureViewSpec, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    holdout_us: int | None = None
    refit: bool = True
    seed: int = 0
    parameters: dict[str, float | int | str | bool | None] = {}
    description: str = ""
    feature_tables: tuple[TableSpec, ...] = ()


class ProductionModel(msgspec.Struct, frozen=True):
    """The version in production, for the paired gate: its files and signature.

    It is judged on rows that became available after `trained_until_at` only: on rows that it was fitted on it
    would look better than it is.
    """

    version: int
    signature: Signature
    files: tuple[ModelFile, ...]
    trained_until_at: Micros | None = None


class TrainingTask(msgspec.Struct, frozen=True):
    """Everything a training child needs, in its job folder as `task.json`; it reads no ledger.

    `base` is the dataset version to grow from (None: read the source). `feed` are Parquet files of labelled
    rows that became available in (base.as_of_at, as_of_at], written by the server from the prediction log.
    """

    run_id: str
    spec: ModelSpec
    bundle_folder: str
    entry: str
    blobs_folder: str
    as_of_at: Micros
    source: str | None = None
    base: DatasetVersion | None = None
    feed: tuple[str, ...] = ()
    production: ProductionModel | None = None
    cpu_count: int = 1
    code: CodeSnapshot | None = None


class TrainCommand(msgspec.Struct, frozen=True):
    """What is to be trained, on what, and why. `bundle` is the blob of the code, `declaration` the JSON of the
    whole declaration that the registered version keeps, `base` the dataset version to grow from.
    """

    run_id: str
    spec: ModelSpec
    bundle: str
    entry: str
    as_of_at: Micros
    because: str = ""
    declaration: str = ""
    source: str | None = None
    base: DatasetVersion | None = None
    production: ProductionModel | None = None
    cpu_count: int = 1


class TrainingOutcome(msgspec.Struct, frozen=True):
    """What a training child hands back as `outcome.json`; every digest is already a blob."""

    run_id: str
    dataset: DatasetDraft
    contract: Contract
    signature: Signature
    files: tuple[ModelFile, ...]
    metrics: dict[str, float]
    gates: tuple[GateResult, ...]
    profile: str
    feature_columns: dict[str, tuple[str, ...]]
    environment: EnvironmentSnapshot
    code: CodeSnapshot
    parameters: dict[str, str]
    artifacts: tuple[Artifact, ...] = ()
    history: str | None = None
    rows_train: int = 0
    rows_holdout: int = 0
    seconds: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    feature_datasets: tuple[DatasetDraft, ...] = ()


class TrainingFailure(msgspec.Struct, frozen=True):
    """Why a training child stopped: one sentence, its error code, and the traceback for `--debug`."""

    code: str
    message: str
    detail: str = ""
