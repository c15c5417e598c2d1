"""ONNX: converted by skl2onnx (an extra) at registration, run by onnxruntime (core) at serving.

Not every estimator converts exactly, so whether a conversion is kept is decided by agreement on real rows, never
by its success. Histogram gradient boosting goes through `ranks`, because ONNX trees compare in float32 only.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from typing import Any

import numpy as np

from holdfast.registry.errors import DamagedModelError
from holdfast.registry.formats.predictor import Matrix, Outputs
from holdfast.registry.formats.ranks import Thresholds, is_histogram_boosting, rank_thresholds, to_ranks
from holdfast.registry.records import Task

# The key of the thresholds in the model's own metadata, so that the file stays one self-contained ONNX model.
_THRESHOLDS = "holdfast.thresholds"


def is_available() -> bool:
    """Whether conversion is installed; running a converted model needs no extra."""
    return importlib.util.find_spec("skl2onnx") is not None


def convert(estimator: Any, task: Task, width: int) -> bytes:
    """The ONNX form of a scikit-learn estimator that takes `width` columns.

    Raises:
        Exception: whatever skl2onnx raises where it cannot convert.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    thresholds: Thresholds | None = None
    if is_histogram_boosting(estimator):
        estimator, thresholds = rank_thresholds(estimator, width)
    options = {id(estimator): {"zipmap": False}} if task == "binary" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = to_onnx(
            estimator, initial_types=[("matrix", FloatTensorType([None, width]))], options=options
        )
    if thresholds is not None:
        model.metadata_props.add(key=_THRESHOLDS, value=json.dumps(thresholds))
    return bytes(model.SerializeToString())


def load(data: bytes, task: Task) -> OnnxPredictor:
    """Opens a session on one thread: a serving process runs many requests side by side already.

    Raises:
        DamagedModelError: onnxruntime cannot read the bytes.
    """
    return OnnxPredictor(_session(data), task)


def shapes(data: bytes) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a model, each with `name`, `type` and `shape`.

    Raises:
        DamagedModelError: onnxruntime cannot read the bytes.
    """
    session = _session(data)
    return session.get_inputs(), session.get_outputs()


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DamagedModelError(
            f"the ONNX model cannot be read ({type(error).__name__}: {error})",
            hint="restore the home from its backup, or register the model again with `holdfast train`",
        ) from error


class OnnxPredictor:
    """Runs one session on ranks where the model splits on ranks, else on the matrix narrowed to float32."""

    def __init__(self, session: Any, task: Task) -> None:
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._outputs = [session.get_outputs()[1 if task == "binary" else 0].name]
        self._binary = task == "binary"
        metadata = session.get_modelmeta().custom_metadata_map
        thresholds: Thresholds | None = json.loads(metadata.get(_THRESHOLDS, "null"))
        self._thresholds = None if thresholds is None else [np.array(known) for known in thresholds]

    def predict(self, matrix: Matrix) -> Outputs:
        if self._thresholds is None:
            narrow = matrix.astype(np.float32)
        else:
            narrow = to_ranks(matrix, self._thresholds)
        answer = self._run(self._outputs, {self._input: narrow})[0]
        return np.asarray(answer[:, 1] if self._binary else answer.reshape(-1), dtype=np.float64)
