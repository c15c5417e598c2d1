"""Answering predictions: decode, assign, look up, encode, predict, log, answer; in this order and no other.

The frame is in the log before the answer leaves, so an answer that was seen is an answer that is remembered. The
friendly route and the Open Inference Protocol differ only in how they read a request and write an answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.errors import HoldfastError, UnavailableError
from holdfast.data.decoder import DecodedRows
from holdfast.rollout.assignment import assign
from holdfast.serving.plane.errors import TooLargeError
from holdfast.serving.plane.loaded import LoadedDeployment, LoadedVersion
from holdfast.serving.plane.lookup import LookedUp
from holdfast.serving.plane.moments import Moments, RequestIds
from holdfast.serving.plane.requests import ROWS_MOST, decode
from holdfast.serving.plane.shadow import ShadowRequest, Shadows
from holdfast.serving.records import PredictionFrame, RejectionFrame

logger = logging.getLogger(__name__)

_NOTHING: LookedUp = {}


class PredictBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of the friendly route; the rows are decoded by the contract of the version that answers."""

    rows: msgspec.Raw
    id: str | None = None
    at: str | None = None


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """One row's answer and the id by which its label is sent."""

    id: str
    value: float


class Predictions(msgspec.Struct, frozen=True, gc=False):
    """The answer of the friendly route."""

    deployment: str
    revision: int
    version: str
    predictions: list[Prediction]


class Asked(NamedTuple):
    """A request as any protocol brings it. `decode_rows` reads its rows by a version's contract; `version` pins one."""

    request_id: str
    at: Micros
    decode_rows: Callable[[LoadedVersion], DecodedRows]
    version: int | None = None


class Answered(NamedTuple):
    """What was answered, and logged."""

    version: LoadedVersion
    request_id: str
    outputs: list[float]


_decoder = msgspec.json.Decoder(PredictBody)
_encode = msgspec.json.Encoder().encode


