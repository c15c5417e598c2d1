"""Writing the rows of a version: frames in, Parquet parts and the fingerprint out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import polars as pl

from holdfast.base.blobs import Blobs
from holdfast.data.errors import StorageError
from holdfast.data.fingerprint import BLOCK_ROWS, FORMAT, Fingerprint, columns_of
from holdfast.data.records import DatasetVersion, Part, PartOrigin

# About how large a part is in memory, and so how much is held at once.
PART_BYTES = 24 << 20
_ROW_GROUP_ROWS = 262_144


class PartsWriter:
    """Stores frames as parts behind those of a base version.

    Args:
        base: the version whose parts are shared; its columns and their types are those of every frame.
        time: the column with the rows' times, `Datetime("us")`; None where there is none.

    Example:
        >>> import tempfile, pathlib
        >>> blobs = Blobs(pathlib.Path(tempfile.mkdtemp()))
        >>> with PartsWriter(blobs) as writer:
        ...     writer.add(pl.DataFrame({"x": [1, 2]}))
        >>> [part.rows for part in writer.parts]
        [2]
    """

    def __init__(
        self,
        blobs: Blobs,
        *,
        base: DatasetVersion | None = None,
        time: str | None = None,
    ) -> None:
        self._blobs = blobs
        self._time = time
        self._origin: PartOrigin = "source"
        self._base_version = base
        self._base = base.parts if base is not None else ()
        self._rows = sum(part.rows for part in self._base)
        self._fingerprint: Fingerprint | None = None
        self._waiting: list[pl.DataFrame] = []
        self._storing: list[tuple[Future[tuple[str, int]], Part]] = []
        # One part is compressed while the next is read and measured.
        self._background = ThreadPoolExecutor(1, "holdfast-part")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the whole version, those of the base first; complete once the writer is closed."""
        return (*self._base, *(self._stored(future, part) for future, part in self._storing))

    def add(self, frame: pl.DataFrame, origin: PartOrigin = "source") -> None:
        """Takes the next rows; every frame has the same columns and types. Each origin has parts of its own.

        Raises:
            StorageError: there is no room for a part.
        """
        if origin != self._origin:
            self._store()
            self._origin = origin
        size = int(frame.estimated_size())
        if size <= PART_BYTES:
            self._waiting.append(frame)
            if sum(piece.estimated_size() for piece in self._waiting) >= PART_BYTES:
                self._store(final=False)
            return
        self._store()
        for piece in frame.iter_slices(_step(frame.height * PART_BYTES // size)):
            self._waiting.append(piece)
            # The whole frame is in memory already, so its pieces need not wait for one another.
            self._store(patiently=False)

    def __enter__(self) -> PartsWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self._store()
        finally:
            self._background.shutdown(wait=True)
        if error is None:
            _ = self.parts  # raises what went wrong in the background

    def fingerprint(self) -> tuple[str, int]:
        """The fingerprint of all rows and its format: the base's own where nothing was added to it."""
        if self._storing:
            return self._storing[-1][1].fingerprint, FORMAT
        if self._base_version is None:
            raise ValueError("there are no rows to take a fingerprint of")
        return self._base_version.fingerprint, self._base_version.fingerprint_format

    def _store(self, *, patiently: bool = True, final: bool = True) -> None:
        """Stores what is waiting; where more is to come, only whole blocks of the fingerprint: they are hashed once."""
        if not sum(piece.height for piece in self._waiting):
            return
        rows = pl.concat(self._waiting, rechunk=False)
        self._waiting = []
        rest = 0 if final else (self._rows + rows.height) % BLOCK_ROWS
        if 0 < rest < rows.height:
            self._waiting, rows = [rows.tail(rest)], rows.head(rows.height - rest)
        self._rows += rows.height
        if self._storing and patiently:
            self._stored(*self._storing[-1])
        future = self._background.submit(_write, rows, self._blobs)
        if self._fingerprint is None:
            self._fingerprint = self._begin(rows.clear())
        self._fingerprint.add(rows)
        first, last = _span(rows, self._time)
        running, sealed = self._fingerprint.value(), self._fingerprint.sealed
        self._storing.append((future, Part("", rows.height, self._origin, first, last, running, sealed)))

    def _begin(self, columns: pl.DataFrame) -> Fingerprint:
        """The fingerprint of the base's rows, to go on from."""
        if not self._base:
            return Fingerprint(columns_of(columns))
        sealed = self._base[-1].sealed
        rows = sum(part.rows for part in self._base)
        begun = Fingerprint(columns_of(columns), sealed or None)
        skip = rows - rows % BLOCK_ROWS if sealed else 0
        for frame in _rows_from(self._base, skip, self._blobs):
            begun.add(frame.select(columns.columns))
        return begun

    def _stored(self, future: Future[tuple[str, int]], part: Part) -> Part:
        try:
            digest, size = future.result()
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
            raise StorageError(
                f"the rows cannot be stored ({reason})",
                hint="nothing was registered; make room where the home is, or name another with --home",
            ) from error
        return Part(
            digest,
            part.rows,
            part.origin,
            part.time_first_at,
            part.time_last_at,
            part.fingerprint,
            part.sealed,
            size,
        )


def read_part(part: Part, blobs: Blobs) -> pl.DataFrame:
    """The rows of one part; a part is small enough to be held in memory."""
    return pl.read_parquet(blobs.path(part.digest), glob=False)


def _rows_from(parts: Sequence[Part], skip: int, blobs: Blobs) -> Iterator[pl.DataFrame]:
    """The rows of parts after the first `skip`."""
    for part in parts:
        if skip < part.rows:
            yield read_part(part, blobs).slice(skip)
        skip = max(0, skip - part.rows)


def _step(rows: int) -> int:
    """So many rows a part, in whole blocks of the fingerprint where that is possible: then none is hashed twice."""
    return rows - rows % BLOCK_ROWS if rows >= BLOCK_ROWS else max(1, rows)


def _write(rows: pl.DataFrame, blobs: Blobs) -> tuple[str, int]:
    with blobs.scratch() as path:
        rows.write_parquet(path, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
        size = path.stat().st_size
        return blobs.take_file(path), size


def _span(rows: pl.DataFrame, time: str | None) -> tuple[int | None, int | None]:
    if time is None:
        return None, None
    times = rows.get_column(time).dt.epoch("us")
    return cast("int | None", times.min()), cast("int | None", times.max())
