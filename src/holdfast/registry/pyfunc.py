"""Loads a version that was handed out as a folder: what MLflow's `pyfunc` calls in the process of whoever asked.

The folder holds the version's own files and what its columns mean, so its predictions are those of the data plane:

    version.json          columns, task and files
    blobs/ab/abcdef…      the files, by digest

A model with feature views takes the features as columns beside those of a request; looking them up needs a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import from_json
from holdfast.base.errors import InvalidError
from holdfast.registry.records import ModelFile, Signature

if TYPE_CHECKING:
    from holdfast.registry.formats.predictor import Outputs, Predictor

VERSION_FILE = "version.json"
BLOBS_FOLDER = "blobs"


class HandedOut(msgspec.Struct, frozen=True):
    """What a folder says of its version."""

    name: str
    version: int
    signature: Signature
    files: tuple[ModelFile, ...]


class VersionModel:
    """A version as MLflow's pyfunc wants a model: `predict` of a frame is one float64 a row.

    Args:
        told: what the folder says of the version.
        predictor: its loaded form.
    """

    def __init__(self, told: HandedOut, predictor: Predictor) -> None:
        self.told = told
        self._predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Outputs:
        """The value of each row for regression, the probability of class 1 for binary models.

        Args:
            model_input: a pandas or polars frame, or a mapping of column names to lists; columns beyond those of
                the signature are passed over.
            params: none are known.

        Raises:
            InvalidError: a column is missing, or holds something that it cannot.
        """
        from holdfast.registry.encode import encode_columns

        columns = self.told.signature.columns
        given = set(model_input.keys() if isinstance(model_input, Mapping) else model_input.columns)
        missing = [column.name for column in columns if column.name not in given]
        if missing:
            raise InvalidError(
                f"{self.told.name}@{self.told.version} needs the columns {', '.join(missing)}",
                field=missing[0],
            )
        values = [_plain(model_input[column.name]) for column in columns]
        return self._predictor.predict(encode_columns(values, columns))


def _load_pyfunc(path: str) -> VersionModel:
    """The model of a folder; the name is MLflow's.

    Raises:
        DamagedModelError, MissingLibraryError: it cannot be loaded, and why.
    """
    from holdfast.registry.formats import load_predictor

    folder = Path(path)
    told = from_json((folder / VERSION_FILE).read_bytes(), HandedOut)
    predictor = load_predictor(told.files, told.signature.task, Blobs(folder / BLOBS_FOLDER))
    return VersionModel(told, predictor)


def _plain(values: Any) -> Sequence[Any]:
    """A column as Python's own values, with None where the frame has a gap."""
    items = values.to_list() if hasattr(values, "to_list") else list(values)
    # NaN and pandas' own marks for a gap are the values that differ from themselves, or refuse to say.
    return [None if _is_gap(item) else item for item in items]


def _is_gap(item: Any) -> bool:
    return item is None or type(item).__name__ in ("NAType", "NaTType") or item != item
