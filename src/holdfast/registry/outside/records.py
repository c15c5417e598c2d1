"""What the child is told, and what it hands back."""

from __future__ import annotations

import msgspec

from holdfast.data.records import FieldContract
from holdfast.registry.records import ModelFile, Signature


class ConvertTask(msgspec.Struct, frozen=True):
    """`model_folder` holds the files of an MLflow model; `trust`: a person said that its code may run."""

    model_folder: str
    blobs_folder: str
    trust: bool = False


class Converted(msgspec.Struct, frozen=True):
    """A model in formats that serving loads; the files are blobs already.

    `flavor` is what MLflow calls the library, `stored_as` how the folder held it, `ran_code` whether loading it ran
    code of whoever wrote it, `checked_rows` on how many rows the new form was compared with the original.
    """

    signature: Signature
    files: tuple[ModelFile, ...]
    fields: tuple[FieldContract, ...]
    flavor: str
    stored_as: str
    ran_code: bool
    checked_rows: int


class Refused(msgspec.Struct, frozen=True):
    """Why a model cannot be served: an error code, one sentence, and the traceback for `--debug`."""

    code: str
    message: str
    detail: str = ""
