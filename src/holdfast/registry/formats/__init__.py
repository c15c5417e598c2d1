"""Model formats: safe to load, native first, compiled where a compiled form agrees with the original.

`save_model` stores a fitted estimator, `load_predictor` loads it for prediction, and every loaded model is a
`Predictor`. No format here runs code that a file brings along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast.registry.formats.load import load_predictor
from holdfast.registry.formats.predictor import Predictor

if TYPE_CHECKING:
    from holdfast.base.blobs import Blobs
    from holdfast.registry.formats.predictor import Matrix
    from holdfast.registry.records import ModelFile, Task

__all__ = ["Predictor", "load_predictor", "save_model"]


def save_model(
    estimator: Any, sample: Matrix, task: Task, blobs: Blobs, names: Sequence[str]
) -> tuple[ModelFile, ...]:
    """Stores a fitted estimator; see `holdfast.registry.formats.save`, which is imported only when called."""
    from holdfast.registry.formats.save import save_model as save

    return save(estimator, sample, task, blobs, names)
