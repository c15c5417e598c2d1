"""The Open Inference Protocol v2 (KServe), REST with JSON tensors, over the same validation, routing and log.

One input tensor a request field, of shape [n] or [n, 1]; one output tensor `prediction` of shape [n]. Errors are
`{"error": "<text>"}`. Specification: https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec

from holdfast.data.decoder import DecodedRows
from holdfast.data.records import FieldType
from holdfast.serving.plane.errors import NotServedError, RequestError
from holdfast.serving.plane.loaded import LoadedDeployment, LoadedVersion
from holdfast.serving.plane.moments import Moments, RequestIds
from holdfast.serving.plane.predict import Asked, Predictor
from holdfast.serving.plane.requests import ROWS_MOST, decode, shown

_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_ACCEPTED: dict[FieldType, frozenset[str]] = {
    "float": _FLOATS | _INTEGERS,
    "integer": _INTEGERS,
    "boolean": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
    "datetime": frozenset({"BYTES"}),
}
_DATATYPES: dict[FieldType, str] = {
    "float": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
}


class InferInput(msgspec.Struct, frozen=True):
    """An input tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output tensor that the caller wants."""

    name: str
    parameters: dict[str, Any] | None = None


class InferBody(msgspec.Struct, frozen=True):
    """The body of an inference request."""

    inputs: list[InferInput]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


class InferOutput(msgspec.Struct, frozen=True):
    """An output tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer; `parameters` name the revision and the prediction ids, by which labels are sent."""

    model_name: str
    model_version: str
    outputs: list[InferOutput]
    parameters: dict[str, Any]
    id: str | None = None


class TensorMetadata(msgspec.Struct, frozen=True):
    """The form of a tensor; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


_decoder = msgspec.json.Decoder(InferBody)


def server_metadata() -> dict[str, Any]:
    """The answer to `GET /v2`."""
    return {"name": "holdfast", "version": metadata.version("holdfast"), "extensions": []}


def model_metadata(deployment: LoadedDeployment, version: str | None) -> ModelMetadata:
    """The answer to `GET /v2/models/{name}[/versions/{version}]`."""
    loaded = deployment.champion() if version is None else _pinned(deployment, version)
    return ModelMetadata(
        deployment.file.name,
        [str(number) for number in sorted(deployment.versions)],
        "holdfast",
        [TensorMetadata(field.name, _DATATYPES[field.type], [-1]) for field in loaded.decoder.fields],
        [TensorMetadata("prediction", "FP64", [-1])],
    )


def model_ready(deployment: LoadedDeployment, version: str | None) -> dict[str, Any]:
    """The answer to `GET …/ready`."""
    if version is not None:
        _pinned(deployment, version)
    return {"name": deployment.file.name, "ready": True}


class OpenInference:
    """Answers inference requests of one worker."""

    def __init__(self, predictor: Predictor, moments: Moments, ids: RequestIds) -> None:
        self._predictor = predictor
        self._moments = moments
        self._ids = ids

    def infer(self, deployment: LoadedDeployment, version: str | None, body: bytes, started_ns: int) -> bytes:
        """Answers a body of `POST …/infer`.

        Raises:
            HoldfastError: as `Predictor.answer`.
        """
        given: list[str | None] = []

        def read() -> Asked:
            request = decode(_decoder, body)
            given.append(request.id)
            pinned = None if version is None else _pinned(deployment, version).number
            _check_outputs(request.outputs)
            at = (request.parameters or {}).get("at")
            if at is not None and not isinstance(at, str):
                raise RequestError("parameters.at is not an ISO 8601 text", field="parameters.at")
            inputs = request.inputs
            return Asked(
                self._ids.of_request(request.id),
                self._moments.of_request(at, "parameters.at"),
                lambda loaded: _decode_tensors(loaded, inputs),
                pinned,
            )

        answered = self._predictor.answer(deployment, read, started_ns)
        outputs = answered.outputs
        ids = [f"p_{answered.request_id}.{row}" for row in range(len(outputs))]
        answer = InferAnswer(
            deployment.file.name,
            answered.version.text,
            [InferOutput("prediction", [len(outputs)], "FP64", outputs)],
            {"revision": deployment.file.revision, "prediction_ids": ids},
            given[0],
        )
        return msgspec.json.encode(answer)


def _pinned(deployment: LoadedDeployment, version: str) -> LoadedVersion:
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise NotServedError(
            f"{shown(version)} is not a version of {deployment.file.name!r}",
            hint=f"loaded are {', '.join(map(str, sorted(deployment.versions)))}",
            code="unknown_version",
        )
    return deployment.version(int(version))


def _check_outputs(outputs: list[RequestedOutput] | None) -> None:
    for number, output in enumerate(outputs or []):
        if output.name != "prediction":
            raise RequestError(
                f"outputs[{number}]: there is no output {shown(output.name)}",
                hint="the only output is 'prediction'",
                field=f"outputs[{number}].name",
            )


def _decode_tensors(version: LoadedVersion, inputs: Sequence[InferInput]) -> DecodedRows:
    fields = {field.name: field for field in version.decoder.fields}
    columns: dict[str, list[Any]] = {}
    for number, tensor in enumerate(inputs):
        place = f"inputs[{number}]"
        field = fields.get(tensor.name)
        if tensor.name in columns:
            raise RequestError(f"{place}: {shown(tensor.name)} is sent twice", field=f"{place}.name")
        if field is not None and tensor.datatype not in _ACCEPTED[field.type]:
            raise RequestError(
                f"{place}: {tensor.name} is of datatype {shown(tensor.datatype)}",
                hint=f"send {_DATATYPES[field.type]}",
                field=f"{place}.datatype",
            )
        columns[tensor.name] = _values(tensor, place)
    if not columns:
        raise RequestError("inputs is empty", hint="send one tensor for each field", field="inputs")
    return version.decoder.decode_columns(columns)


def _values(tensor: InferInput, place: str) -> list[Any]:
    """The values of a tensor of shape [n] or [n, 1], flat or nested as the protocol allows."""
    shape = tensor.shape
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or not 0 < shape[0] <= ROWS_MOST:
        raise RequestError(
            f"{place}: {tensor.name} has the shape {shape}",
            hint=f"send [n] or [n, 1] with n from 1 to {ROWS_MOST}",
            field=f"{place}.shape",
        )
    data = tensor.data
    if len(shape) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise RequestError(
            f"{place}: {tensor.name} has {len(data)} values for the shape {shape}", field=f"{place}.data"
        )
    return data
