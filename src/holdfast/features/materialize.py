"""Materializing: a view's rows of the past, brought to an online store, from where it was left the last time.

Entities are cut into buckets by a hash. With the last rows of a bucket the store keeps up to when it is done, in the
same transaction. So whoever is killed and starts again goes on with the buckets that are not done; doing one twice
changes nothing, for a write never replaces a newer row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import polars as pl

from holdfast.base.clock import Micros
from holdfast.base.encoding import from_msgpack, to_msgpack
from holdfast.base.home import Home
from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.compute import FeatureFunction, compute_view
from holdfast.features.online.backend import OnlineBackend
from holdfast.features.online.opening import open_online
from holdfast.features.online.packing import digest_key
from holdfast.features.online.writing import write_view
from holdfast.features.records import FeatureView
from holdfast.features.times import utc_micros

BUCKETS = 16
_BUCKET = "_bucket"
_FROM = "_from"
_BEGINNING = -(2**62)


class _Progress(msgspec.Struct, frozen=True, array_like=True):
    """Up to when a bucket is done, and the release of polars whose hash cut the buckets."""

    through_at: Micros
    release: str


class Materialized(NamedTuple):
    """What one materialization wrote: rows and entities, of rows that counted after `from_at` and by `to_at`.

    `from_at` is None where some bucket began with the first row.
    """

    rows: int
    entities: int
    from_at: Micros | None
    to_at: Micros


def materialize(
    home: Home,
    project: str,
    view: FeatureView,
    function: FeatureFunction,
    table: pl.DataFrame,
    to_at: Micros,
    from_at: Micros | None = None,
    *,
    online: str | None = None,
    processes: int = 1,
) -> Materialized:
    """Computes a view and writes what counts by `to_at` to the project's online store.

    Args:
        table: the rows of the view's table, with `_available_at`.
        from_at: rows that counted by then are left out; by default what was materialized before.
        online: the store's address, as the setting `online`.
        processes: how many processes pack and write; LMDB lets one write at a time.

    Raises:
        FeatureFunctionError: the function raised. OnlineStoreError: the store cannot be written.
    """
    known = (
        table.filter(pl.col(AVAILABLE_AT).dt.epoch("us") <= to_at) if AVAILABLE_AT in table.columns else table
    )
    rows = _with_buckets(compute_view(function, known.lazy(), view.spec), view)
    rows = rows.filter(pl.col(_FROM) <= to_at)
    store = open_online(home, project, online)
    try:
        starts = [_start(store, view, bucket, from_at) for bucket in range(BUCKETS)]
        overlap_us = 0 if AVAILABLE_AT in rows.columns else max(view.spec.ttl_us, view.spec.lookback_us)
        wanted = list(_pieces(rows, view, starts, overlap_us if from_at is None else 0, to_at))
        if from_at is not None:  # a range of its own says nothing about what lies before it
            wanted = [(bucket, piece, None) for bucket, piece, _ in wanted]
        if processes > 1 and len(wanted) > 1:
            entities = _in_processes(home, project, view, wanted, to_at, online, processes)
        else:
            entities = sum(_write(store, view, bucket, piece, to_at, mark) for bucket, piece, mark in wanted)
    finally:
        store.close()
    first = min(starts)
    count = sum(piece.height for _, piece, _ in wanted)
    return Materialized(count, entities, None if first == _BEGINNING else first, to_at)


def _with_buckets(rows: pl.DataFrame, view: FeatureView) -> pl.DataFrame:
    names = [TIME, *([AVAILABLE_AT] if AVAILABLE_AT in rows.columns else [])]
    counts_from = pl.max_horizontal(utc_micros(rows.schema, names, "the view's rows"))
    entity = list(view.spec.entity)
    bucket = pl.struct(entity).hash(seed=0) % BUCKETS if entity else pl.lit(0, dtype=pl.UInt64)
    return rows.with_columns(counts_from.alias(_FROM), bucket.alias(_BUCKET))


def _pieces(
    rows: pl.DataFrame, view: FeatureView, starts: Sequence[Micros], overlap_us: int, to_at: Micros
) -> Iterator[tuple[int, pl.DataFrame, bytes | None]]:
    """The rows of each bucket that are not there yet, and what to keep as its progress (None: leave it).

    Where nothing says when a row became available, a late one looks like an old one; so such views begin their TTL
    and lookback earlier than they ended.
    """
    parts = rows.partition_by(_BUCKET, as_dict=True)
    horizon = to_at - max([view.spec.ttl_us, *(one.window_us for one in view.spec.aggregations)])
    for bucket, start in enumerate(starts):
        piece = parts.get((bucket,))
        if piece is None:
            continue
        begin = start - overlap_us if start != _BEGINNING else start
        piece = piece.filter(pl.col(_FROM) > begin)
        if view.spec.aggregations:
            piece = piece.filter(pl.col(TIME).dt.epoch("us") >= horizon)
        if piece.height or start < to_at:
            yield bucket, piece.drop(_BUCKET, _FROM), to_msgpack(_Progress(to_at, pl.__version__))


def _start(store: OnlineBackend, view: FeatureView, bucket: int, from_at: Micros | None) -> Micros:
    if from_at is not None:
        return from_at
    kept = store.mark_of(_mark(view, bucket))
    progress = from_msgpack(kept, _Progress) if kept is not None else None
    return progress.through_at if progress is not None and progress.release == pl.__version__ else _BEGINNING


def _write(
    store: OnlineBackend,
    view: FeatureView,
    bucket: int,
    piece: pl.DataFrame,
    to_at: Micros,
    mark: bytes | None,
) -> int:
    kept = store.mark_of(_mark(view, bucket))
    ahead = kept is not None and from_msgpack(kept, _Progress).through_at > to_at
    return write_view(store, view, piece, to_at, {_mark(view, bucket): mark} if mark and not ahead else None)


def _mark(view: FeatureView, bucket: int) -> bytes:
    return digest_key("materialized", view.urn, view.digest, bucket)


def _in_processes(
    home: Home,
    project: str,
    view: FeatureView,
    wanted: Sequence[tuple[int, pl.DataFrame, bytes | None]],
    to_at: Micros,
    online: str | None,
    processes: int,
) -> int:
    """Hands the buckets to processes as files; each opens the store for itself."""
    home.tmp.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home.tmp, prefix="materializing-") as folder:
        tasks = []
        for bucket, piece, mark in wanted:
            path = Path(folder) / f"{bucket}.arrow"
            piece.write_ipc(path)
            tasks.append((str(home.root), project, online, view, bucket, str(path), to_at, mark))
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            return sum(pool.map(_write_file, tasks))


def _write_file(task: tuple[str, str, str | None, FeatureView, int, str, Micros, bytes | None]) -> int:
    root, project, online, view, bucket, path, to_at, mark = task
    store = open_online(Home(Path(root)), project, online)
    try:
        return _write(store, view, bucket, pl.read_ipc(path), to_at, mark)
    finally:
        store.close()
