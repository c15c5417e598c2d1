"""Loading a stored model for prediction: the compiled form where it can be used, else the native one.

Each format's libraries are imported when a file of that format is loaded, not before: a fused linear model
needs numpy alone, an ONNX model onnxruntime and no scikit-learn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from holdfast.base.blobs import Blobs
from holdfast.base.errors import HoldfastError
from holdfast.registry.errors import DamagedModelError, MissingLibraryError
from holdfast.registry.formats.predictor import Predictor
from holdfast.registry.records import ModelFile, Task

logger = logging.getLogger(__name__)


def load_predictor(files: Sequence[ModelFile], task: Task, blobs: Blobs) -> Predictor:
    """The fastest usable form of a model version.

    Raises:
        MissingLibraryError: no form can be used without a library that is not installed.
        DamagedModelError, UntrustedModelError, NotFoundError: no form can be read.
    """
    failure: HoldfastError = DamagedModelError(
        "the model version has no files", hint="register the model again with `holdfast train`"
    )
    for file in sorted(files, key=lambda file: file.role != "compiled"):
        try:
            return _load(file, task, blobs)
        except HoldfastError as error:
            logger.warning("the %s form of a model cannot be used: %s", file.format, error)
            failure = error
    raise failure


def _load(file: ModelFile, task: Task, blobs: Blobs) -> Predictor:
    data = blobs.read(file.digest)
    if file.format == "linear":
        from holdfast.registry.formats import linear_format

        return linear_format.load(data)
    if file.format == "onnx":
        from holdfast.registry.formats import onnx_format

        try:
            return onnx_format.load(data, task)
        except ImportError as error:
            raise MissingLibraryError("onnx", "ONNX models") from error
    if file.format == "lightgbm":
        from holdfast.registry.formats import lightgbm_format

        return lightgbm_format.load(data)
    from holdfast.registry.formats import skops_format

    return skops_format.load(data, task)