class Predictor:
    """Answers requests of one worker; safe to call from several threads."""

    def __init__(self, moments: Moments, ids: RequestIds, shadows: Shadows) -> None:
        self._moments = moments
        self._ids = ids
        self._shadows = shadows

    def friendly(self, deployment: LoadedDeployment, body: bytes, started_ns: int) -> bytes:
        """Answers a body of `POST /v1/predict/{name}`.

        Raises:
            HoldfastError: the request is refused, or cannot be answered now; either is in the log.
        """
        version, request_id, outputs = self.answer(deployment, lambda: self._read(body), started_ns)
        predictions = [Prediction(f"p_{request_id}.{row}", value) for row, value in enumerate(outputs)]
        file = deployment.file
        return _encode(Predictions(file.name, file.revision, version.text, predictions))

    def answer(self, deployment: LoadedDeployment, read: Callable[[], Asked], started_ns: int) -> Answered:
        """Answers what `read` reads, and logs the answer, the refusal or the failure first."""
        asked: Asked | None = None
        try:
            asked = read()
            return self._answer(deployment, asked, started_ns)
        except HoldfastError as error:
            if error.status < 500:
                self._log_rejection(deployment, asked, error)
            raise

    def _read(self, body: bytes) -> Asked:
        request = decode(_decoder, body)
        rows = request.rows
        return Asked(
            self._ids.of_request(request.id),
            self._moments.of_request(request.at),
            lambda version: version.decoder.decode_rows(rows),
        )

    def _answer(self, deployment: LoadedDeployment, asked: Asked, started_ns: int) -> Answered:
        version, role, propensity = _assigned(deployment, asked)
        columns, flags = asked.decode_rows(version)
        rows = len(columns[0])
        if rows > ROWS_MOST:
            raise TooLargeError(
                f"rows holds {rows} rows, at most {ROWS_MOST} fit", field="rows", code="too_many_rows"
            )
        store = deployment.features
        inputs = _as_rows(version, columns) if store is not None else []
        times = version.times(columns) if store is None else store.times(inputs)
        scored = _score(deployment, version, columns, asked.at)
        failure = scored.failure
        frame = PredictionFrame(
            asked.request_id,
            asked.at,
            asked.at,
            deployment.file.revision,
            version.number,
            role,
            propensity,
            columns,
            scored.features,
            scored.outputs if failure is None else [None] * rows,  # type: ignore[arg-type]
            (time.perf_counter_ns() - started_ns) // 1_000,
            False,
            flags,
            None if failure is None else str(failure),
            times,
        )
        deployment.writer.append_prediction(frame)
        if deployment.shadows:
            self._shadow(deployment, asked, version, frame, scored.looked_up)
        if failure is not None:
            raise failure
        if store is not None:
            store.remember(asked.request_id, asked.at, inputs, times)
        return Answered(version, asked.request_id, scored.outputs)

    def _shadow(
        self,
        deployment: LoadedDeployment,
        asked: Asked,
        answering: LoadedVersion,
        frame: PredictionFrame,
        looked_up: LookedUp,
    ) -> None:
        """Hands the request to the shadows, with the features as they were at the moment of the answer."""
        for variant, version in deployment.shadows:
            columns = _reordered(frame.inputs, answering, version)
            seen = looked_up
            if deployment.features is not None:
                names = version.decoder.names
                try:
                    seen = deployment.features.look_up(version.views, names, columns, asked.at, looked_up)
                except UnavailableError:
                    logger.exception("a shadow of %s has no features", deployment.file.name)
                    continue
            self._shadows.submit(
                ShadowRequest(
                    deployment,
                    variant,
                    version,
                    asked.request_id,
                    asked.at,
                    frame.received_at,
                    columns,
                    frame.times,
                    seen,
                    frame.flags,
                )
            )

    def _log_rejection(self, deployment: LoadedDeployment, asked: Asked | None, error: HoldfastError) -> None:
        if asked is not None:
            request_id, at = asked.request_id, asked.at
        else:
            request_id, at = self._ids.of_request(None), self._moments.now()
        deployment.writer.append(
            [RejectionFrame(request_id, at, at, error.error_code, str(error), error.field)]
        )


class _Scored(NamedTuple):
    """What the model made of a request, or why it could not."""

    looked_up: LookedUp
    features: list[list[float | None]]
    outputs: list[float]
    failure: UnavailableError | None


def _assigned(deployment: LoadedDeployment, asked: Asked) -> tuple[LoadedVersion, str, float]:
    """The version that answers, its role, and the probability with which it was chosen."""
    if asked.version is not None:
        return deployment.version(asked.version), "pinned", 1.0
    variant, propensity = assign(deployment.file.salt, asked.request_id, deployment.file.variants)
    return deployment.versions[variant.version], variant.role, propensity


def _score(
    deployment: LoadedDeployment, version: LoadedVersion, columns: list[list[Any]], at: Micros
) -> _Scored:
    """Looks up, encodes and predicts; a failure keeps what was known before it."""
    looked_up: LookedUp = _NOTHING
    features: list[list[float | None]] = []
    store = deployment.features
    try:
        if store is not None:
            looked_up = store.look_up(version.views, version.decoder.names, columns, at, _NOTHING)
        matrix = version.matrix(columns, looked_up)
        features = matrix.tolist()
        return _Scored(looked_up, features, version.predict(matrix), None)
    except UnavailableError as error:
        return _Scored(looked_up, features, [], error)


def _as_rows(version: LoadedVersion, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    names = version.decoder.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _reordered(columns: list[list[Any]], one: LoadedVersion, other: LoadedVersion) -> Sequence[list[Any]]:
    """Columns decoded by one version's contract in the order of another's; what that one lacks is null."""
    if one.decoder.names == other.decoder.names:
        return columns
    by_name = dict(zip(one.decoder.names, columns, strict=True))
    nothing = [None] * len(columns[0])
    return [by_name.get(name, nothing) for name in other.decoder.names]
