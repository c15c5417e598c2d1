"""`hf.datasets`: dataset versions from Python, with the same nouns as `holdfast data`.

import holdfast as hf

hf.datasets.add("flights", "flights.parquet", key=["carrier", "flight"], time="time_hour")
hf.datasets.add("planes", frame, key="tailnum")  # a polars, pandas or pyarrow frame
rows = hf.datasets.read("flights@1")  # a polars LazyFrame; nothing is read before it is collected
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.base.errors import HoldfastError, InvalidError, RemoteError
from holdfast.data.diff_records import DatasetDiff, DiffRequest, RowDiff, Verification
from holdfast.data.records import (
    AddDatasetRequest,
    AddedDataset,
    DatasetSummary,
    DatasetTag,
    DatasetVersion,
    DeletedVersion,
    DeleteVersionRequest,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
    RetainReport,
    RetainRequest,
    SetTagRequest,
    TableSpec,
)
from holdfast.data.service import DataService
from holdfast.sdk import checks
from holdfast.sdk.session import Session

if TYPE_CHECKING:
    import polars as pl

_APPEND_ATTEMPTS = 5
_WAIT_FOR_GARBAGE_S = 60.0
_COLLECTING = "the garbage of this home is being collected, so no blobs of a dataset can be written now"


# What was said to be none, as opposed to nothing said.
_NONE = ("",)


class Added(AddedDataset, frozen=True):
    """What `add` returns: the version, whether it is new, and notes on how the rows were read."""

    notes: tuple[str, ...] = ()


def add(
    name: str,
    source: Any = None,
    *,
    sql: str | None = None,
    connection: str | None = None,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    label: str | None = None,
    drop: str | Sequence[str] | None = None,
    append: bool = False,
    message: str = "",
    home: str | None = None,
    project: str | None = None,
) -> Added:
    """Makes a source a version of the dataset `name`; rows that a version has already are that version.

    The rows are read and stored in this process, in bounded memory, and only then registered with the server of the
    home, which is started where none runs.

    Args:
        name: the dataset; made where it is new.
        source: a CSV or Parquet file, a pattern or folder of them, a Delta table, an `s3://` address, or a polars,
            pandas or pyarrow frame.
        sql: a query instead of a source, and `connection` where to run it: `sqlite:///path` or `postgresql://…`. No
            password is kept.
        key: the column(s) that name an entity; with `time` they tell the rows apart, and are checked to.
        time: the column with the rows' times: datetimes, dates or strings in ISO 8601.
        label: the column that models learn to predict.
        drop: columns to leave out. Where key, time, label or drop is not given, it is that of the newest version; an
            empty text says that there is none.
        append: add the rows to those of the newest version, whose files are shared.
        message: why, for whoever reads the list of versions.

    Raises:
        SourceError: the source cannot be read.
        TableError: the rows do not fit what is declared, or the version to append to.
        StorageError: there is no room for the rows.

    Example:
        >>> hf.datasets.add("planes", "planes.csv", key="tailnum").version.version  # doctest: +SKIP
        1
    """
    session = Session(home=home, project=project)
    return add_source(
        session,
        name,
        source,
        sql=sql,
        connection=connection,
        key=_NONE if key == "" else checks.names(key, "key"),
        time=time,
        label=label,
        drop=_NONE if drop == "" else checks.names(drop, "drop"),
        append=append,
        message=message,
    )


def add_source(
    session: Session,
    name: str,
    source: Any = None,
    *,
    sql: str | None = None,
    connection: str | None = None,
    key: tuple[str, ...] = (),
    time: str | None = None,
    label: str | None = None,
    drop: tuple[str, ...] = (),
    append: bool = False,
    message: str = "",
    tell: Callable[[int], None] | None = None,
) -> Added:
    """`add` for whoever has a session already; `tell` is told how many rows were read, again and again."""
    from holdfast.base import urn
    from holdfast.base.blobs import Blobs
    from holdfast.base.garbage import hold
    from holdfast.data.add import build_plain, spec_of
    from holdfast.data.errors import TableError
    from holdfast.data.readers.open import open_source

    urn.check_name(name, "dataset")
    client = session.client()
    blobs = Blobs(session.home.blobs)
    reading = open_source(source, sql=sql, connection=connection)
    # The parts are blobs long before a row names them: no garbage is collected meanwhile.
    with hold(blobs.root, alone=False, within_s=_WAIT_FOR_GARBAGE_S, refused=_COLLECTING):
        for attempt in range(_APPEND_ATTEMPTS):
            latest = _newest(session, name)
            spec, notes = _like_newest(
                TableSpec(name, None, time or "", key=key, label=label, drop=drop), time, latest
            )
            if append and latest is not None:
                if key or time or label:
                    raise InvalidError(
                        f"{name} has its key, time and label already", hint="leave them away when you append"
                    )
                _refuse_table_rows(latest)
                spec, notes = spec_of(latest, drop), ()
            base = latest if append else None
            try:
                built = build_plain(
                    spec, reading, blobs, base=base, latest=_plain_or_none(latest), message=message, tell=tell
                )
            except TableError as error:
                if not notes:
                    raise
                raise TableError(f"{error} ({notes[0]})") from error
            try:
                added = client.call(DataService.add_dataset, AddDatasetRequest(name, built.draft))
            except RemoteError as error:
                # Another writer was quicker; the rows go behind what it has added.
                if error.error_code != "dataset_moved" or attempt == _APPEND_ATTEMPTS - 1:
                    raise
            else:
                return Added(added.version, added.created, (*notes, *built.notes))
    raise AssertionError("unreachable")


def get(reference: str, *, home: str | None = None, project: str | None = None) -> DatasetVersion:
    """A dataset version: its manifest, contract, fingerprint and provenance.

    Args:
        reference: `name@3`, `name@latest`, or `name` for the newest.

    Raises:
        DatasetNotFoundError: there is no such dataset or version; says which there are.
    """
    return resolve(Session(home=home, project=project), reference)


def read(reference: str, *, home: str | None = None, project: str | None = None) -> pl.LazyFrame:
    """The rows of a dataset version as a polars LazyFrame; nothing is read before it is collected.

    Args:
        reference: `name@3`, `name@latest`, or `name` for the newest.

    Raises:
        DatasetNotFoundError: there is no such dataset or version.

    Example:
        >>> hf.datasets.read("flights@1").head(5).collect()  # doctest: +SKIP
    """
    from holdfast.base.blobs import Blobs
    from holdfast.data.build import read_parts

    session = Session(home=home, project=project)
    return read_parts(resolve(session, reference).parts, Blobs(session.home.blobs))


def list(*, home: str | None = None, project: str | None = None) -> tuple[DatasetSummary, ...]:
    """The datasets of the project with their newest versions, by name."""
    return Session(home=home, project=project).read(DataService.list_datasets, ListDatasetsRequest()).datasets


def versions(name: str, *, home: str | None = None, project: str | None = None) -> tuple[DatasetVersion, ...]:
    """The newest versions of a dataset, at most 500, newest first."""
    request = ListDatasetVersionsRequest(name, limit=500)
    return Session(home=home, project=project).read(DataService.list_versions, request).versions


class VersionDiff(msgspec.Struct, frozen=True):
    """Two versions compared: schema and distributions, and the rows where that was asked for."""

    versions: DatasetDiff
    rows: RowDiff | None = None


def diff(
    before: str,
    after: str = "latest",
    *,
    rows: bool = True,
    home: str | None = None,
    project: str | None = None,
) -> VersionDiff:
    """Compares two versions of a dataset by schema, distribution and, where `rows`, row by row.

    Args:
        before: the older version, `name@2`.
        after: the newer version of the same dataset: a number, a tag, `latest`, or `name@3`.

    Raises:
        DatasetNotFoundError: there is no such dataset or version.

    Example:
        >>> hf.datasets.diff("planes@1").rows.added  # doctest: +SKIP
        3
    """
    return diff_versions(Session(home=home, project=project), before, after, rows=rows)


def diff_versions(session: Session, before: str, after: str, *, rows: bool) -> VersionDiff:
    """`diff` for whoever has a session already."""
    from holdfast.base.blobs import Blobs

    name, _, first = before.removeprefix("data/").partition("@")
    other, found, second = after.removeprefix("data/").rpartition("@")
    if found and other != name:
        raise InvalidError(
            f"{before} and {after} are of different datasets", hint="compare versions of one dataset"
        )
    versions = session.read(DataService.diff, DiffRequest(name, first or "latest", second))
    if not rows or versions.same_rows:
        return VersionDiff(versions)
    from holdfast.data.diff import diff_rows

    one, two = (resolve(session, f"{name}@{number}") for number in (versions.before, versions.after))
    return VersionDiff(versions, diff_rows(one, two, Blobs(session.home.blobs)))


def checkout(
    reference: str,
    path: str | Path,
    *,
    replace: bool = False,
    home: str | None = None,
    project: str | None = None,
) -> int:
    """Writes the rows of a version to a `.parquet` or `.csv` file, and returns how many there are.

    Raises:
        ConflictError: the file is there already, and `replace` is not set.
        StorageError: it cannot be written.
    """
    from holdfast.base.blobs import Blobs
    from holdfast.data.verify import checkout as write

    session = Session(home=home, project=project)
    return write(resolve(session, reference), Blobs(session.home.blobs), Path(path), replace=replace)


def verify(reference: str, *, home: str | None = None, project: str | None = None) -> Verification:
    """Hashes the files and the rows of a version again, and looks whether its source has changed."""
    from holdfast.base.blobs import Blobs
    from holdfast.data.verify import verify_version

    session = Session(home=home, project=project)
    return verify_version(resolve(session, reference), Blobs(session.home.blobs))


def tag(reference: str, name: str, *, home: str | None = None, project: str | None = None) -> DatasetTag:
    """Puts a tag on a version, or moves it there; a tagged version is never deleted.

    Example:
        >>> hf.datasets.tag("planes@2", "gold").version  # doctest: +SKIP
        2
    """
    from holdfast.data.retention import RetentionService

    table, _, version = reference.removeprefix("data/").partition("@")
    request = SetTagRequest(table, name, version or "latest")
    return Session(home=home, project=project).write(RetentionService.set_tag, request)


def delete(reference: str, *, home: str | None = None, project: str | None = None) -> DeletedVersion:
    """Deletes a version, `name@3`, that no tag, run, feature, model or deployment refers to.

    Raises:
        DatasetInUseError: something refers to it; says what.
    """
    from holdfast.data.retention import RetentionService

    table, _, number = reference.removeprefix("data/").partition("@")
    if not number.isdecimal():
        raise InvalidError(
            f"{reference!r} names no number", hint="name the version to delete, such as rides@3"
        )
    request = DeleteVersionRequest(table, int(number))
    return Session(home=home, project=project).write(RetentionService.delete_version, request)


def gc(
    name: str,
    *,
    keep_last: int = 1,
    older_than: str = "0d",
    dry_run: bool = False,
    home: str | None = None,
    project: str | None = None,
) -> RetainReport:
    """Deletes the old versions of a dataset that nothing refers to, and says of each that stays why.

    Args:
        keep_last: how many of the newest versions stay.
        older_than: only versions made longer ago than this, such as `30d`.
        dry_run: say what would go, and delete nothing.

    Example:
        >>> hf.datasets.gc("planes", keep_last=10, older_than="90d", dry_run=True).deleted  # doctest: +SKIP
        (2, 1)
    """
    from holdfast.data.retention import RetentionService

    request = RetainRequest(name, keep_last, older_than, dry_run)
    return Session(home=home, project=project).write(RetentionService.retain, request)


def resolve(session: Session, reference: str) -> DatasetVersion:
    """The version that a reference such as `rides@3` names."""
    name, _, version = reference.removeprefix("data/").partition("@")
    return session.read(DataService.get_dataset, GetDatasetRequest(name, version or "latest"))


def _newest(session: Session, name: str) -> DatasetVersion | None:
    try:
        return session.read(DataService.get_dataset, GetDatasetRequest(name, "latest"))
    except HoldfastError as error:
        if error.error_code != "not_found":
            raise
        return None


def _refuse_table_rows(version: DatasetVersion) -> None:
    if version.provenance is None:
        raise InvalidError(
            f"{version.urn} is a declared table, which grows by what serving logs and by its own source",
            hint="add the rows to its source, or under another name",
        )


def _like_newest(
    spec: TableSpec, time: str | None, latest: DatasetVersion | None
) -> tuple[TableSpec, tuple[str, ...]]:
    """What a version declares: what was given, else what the newest one declares, and a note that says so."""
    from holdfast.data.add import spec_of

    # A declared table's own versions are its declaration's, not those of whoever added data under its name.
    before = (
        None if _plain_or_none(latest) is None or latest is None else spec_of(latest, latest.columns_dropped)
    )
    given = {"key": spec.key or None, "time": time, "label": spec.label, "drop": spec.drop or None}
    found: dict[str, Any] = {}
    said = []
    for role, value in given.items():
        taken = getattr(before, role) if before is not None and value is None else None
        found[role] = taken if taken else getattr(spec, role)
        if taken:
            said.append(f"{role} {taken if isinstance(taken, str) else ', '.join(taken)}")
    found["label"] = found["label"] or None
    found["key"] = () if found["key"] == _NONE else found["key"]
    found["drop"] = () if found["drop"] == _NONE else found["drop"]
    note = f"as in {spec.name}@{latest.version if latest else ''}: {'; '.join(said)} (an empty one says none: --key '')"
    return msgspec.structs.replace(spec, **found), (note,) if said else ()


def _plain_or_none(version: DatasetVersion | None) -> DatasetVersion | None:
    return version if version is not None and version.provenance is not None else None
