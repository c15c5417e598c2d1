"""Adding plain data: any source becomes a dataset version, in bounded memory and without the user's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from msgspec.structs import replace

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import from_msgpack, to_msgpack
from holdfast.data.errors import TableError
from holdfast.data.facts import Facts
from holdfast.data.keys import check_unique, identity_columns
from holdfast.data.plain import PlainRows
from holdfast.data.profiling import Profiler, watched
from holdfast.data.readers.reading import Reading, TypesChangedError
from holdfast.data.records import DatasetDraft, DatasetVersion, FieldContract, TableSpec
from holdfast.data.writer import PartsWriter, read_part
from holdfast.profiles.records import Profile


@dataclass(frozen=True)
class Built:
    """A draft to register, and what the user should know of how its rows were read."""

    draft: DatasetDraft
    notes: tuple[str, ...]


def build_plain(
    spec: TableSpec,
    reading: Reading,
    blobs: Blobs,
    *,
    base: DatasetVersion | None = None,
    latest: DatasetVersion | None = None,
    message: str = "",
    tell: Callable[[int], None] | None = None,
) -> Built:
    """Stores the rows of a source as parts and returns what to register.

    Rows are taken as they are: none is left out, and the only columns that change are those whose type is none of
    the five (see `plain`). With `base` they are appended to its rows, and only the new ones are stored.

    Args:
        spec: the dataset's name, key, time and label; with `base` its own.
        base: the version to append to; its parts are shared.
        latest: the newest version of the dataset, whose profile's cells are kept where they still fit.
        tell: is told how many rows were read, again and again.

    Raises:
        SourceError: the source cannot be read.
        TableError: a declared column is missing, a value does not fit, a key is there twice, or there is no row.
        StorageError: there is no room for the rows.
    """
    while True:
        try:
            return _build(spec, reading, blobs, base, latest, message, tell or (lambda rows: None))
        except TypesChangedError:
            continue


def _build(
    spec: TableSpec,
    reading: Reading,
    blobs: Blobs,
    base: DatasetVersion | None,
    latest: DatasetVersion | None,
    message: str,
    tell: Callable[[int], None],
) -> Built:
    fields = base.contract.fields if base is not None else None
    rows = PlainRows(spec, fields)
    facts = Facts.of_contract(fields, base.rows) if base is not None and fields is not None else Facts()
    profiler: Profiler | None = None
    with PartsWriter(blobs, base=base, time=spec.time or None) as writer:

        def again() -> Iterator[pl.DataFrame]:
            return (read_part(part, blobs) for part in writer.parts)

        pieces = (piece for piece in reading.frames() if piece.height)
        for frame in map(rows.take, pieces if reading.in_memory else _gathered(pieces)):
            writer.add(frame)
            facts.add(frame)
            if profiler is None:
                profiler = _profiler(facts.fields(spec), again, blobs, base, latest)
            profiler.add(frame)
            tell(facts.rows)
    if not writer.parts or (base is None and profiler is None):
        raise TableError(f"{spec.name}: the source has no rows", hint="name a source with at least one row")
    found = facts.fields(spec)
    _check_label(spec, found)
    check_unique(spec.name, identity_columns(found), writer.parts, blobs)
    fingerprint, format_ = writer.fingerprint()
    bounds = {field.name: (field.minimum, field.maximum) for field in found}
    profile = profiler.finish(bounds) if profiler is not None else _profile_of(base, blobs) or Profile()
    draft = DatasetDraft(
        table=spec.name,
        fingerprint=fingerprint,
        parts=writer.parts,
        rows=facts.rows,
        fields=found,
        profile=blobs.put(to_msgpack(_spanned(profile, writer))),
        as_of_at=0,
        source=(provenance := reading.provenance()).address,
        source_digest=provenance.digest or None,
        parent=base.version if base is not None else None,
        columns_dropped=spec.drop,
        fingerprint_format=format_,
        provenance=provenance,
        message=message,
    )
    return Built(draft, (*reading.notes, *rows.notes()))


def spec_of(version: DatasetVersion, drop: Sequence[str] = ()) -> TableSpec:
    """Key, time and label of a version, as its contract names them."""
    roles: dict[str, list[str]] = {"key": [], "time": [], "label": [], "feature": []}
    for field in version.contract.fields:
        roles[field.role].append(field.name)
    return TableSpec(
        name=version.table,
        source=None,
        time=roles["time"][0] if roles["time"] else "",
        key=tuple(roles["key"]),
        label=roles["label"][0] if roles["label"] else None,
        drop=tuple(drop),
    )


def _gathered(frames: Iterator[pl.DataFrame], most: int = 16 << 20) -> Iterator[pl.DataFrame]:
    """Small frames together, large ones in slices: measuring costs a little for every frame and column."""
    waiting: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        waiting.append(frame)
        size += int(frame.estimated_size())
        if size >= most // 2:
            whole = pl.concat(waiting, rechunk=False)
            waiting, size, step = [], 0, max(1, whole.height * most // max(int(whole.estimated_size()), 1))
            yield from whole.iter_slices(step)
    if waiting:
        yield pl.concat(waiting, rechunk=False)


def _profiler(
    fields: Sequence[FieldContract],
    again: Callable[[], Iterator[pl.DataFrame]],
    blobs: Blobs,
    base: DatasetVersion | None,
    latest: DatasetVersion | None,
) -> Profiler:
    before = _profile_of(base, blobs)
    pinned = _profile_of(latest, blobs)
    return Profiler(watched(fields), again, before, pinned, shares_rows=base is not None)


def _profile_of(version: DatasetVersion | None, blobs: Blobs) -> Profile | None:
    if version is None or not blobs.exists(version.profile):
        return None
    return from_msgpack(blobs.read(version.profile), Profile)


def _spanned(profile: Profile, writer: PartsWriter) -> Profile:
    firsts = [part.time_first_at for part in writer.parts if part.time_first_at is not None]
    lasts = [part.time_last_at for part in writer.parts if part.time_last_at is not None]
    return replace(profile, from_at=min(firsts, default=None), to_at=max(lasts, default=None))


def _check_label(spec: TableSpec, fields: Sequence[FieldContract]) -> None:
    label = next((field for field in fields if field.role == "label"), None)
    if label is not None and label.null_share == 1.0:
        raise TableError(
            f"{spec.name}: the label {label.name!r} is null in every row", hint="name another column"
        )
