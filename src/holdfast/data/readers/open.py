"""What a user names as a source, opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.base.errors import InvalidError
from holdfast.data.errors import SourceError
from holdfast.data.readers.reading import Reading


def open_source(source: Any = None, *, sql: str | None = None, connection: str | None = None) -> Reading:
    """A path, a pattern, a folder, a Delta table, an `s3://` address, a frame, or a query as a `Reading`.

    Raises:
        SourceError: it is none of these, or cannot be found.
        InvalidError: a query without a connection, or together with a source.
    """
    if sql is not None or connection is not None:
        if sql is None or connection is None or source is not None:
            raise InvalidError(
                "a query needs a connection, and takes the place of a source",
                hint='write --sql "SELECT …" --connection postgresql://user@host/database',
            )
        from holdfast.data.readers.sql import read_sql

        return read_sql(sql, connection)
    if not isinstance(source, str | Path):
        from holdfast.data.readers.frames import read_frame

        return read_frame(source)
    return _open_address(str(source))


def _open_address(address: str) -> Reading:
    if address.startswith("s3://"):
        from holdfast.data.readers.s3 import read_s3

        return read_s3(address)
    if "://" in address:
        scheme = address.partition("://")[0]
        raise SourceError(
            f"{scheme}:// is no kind of source", hint="name a file, a pattern, a folder or an s3:// address"
        )
    from holdfast.data.readers.delta import is_delta, read_delta
    from holdfast.data.readers.files import find_files, read_files

    path = Path(address).expanduser().absolute()
    if is_delta(path):
        return read_delta(path)
    paths = find_files(address)
    return read_files(str(path), paths, "file" if len(paths) == 1 else "files")
