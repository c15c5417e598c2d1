"""What a user names as a source, opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.data.errors import SourceError
from holdfast.data.readers.reading import Reading


def open_source(source: Any) -> Reading:
    """A path, a pattern, a folder or a frame as a `Reading`.

    Raises:
        SourceError: it is none of these, or cannot be found.
    """
    if not isinstance(source, str | Path):
        from holdfast.data.readers.frames import read_frame

        return read_frame(source)
    address = str(source)
    if "://" in address:
        scheme = address.partition("://")[0]
        raise SourceError(f"{scheme}:// is no kind of source", hint="name a file, a pattern or a folder")
    from holdfast.data.readers.files import find_files, read_files

    paths = find_files(address)
    return read_files(
        str(Path(address).expanduser().absolute()), paths, "file" if len(paths) == 1 else "files"
    )
