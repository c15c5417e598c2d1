"""A model version and a deployment as a worker holds them in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from holdfast.base.blobs import Blobs
from holdfast.base.clock import Micros, parse_time
from holdfast.base.errors import HomeError
from holdfast.data.decoder import RowDecoder, compile_decoder
from holdfast.registry.formats import Predictor, load_predictor
from holdfast.registry.formats.predictor import Matrix
from holdfast.rollout.records import Variant
from holdfast.serving.plane.encoder import MatrixEncoder
from holdfast.serving.plane.errors import ModelFailedError, NotServedError
from holdfast.serving.plane.lookup import DeploymentFeatures, LookedUp
from holdfast.serving.records import DeploymentFile, SchemaFrame, ServedVersion
from holdfast.serving.spool import SpoolWriter

_WARM_CALLS = 5
_BATCH_ROWS = 256
_ROW_BYTES = 100


class LoadedVersion:
    """A version that can answer: its decoder, encoder and predictor."""

    def __init__(self, served: ServedVersion, predictor: Predictor) -> None:
        self.served = served
        self.number = served.version
        self.text = str(served.version)
        self.decoder: RowDecoder = compile_decoder(served.contract)
        self.views = served.views
        self.schema = SchemaFrame(
            served.version,
            list(self.decoder.names),
            [column.name for column in served.signature.columns],
            list(served.key),
        )
        self.call_us, self.row_us = 0.0, 0.0
        self._predict = predictor.predict
        self._encoder = MatrixEncoder(served.signature.columns)
        self._select = _selector(served, self.decoder)
        self._time_index = _time_index(served, self.decoder)

    @property
    def has_times(self) -> bool:
        """Whether a request itself carries the event time of its rows."""
        return self._time_index is not None

    def times(self, columns: Sequence[Sequence[Any]]) -> list[Micros]:
        """The event time of each row where the request carries it; empty where that is the request's own time."""
        if self._time_index is None:
            return []
        return [parse_time(text) for text in columns[self._time_index]]

    def matrix(self, columns: Sequence[Sequence[Any]], looked_up: LookedUp) -> Matrix:
        """The model's matrix of decoded request columns and looked-up features."""
        if looked_up:
            columns = [*columns, *(column for view in self.views for column in looked_up[view.urn])]
        return self._encoder.encode(self._select(columns))

    def predict(self, matrix: Matrix) -> list[float]:
        """One finite number a row.

        Raises:
            ModelFailedError: the model raised, or answered something else.
        """
        try:
            outputs = self._predict(matrix)
        except Exception as error:
            raise ModelFailedError(
                f"version {self.number} of the model failed ({type(error).__name__}: {error})",
                hint="the failure is in the prediction log; roll back if it goes on",
            ) from error
        values: list[float] = outputs.tolist()
        # For a few rows math.isfinite is five times faster than numpy's.
        finite = all(map(math.isfinite, values)) if outputs.shape == (len(matrix),) else False
        if not finite:
            raise ModelFailedError(
                f"version {self.number} of the model did not answer one finite number a row",
                hint="the failure is in the prediction log; roll back if it goes on",
            )
        return values

    def warm(self) -> None:
        """Calls the model a few times, so that the first request is as fast as any, and measures what it costs.

        Raises:
            ModelFailedError: the model cannot be called at all.
        """
        width = len(self.served.signature.columns)
        one, many = np.zeros((1, width)), np.zeros((_BATCH_ROWS, width))
        self.call_us = min(_time_us(self._predict, one) for _ in range(_WARM_CALLS))
        self.row_us = max(0.0, _time_us(self._predict, many) - self.call_us) / _BATCH_ROWS


@dataclass(frozen=True)
class LoadedDeployment:
    """One revision of a deployment, ready to answer. A switch replaces the whole object by one assignment.

    `features` are there when a version has feature views.
    """

    file: DeploymentFile
    versions: dict[int, LoadedVersion]
    writer: SpoolWriter
    shadows: tuple[tuple[Variant, LoadedVersion], ...]
    call_us: float
    row_us: float
    features: DeploymentFeatures | None = None

    def expected_us(self, body_bytes: int) -> float:
        """About how long the slowest model takes for a body of that size."""
        return self.call_us + body_bytes // _ROW_BYTES * self.row_us

    def version(self, number: int) -> LoadedVersion:
        """A loaded version by number.

        Raises:
            NotServedError: that version is not loaded; lists those that are.
        """
        found = self.versions.get(number)
        if found is None:
            raise NotServedError(
                f"version {number} of {self.file.name!r} is not loaded",
                hint=f"loaded are {', '.join(map(str, sorted(self.versions)))}",
                code="unknown_version",
            )
        return found

    def champion(self) -> LoadedVersion:
        """The version that answers most of the traffic; its contract is the deployment's."""
        return self.versions[champion_of(self.file)]


def champion_of(file: DeploymentFile) -> int:
    """The version that answers most of the traffic."""
    champions = [variant.version for variant in file.variants if variant.role == "champion"]
    return champions[0] if champions else file.variants[0].version


def load_version(served: ServedVersion, blobs: Blobs) -> LoadedVersion:
    """Loads and warms one version.

    Raises:
        HoldfastError: a file is missing or damaged, or the model cannot be called.
    """
    loaded = LoadedVersion(served, load_predictor(served.files, served.signature.task, blobs))
    loaded.warm()
    return loaded


def _selector(served: ServedVersion, decoder: RowDecoder) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Picks the columns of the matrix from those of the request followed by those of each view in turn."""
    places: dict[tuple[str | None, str], int] = {
        (None, name): index for index, name in enumerate(decoder.names)
    }
    for view in served.views:
        for name in view.columns:
            places[(view.name, name)] = len(places)
    wanted = []
    for column in served.signature.columns:
        if (column.view, column.name) not in places:
            raise HomeError(
                f"version {served.version} needs the column {column.name!r}, which neither its contract nor a"
                " feature view provides",
                hint="train and deploy a new version",
            )
        wanted.append(places[(column.view, column.name)])
    if len(wanted) == 1:
        return lambda columns: [columns[wanted[0]]]
    return itemgetter(*wanted)


def _time_index(served: ServedVersion, decoder: RowDecoder) -> int | None:
    """The request column that holds the event time; None where it is computed or is the request's time."""
    for index, field in enumerate(decoder.fields):
        if field.name == served.time and field.type == "datetime":
            return index
    return None


def _time_us(predict: Any, matrix: Matrix) -> float:
    started = time.perf_counter_ns()
    try:
        predict(matrix)
    except Exception as error:
        raise ModelFailedError(f"the model cannot be called ({type(error).__name__}: {error})") from error
    return (time.perf_counter_ns() - started) / 1_000
