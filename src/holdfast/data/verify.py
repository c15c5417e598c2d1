"""Proving that a dataset version still holds what it held, and writing its rows out."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

import polars as pl

from holdfast.base.blobs import Blobs, digest_of
from holdfast.base.errors import ConflictError, InvalidError, NotFoundError
from holdfast.data.build import read_parts
from holdfast.data.diff_records import PartCheck, Verification
from holdfast.data.errors import StorageError
from holdfast.data.fingerprint import FORMAT, Fingerprint, columns_of
from holdfast.data.fingerprint_first import fingerprint_part, fingerprint_parts
from holdfast.data.records import DatasetVersion, Part
from holdfast.data.writer import read_part


def verify_version(version: DatasetVersion, blobs: Blobs) -> Verification:
    """Hashes every file of a version and the rows in them, and looks what became of the source's files."""
    parts = tuple(_check_part(number, part, blobs) for number, part in enumerate(version.parts, 1))
    whole = all(part.state == "ok" for part in parts)
    fingerprint: Literal["ok", "differs"] | None = None
    if whole:
        fingerprint = "ok" if _fingerprint(version, blobs) == version.fingerprint else "differs"
    source, path = _check_source(version)
    return Verification(version.urn, whole and fingerprint == "ok", parts, fingerprint, source, path)


def checkout(version: DatasetVersion, blobs: Blobs, target: Path, *, replace: bool = False) -> int:
    """Writes the rows of a version to a `.parquet` or `.csv` file, and returns how many there are.

    The file has the columns of the version's contract. It is there whole or not at all.

    Raises:
        InvalidError: the name ends in neither.
        ConflictError: the file is there already.
        StorageError: it cannot be written.
    """
    kind = target.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise InvalidError(
            f"{target} is neither .parquet nor .csv", hint="name a file that ends in one of them"
        )
    if target.exists() and not replace:
        raise ConflictError(
            f"{target} is there already", hint="name another file, or add --force to replace it"
        )
    rows = read_parts(version.parts, blobs).select([field.name for field in version.contract.fields])
    part = target.with_name(f".{target.name}.part")
    try:
        if kind == ".parquet":
            rows.sink_parquet(part, compression="zstd", mkdir=True)
        else:
            rows.sink_csv(part, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ", mkdir=True)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise StorageError(
            f"{target} cannot be written ({reason})", hint="name another file, or make room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return version.rows


def _check_part(number: int, part: Part, blobs: Blobs) -> PartCheck:
    try:
        state: Literal["ok", "damaged"] = "ok" if blobs.verify(part.digest) else "damaged"
    except NotFoundError:
        return PartCheck(number, part.digest, "missing")
    return PartCheck(number, part.digest, state)


def _fingerprint(version: DatasetVersion, blobs: Blobs) -> str:
    if version.fingerprint_format != FORMAT:
        return fingerprint_parts([fingerprint_part(read_part(part, blobs)) for part in version.parts])
    growing: Fingerprint | None = None
    for part in version.parts:
        rows = read_part(part, blobs)
        growing = growing or Fingerprint(columns_of(rows))
        growing.add(rows)
    return growing.value() if growing is not None else ""


def _check_source(
    version: DatasetVersion,
) -> tuple[Literal["unchanged", "changed", "gone", "not a file"] | None, str]:
    if version.provenance is not None:
        if version.provenance.kind not in ("file", "files"):
            return "not a file", version.provenance.address
        files = [(file.path, file.digest) for file in version.provenance.files]
    elif version.source is not None and version.source_digest is not None:
        files = [(version.source, version.source_digest)]
    else:
        return None, ""
    for path, digest in files:
        if not Path(path).is_file():
            return "gone", path
        try:
            if digest_of(Path(path)) != digest:
                return "changed", path
        except OSError:
            return "gone", path
    return "unchanged", version.source or ""
