"""Local files: one CSV or Parquet file, a pattern, or a folder of them.

Every file is hashed as it is read, before and after its rows, so a version never claims bytes that changed meanwhile.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from blake3 import blake3

from holdfast.base.blobs import digest_of
from holdfast.base.version import VERSION
from holdfast.data.errors import SourceError
from holdfast.data.readers.csv_file import CsvFile
from holdfast.data.readers.reading import Reading, TypesChangedError, unreadable
from holdfast.data.records import Provenance, SourceFile, SourceKind

FILES_KEPT = 1000
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_SLICE_BYTES = 24 << 20
_PATTERN = frozenset("*?[")


def read_files(
    address: str, paths: Sequence[Path], kind: SourceKind, shown: Sequence[str] | None = None
) -> Reading:
    """The rows of files, one after another; they have the same columns, types are widened over all of them.

    Args:
        shown: what the files are called in the provenance, where that is not their path.
    """
    names = shown or [str(path) for path in paths]
    tables = [_File(path) for path in paths]
    seen: dict[int, SourceFile] = {}

    def frames() -> Iterator[pl.DataFrame]:
        _settle(tables)
        for number, table in enumerate(tables):
            before = _stamp(table.path)
            seen[number] = SourceFile(names[number], _digest(table.path), before[1])
            yield from table.frames()
            if _stamp(table.path) != before:
                raise SourceError(f"{names[number]} was changed while it was read", hint="add it again")

    def provenance() -> Provenance:
        files = [seen[number] for number in sorted(seen)]
        digest = files[0].digest if len(files) == 1 else _digest_of_all(files)
        return Provenance(kind, address, "", digest, tuple(files[:FILES_KEPT]), len(files), code())

    return Reading(frames, provenance)


def find_files(address: str) -> list[Path]:
    """The files that a path, a pattern or a folder names, in order of their names.

    Raises:
        SourceError: there is none, or one is neither CSV nor Parquet.
    """
    path = Path(address).expanduser()
    if path.is_dir():
        found = sorted(
            item for item in path.iterdir() if is_table(item) and not item.name.startswith((".", "_"))
        )
    elif not path.exists() and _PATTERN & set(address):
        found = sorted(Path(item) for item in glob.glob(str(path), recursive=True))  # noqa: PTH207
        found = [item for item in found if item.is_file()]
    else:
        found = [path]
        if not path.exists():
            raise SourceError(f"{address} does not exist", hint="name an existing file, a pattern or a URL")
    if not found:
        raise SourceError(
            f"{address} matches no file", hint="name CSV or Parquet files (.csv, .csv.gz, .parquet)"
        )
    for item in found:
        if not is_table(item):
            raise SourceError(
                f"{item} is neither CSV nor Parquet", hint=f"its name must end in {', '.join(_SUFFIXES)}"
            )
        if item.stat().st_size == 0:
            raise SourceError(f"{item} is empty", hint="name a file with a header line and at least one row")
    return [item.absolute() for item in found]


def is_table(path: Path) -> bool:
    """Whether the name is that of a file that can be read."""
    return path.name.lower().endswith(_SUFFIXES)


def code() -> str:
    """What reads, for the provenance."""
    return f"holdfast {VERSION}, polars {pl.__version__}"


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._csv: CsvFile | None = None
        self._schema: dict[str, pl.DataType] | None = None
        self._casts: dict[str, pl.DataType] = {}

    def schema(self) -> dict[str, pl.DataType]:
        if self._schema is None:
            try:
                self._schema = self._read_schema()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise unreadable(str(self.path), error) from error
        return self._schema

    def _read_schema(self) -> dict[str, pl.DataType]:
        if self.path.name.lower().endswith(".parquet"):
            return dict(pl.read_parquet_schema(self.path))
        self._csv = CsvFile(self.path)
        return dict(self._csv.schema)

    def settle(self, schema: dict[str, pl.DataType]) -> None:
        """Reads with these types from now on, where the file leaves it open."""
        if self._csv is not None:
            self._csv.schema = {name: schema[name] for name in self._csv.schema}
        else:
            own = self.schema()
            self._casts = {name: type_ for name, type_ in schema.items() if type_ != own[name]}

    def frames(self) -> Iterator[pl.DataFrame]:
        if self._csv is None:
            yield from self._row_groups()
            return
        try:
            yield from self._csv.frames()
        except TypesChangedError:
            self._schema = dict(self._csv.schema)
            raise

    def _row_groups(self) -> Iterator[pl.DataFrame]:
        scan = pl.scan_parquet(self.path, glob=False, low_memory=True, hive_partitioning=False)
        for frame in slices(scan, str(self.path)):
            yield frame.cast(self._casts)  # type: ignore[arg-type]


def slices(scan: pl.LazyFrame, shown: str) -> Iterator[pl.DataFrame]:
    """The rows of a scan in slices: polars' own batches decode several row groups ahead, whatever their size."""
    try:
        rows = max(1, int(scan.select(pl.len()).collect().item()))
        width = max(1, scan.head(1024).collect().estimated_size() // min(rows, 1024))
        step = max(1024, _SLICE_BYTES // max(1, int(width)))
        for start in range(0, rows, step):
            yield scan.slice(start, step).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(shown, error) from error


def _settle(tables: Sequence[_File]) -> None:
    """Gives the columns of all files the same types, so that one file of integers does not part from one of floats."""
    first = tables[0].schema()
    whole = dict(first)
    for table in tables[1:]:
        schema = table.schema()
        if list(schema) != list(first):
            missing, more = [n for n in first if n not in schema], [n for n in schema if n not in first]
            what = (
                f"lacks {', '.join(missing)}"
                if missing
                else f"also has {', '.join(more)}"
                if more
                else "orders them otherwise"
            )
            raise SourceError(
                f"{table.path.name} has other columns than {tables[0].path.name}: it {what}",
                hint="add files of the same columns together, others under another name",
            )
        for name, type_ in schema.items():
            whole[name] = _common(name, whole[name], type_, table.path)
    for table in tables:
        table.settle(whole)


def _common(name: str, one: pl.DataType, two: pl.DataType, path: Path) -> pl.DataType:
    if one == two or (two == pl.Null):
        return one
    if one == pl.Null:
        return two
    if one.is_integer() and two.is_integer():
        return pl.Int64()
    if one.is_numeric() and two.is_numeric():
        return pl.Float64()
    texts = (pl.String, pl.Categorical, pl.Enum)
    if isinstance(one, texts) and isinstance(two, texts):
        return pl.String()
    if isinstance(one, pl.Datetime) and isinstance(two, pl.Datetime):
        if bool(one.time_zone) == bool(two.time_zone):
            return pl.Datetime("us", one.time_zone)
        raise SourceError(
            f"{path.name}: the times in {name} have a zone in some files and none in others",
            hint="write all of them with their zone",
        )
    raise SourceError(
        f"{path.name}: {name} is {two}, but {one} in the files before it",
        hint="convert it to one type in all files, or leave it out with --drop",
    )


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError as error:
        raise unreadable(str(path), error) from error


def _digest_of_all(files: Sequence[SourceFile]) -> str:
    """Of the names and digests of several files."""
    whole = blake3()
    for file in files:
        whole.update(f"{Path(file.path).name}\n{file.digest}\n".encode())
    return whole.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return found.st_mtime_ns, found.st_size
