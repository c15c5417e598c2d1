"""Objects of an S3-compatible store as sources: fetched once into a temporary folder, then read as files.

The store is set as everywhere: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and so on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from holdfast.data.errors import SourceError
from holdfast.data.readers.files import is_table, read_files
from holdfast.data.readers.reading import Reading

_PATTERN = frozenset("*?[")


def read_s3(address: str) -> Reading:
    """The rows of `s3://bucket/key`, of a pattern of keys, or of all tables below `s3://bucket/folder/`.

    Raises:
        SourceError: the package `obstore` is not installed, the store refuses, or no object matches.
    """
    try:
        import obstore
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{address} cannot be read without obstore", hint="type `pip install 'holdfast[s3]'`"
        ) from error
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise SourceError(
            f"{address} names no object", hint="write s3://bucket/key, a pattern, or s3://bucket/folder/"
        )
    folder = tempfile.TemporaryDirectory(prefix="holdfast-s3-")
    try:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        options: Any = {"allow_http": True} if endpoint.startswith("http://") else {}
        store = S3Store(bucket, client_options=options)
        keys = _keys(obstore, store, key)
        if not keys:
            raise SourceError(f"{address} matches no object", hint="name CSV or Parquet objects")
        paths = [
            _fetch(obstore, store, name, Path(folder.name) / str(number)) for number, name in enumerate(keys)
        ]
    except SourceError:
        raise
    except Exception as error:
        # obstore raises types of its own for every answer of a store; their first line says what it was.
        reason = str(error).strip().splitlines()
        raise SourceError(
            f"{address} cannot be fetched ({reason[0][:200] if reason else type(error).__name__})",
            hint="check the key, AWS_ENDPOINT_URL and the credentials",
        ) from error
    reading = read_files(address, paths, "s3", [f"s3://{bucket}/{name}" for name in keys])
    inner = reading.frames

    def frames() -> Iterator[pl.DataFrame]:
        # The reading owns the folder: it goes with the last reference to it.
        assert folder.name
        yield from inner()

    reading.frames = frames
    return reading


def _keys(obstore: Any, store: Any, key: str) -> list[str]:
    if not _PATTERN & set(key) and not key.endswith("/"):
        return [key]
    start = min((key.index(mark) for mark in _PATTERN if mark in key), default=len(key))
    prefix = key[:start].rpartition("/")[0]
    found = [item["path"] for batch in obstore.list(store, prefix=prefix or None) for item in batch]
    wanted = f"{key}*" if key.endswith("/") else key
    return sorted(name for name in found if is_table(Path(name)) and fnmatchcase(name, wanted))


def _fetch(obstore: Any, store: Any, key: str, folder: Path) -> Path:
    folder.mkdir()
    path = folder / Path(key).name
    if not is_table(path):
        raise SourceError(
            f"{key} is neither CSV nor Parquet", hint="its name must end in .csv, .csv.gz or .parquet"
        )
    with path.open("wb") as file:
        for chunk in obstore.get(store, key):
            file.write(bytes(chunk))
    return path
