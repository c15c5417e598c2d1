"""What identifies the data that a run read: a digest of all of it, its size and its columns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from blake3 import blake3

from holdfast.base.blobs import digest_of
from holdfast.base.encoding import to_json
from holdfast.base.errors import InvalidError
from holdfast.tracking.records import DatasetUsed

_DIGEST_CHARACTERS = 32
_SCHEMA_MOST = 1_000_000
_TABLES = (".csv", ".parquet")
_TYPES = {"i": "long", "u": "long", "f": "double", "b": "boolean", "M": "datetime", "m": "double"}


def describe(name: str, data: Any) -> DatasetUsed:
    """A dataset by its name: a polars or pandas frame, a numpy array, or the path of a file or folder.

    The digest is BLAKE3 over the content, so the same data has the same digest whatever it is called.

    Raises:
        InvalidError: it is none of these, or the path cannot be read.
    """
    if isinstance(data, (str, Path)):
        return _of_path(name, Path(data).expanduser())
    module = type(data).__module__.partition(".")[0]
    if module == "polars":
        return _of_polars(name, data)
    if module == "pandas":
        return _of_pandas(name, data)
    if hasattr(data, "__array__") and "numpy" in sys.modules:
        return _of_array(name, data)
    raise InvalidError(
        f"the dataset {name!r} is a {type(data).__name__}",
        hint="give a polars or pandas frame, a numpy array, or the path of a file or folder",
    )


def _of_path(name: str, path: Path) -> DatasetUsed:
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        hasher = blake3()
        for item in files:
            hasher.update(f"{item.relative_to(path).as_posix()}\x00{digest_of(item)}\n".encode())
        size = sum(item.stat().st_size for item in files)
        profile = {"num_files": len(files), "num_bytes": size}
        return _described(name, hasher.hexdigest(), "local", {"uri": str(path.absolute())}, None, profile)
    try:
        digest, size = digest_of(path), path.stat().st_size
    except OSError as error:
        raise InvalidError(
            f"the dataset {name!r} cannot be read: {path} ({error.strerror})",
            hint="give the path of a file or folder",
        ) from error
    rows, columns = _table_of(path) if path.suffix in _TABLES else (None, None)
    profile = {"num_bytes": size, **({} if rows is None else {"num_rows": rows})}
    return _described(name, digest, "local", {"uri": str(path.absolute())}, columns, profile)


def _table_of(path: Path) -> tuple[int | None, list[tuple[str, str]] | None]:
    import polars as pl

    try:
        frame = pl.scan_csv(path) if path.suffix == ".csv" else pl.scan_parquet(path)
        schema = frame.collect_schema()
        rows = int(frame.select(pl.len()).collect().item())
    except Exception:  # a file that polars cannot read still has a digest and a size
        return None, None
    return rows, [(column, _polars_type(str(kind))) for column, kind in schema.items()]


def _of_polars(name: str, data: Any) -> DatasetUsed:
    import polars as pl

    from holdfast.data.fingerprint import fingerprint_frame

    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.Series):
        data = data.to_frame()
    plain = data.with_columns(
        _as_text(data[column]) for column, kind in data.schema.items() if not _has_fingerprint(kind)
    )
    columns = [(column, _polars_type(str(kind))) for column, kind in data.schema.items()]
    return _framed(name, fingerprint_frame(plain), data.height, columns)


def _has_fingerprint(kind: Any) -> bool:
    return bool(
        kind.is_integer() or kind.is_float() or str(kind) in ("Boolean", "String") or "Datetime" in str(kind)
    )


def _as_text(column: Any) -> Any:
    """Types that no table of ours holds (categories, dates, lists…) are hashed by what they read as."""
    import polars as pl

    texts = [None if value is None else str(value) for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def _of_pandas(name: str, data: Any) -> DatasetUsed:
    import pandas as pd

    frame = data.to_frame() if isinstance(data, pd.Series) else data
    hasher = blake3(to_json([(str(column), str(kind)) for column, kind in frame.dtypes.items()]).encode())
    hasher.update(pd.util.hash_pandas_object(frame, index=True).to_numpy().tobytes())
    columns = [(str(column), _TYPES.get(kind.kind, "string")) for column, kind in frame.dtypes.items()]
    return _framed(name, hasher.hexdigest(), len(frame), columns)


def _of_array(name: str, data: Any) -> DatasetUsed:
    import numpy as np

    array = np.ascontiguousarray(data)
    if array.dtype.hasobject:
        raise InvalidError(
            f"the dataset {name!r} is an array of objects", hint="give numbers, or a polars or pandas frame"
        )
    hasher = blake3(f"{array.dtype.str}{array.shape}".encode())
    hasher.update(array.data.cast("B") if array.size else b"")
    profile = {"num_rows": len(array) if array.ndim else 1, "shape": list(array.shape)}
    return _described(name, hasher.hexdigest(), "code", {}, [("values", str(array.dtype))], profile)


def _framed(name: str, digest: str, rows: int, columns: list[tuple[str, str]]) -> DatasetUsed:
    profile = {"num_rows": rows, "num_elements": rows * len(columns)}
    return _described(name, digest, "code", {}, columns, profile)


def _described(
    name: str,
    digest: str,
    source_type: str,
    source: dict[str, str],
    columns: list[tuple[str, str]] | None,
    profile: dict[str, Any],
) -> DatasetUsed:
    """In the words of MLflow's datasets, so that its pages show them, too."""
    schema = None
    if columns is not None:
        schema = to_json({"mlflow_colspec": [{"type": kind, "name": column} for column, kind in columns]})
        if len(schema) > _SCHEMA_MOST:
            schema = None
    return DatasetUsed(
        name, digest[:_DIGEST_CHARACTERS], source_type, to_json(source), schema, to_json(profile)
    )


def _polars_type(kind: str) -> str:
    if kind.startswith(("Int", "UInt")):
        return "long"
    if kind.startswith(("Float", "Decimal")):
        return "double"
    if kind.startswith(("Date", "Time")):
        return "datetime"
    return "boolean" if kind == "Boolean" else "string"
