"""One table's way into the online store: predictions are remembered, labels complete them, views follow.

A label completes an input row; the row joins its entity's history; the views that depend on it are evaluated once
over the recent histories of all entities that the batch touched; and their newest rows become what lookups
read. All of it is one write transaction, finished before the label is acknowledged: whoever asks next, in
whichever process, sees it.
"""

from __future__ import annotations

import contextlib
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from blake3 import blake3

from holdfast.base.clock import Micros, parse_time, to_datetime
from holdfast.base.encoding import to_json, to_msgpack
from holdfast.base.errors import UserCodeError
from holdfast.data.records import Contract
from holdfast.data.source import AVAILABLE_AT, ROW_ID, TIME, compile_time
from holdfast.data.values import POLARS_TYPES
from holdfast.features.compute import FeatureFunction, compute_view
from holdfast.features.expiry import is_fresh
from holdfast.features.join import COUNTS_FROM, EVENT, POSITION, ViewRows, latest_rows
from holdfast.features.online.histories import Histories, frame_of
from holdfast.features.online.packing import Entity, TailRow, digest_key
from holdfast.features.online.store import OnlineStore, OnlineTransaction, PendingInput
from holdfast.features.online.tails import change_points
from holdfast.features.records import FeatureView
from holdfast.features.times import CREATED_AT

_TAIL_ROWS_BEFORE_NOW = 32
_ENTITY_LABEL = "e_"
_ISO = "%Y-%m-%dT%H:%M:%S%.6fZ"

BoundView = tuple[FeatureView, FeatureFunction]
_Grouping = tuple[str, ...]


class PushOutcome(msgspec.Struct, frozen=True):
    """What became of a batch of labels.

    `unmatched` labels have no remembered input (an unknown id, or one forgotten for age or number). `failures` are
    the messages of feature functions that raised: their views keep their last values, everything else is done.
    """

    matched: int
    unmatched: int
    entities: int
    failures: tuple[str, ...] = ()


class OnlineTable:
    """Feeds the store with one table and evaluates the views that depend on it.

    Args:
        store: the process's one store.
        contract: of the rows as requests carry them, plus the label.
        time: the table's time, as in `hf.Table(time=…)`.
        views: the views of all versions that are loaded, each with its function.

    Raises:
        TableError: the contract lacks a column that the time is made of.
    """

    def __init__(
        self,
        store: OnlineStore,
        contract: Contract,
        time: str | pl.Expr,
        views: Sequence[BoundView] = (),
    ) -> None:
        self.table = contract.table
        self._store = store
        self._fields = contract.fields
        self._label = next((field.name for field in contract.fields if field.role == "label"), None)
        self._key = tuple(field.name for field in contract.fields if field.role == "key")
        roots = [time] if isinstance(time, str) else time.meta.root_names()
        self._time_fields = tuple(field for field in contract.request_fields() if field.name in roots)
        schema = pl.Schema({field.name: POLARS_TYPES[field.type] for field in self._time_fields})
        self._times = compile_time(time, schema)
        self._views: tuple[BoundView, ...] = ()
        self._lock = threading.Lock()
        self._histories = Histories(contract.table, contract.fields)
        self.set_views(views)

    def set_views(self, views: Sequence[BoundView]) -> None:
        """Replaces the views, e.g. when another model version was loaded; seed the new ones afterwards."""
        self._views = tuple(views)

    def on_predict(
        self,
        prediction_ids: Sequence[str],
        request_at: Micros,
        rows: Sequence[dict[str, Any]],
        times: Sequence[Micros] | None = None,
    ) -> None:
        """Remembers the decoded input rows of one request until their labels come.

        `times` are their event times, where the caller has asked for them already.

        Raises:
            TableError: the event time of a row cannot be computed, which makes the request invalid.
        """
        times = self.event_times(rows) if times is None else times
        with self._store.write() as transaction:
            for row_id, time, row in zip(prediction_ids, times, rows, strict=True):
                pending = PendingInput(time, row, self._alias(self._entity_label(time, row)))
                transaction.remember(self.table, row_id, request_at, pending)
            transaction.forget_pending(request_at)

    def event_times(self, rows: Sequence[dict[str, Any]]) -> list[Micros]:
        """The event time of each decoded input row.

        Raises:
            TableError: as `with_time`.
        """
        return self._times(frame_of(rows, self._time_fields)).dt.epoch("us").to_list()

    def feeds(self, view: FeatureView) -> bool:
        """Whether the rows and labels of this table keep a view fresh."""
        return any(own.urn == view.urn for own, _ in self._views)

    def plain_columns(
        self, names: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> Iterator[tuple[str, Sequence[Any]]]:
        """Decoded columns as training has them: times, which requests carry as text, as naive datetimes in UTC."""
        times = {field.name for field in self._fields if field.type == "datetime"}
        for name, values in zip(names, columns, strict=True):
            if name in times:
                yield name, [None if text is None else _naive(text) for text in values]
            else:
                yield name, values

    def on_labels(
        self, ids: Sequence[str], values: Sequence[float], known_at: Sequence[Micros]
    ) -> PushOutcome:
        """Takes accepted labels, by prediction id or by `e_<time>_<key>`, and refreshes what depends on them.

        A label that comes again replaces the one before. A feature function that raises does not stop the others.
        """
        with self._changing() as transaction:
            touched: dict[_Grouping, set[Entity]] = {grouping: set() for grouping in self._groupings()}
            matched = 0
            for row_id, value in zip(ids, values, strict=True):
                found = self._resolve(transaction, row_id)
                if found is None:
                    continue
                matched += 1
                resolved, pending = found
                row = pending.row if self._label is None else {**pending.row, self._label: value}
                self._append(transaction, touched, pending.time, resolved.encode(), row)
            failures = self._refresh(transaction, touched, max(known_at, default=0)) if matched else ()
        entities = sum(len(entities) for entities in touched.values())
        return PushOutcome(matched, len(ids) - matched, entities, failures)

    def seed(self, history: Path, digest: str) -> int:
        """Continues from a history of labelled rows (Parquet); returns how many rows were new.

        Rows that are there already stay as they are, so what serving learned since is never overwritten. The same
        history (`digest`) for the same views is read once, whichever process comes first.

        Raises:
            FeatureFunctionError: a function raised; nothing was seeded.
        """
        marks = [digest_key("seed", digest, view.urn, view.digest) for view, _ in self._views]
        if all(self._store.has_mark(mark) for mark in marks):
            return 0
        frame = pl.read_parquet(history)
        rows = self._history_rows(frame)
        now = frame[AVAILABLE_AT].dt.epoch("us").max() if rows else None
        with self._changing() as transaction:
            touched: dict[_Grouping, set[Entity]] = {grouping: set() for grouping in self._groupings()}
            new = sum(
                self._append(transaction, touched, time, row_id, row, replace=False)
                for time, row_id, row in rows
            )
            if isinstance(now, int):
                failures = self._refresh(transaction, touched, now)
                if failures:
                    raise UserCodeError(failures[0])
            for mark in marks:
                transaction.set_mark(mark, 1)
        return new

    @contextlib.contextmanager
    def _changing(self) -> Iterator[OnlineTransaction]:
        """A write transaction over histories; when it is undone, so is what is kept of them in memory."""
        with self._lock:
            try:
                with self._store.write() as transaction:
                    yield transaction
            except BaseException:
                self._histories.forget()
                raise
            self._histories.settle()

    def _groupings(self) -> list[_Grouping]:
        return list(dict.fromkeys(view.spec.entity for view, _ in self._views))

    def _resolve(self, transaction: OnlineTransaction, row_id: str) -> tuple[str, PendingInput] | None:
        resolved: str | None = row_id
        if row_id.startswith(_ENTITY_LABEL):
            resolved = transaction.row_of_alias(self._alias(row_id))
        pending = transaction.pending(self.table, resolved) if resolved is not None else None
        return None if resolved is None or pending is None else (resolved, pending)

    def _entity_label(self, time: Micros, row: dict[str, Any]) -> str:
        """The id of a label that is given by entity and time, as serving writes it."""
        return f"{_ENTITY_LABEL}{time}_{to_json([row.get(name) for name in self._key])}"

    def _alias(self, entity_label: str) -> bytes:
        return digest_key("alias", self.table, entity_label)

    def _append(
        self,
        transaction: OnlineTransaction,
        touched: dict[_Grouping, set[Entity]],
        time: Micros,
        row_id: bytes,
        row: dict[str, Any],
        *,
        replace: bool = True,
    ) -> bool:
        """Adds a row to the history of its entity in every grouping; a row with a null key belongs to none."""
        new = False
        for grouping, entities in touched.items():
            entity = tuple(row.get(name) for name in grouping)
            if None in entity:
                continue
            group = self._histories.group(grouping, entity)
            new |= self._histories.append(transaction, group, time, row_id, row, replace=replace)
            entities.add(entity)
        return new

    def _refresh(
        self, transaction: OnlineTransaction, touched: dict[_Grouping, set[Entity]], now: Micros
    ) -> tuple[str, ...]:
        """Evaluates the views over the touched histories and writes their tails; returns what went wrong."""
        failures = []
        for grouping, entities in touched.items():
            if not entities:
                continue
            horizon_us = self._horizon(transaction, grouping)
            frame = self._recent(transaction, grouping, entities, now - horizon_us)
            for view, function in self._views:
                if view.spec.entity == grouping:
                    try:
                        self._write_tails(transaction, view, function, frame, entities, now)
                    except UserCodeError as error:
                        failures.append(str(error))
        return tuple(failures)

    def _horizon(self, transaction: OnlineTransaction, grouping: _Grouping) -> int:
        """How much history a grouping keeps: enough for every view of any process that ever wrote here."""
        mark = digest_key("horizon", self.table, grouping)
        needed = max(
            view.spec.lookback_us + view.spec.ttl_us
            for view, _ in self._views
            if view.spec.entity == grouping
        )
        known = transaction.mark(mark)
        if needed > known:
            transaction.set_mark(mark, needed)
        return max(needed, known)

    def _recent(
        self, transaction: OnlineTransaction, grouping: _Grouping, entities: Iterable[Entity], from_at: Micros
    ) -> pl.DataFrame:
        groups = [self._histories.group(grouping, entity) for entity in sorted(entities, key=to_msgpack)]
        return pl.concat([self._histories.frame(transaction, group, from_at) for group in groups])

    def _write_tails(
        self,
        transaction: OnlineTransaction,
        view: FeatureView,
        function: FeatureFunction,
        history: pl.DataFrame,
        entities: Iterable[Entity],
        now: Micros,
    ) -> None:
        spec = view.spec
        computed = compute_view(function, history.lazy(), spec)
        parts: dict[Entity, pl.DataFrame] = (
            computed.partition_by(spec.entity, as_dict=True) if spec.entity else {(): computed}
        )
        for entity in entities:
            part = parts.get(entity, computed.clear())
            transaction.put_tail(view, entity, _tail(view, part, now))

    def _history_rows(self, frame: pl.DataFrame) -> list[tuple[Micros, bytes, dict[str, Any]]]:
        """The rows of a history as the store keeps them; source rows, which have no id, are named by content."""
        names = [field.name for field in self._fields]
        texts = [pl.col(field.name).dt.strftime(_ISO) for field in self._fields if field.type == "datetime"]
        rows = frame.with_columns(texts).select(names).to_dicts()
        times = frame[TIME].dt.epoch("us").to_list()
        seen: Counter[bytes] = Counter()
        found = []
        for time, row_id, row in zip(times, frame[ROW_ID].to_list(), rows, strict=True):
            name = row_id.encode()
            if not name:
                content = blake3(to_msgpack([time, row])).digest(12)
                name = b"s" + content + seen[content].to_bytes(4, "big")
                seen[content] += 1
            found.append((time, name, row))
        return found


def _naive(text: str) -> datetime:
    return to_datetime(parse_time(text)).replace(tzinfo=None)


def _tail(view: FeatureView, part: pl.DataFrame, now: Micros) -> list[TailRow]:
    """What lookups of one entity may read from a little before now on."""
    if view.spec.aggregations:
        rows = part.drop(view.spec.entity)
        return change_points(rows, view.spec, now, entity=(), before_now=_TAIL_ROWS_BEFORE_NOW).get((), [])
    if AVAILABLE_AT not in part.columns and CREATED_AT not in part.columns:
        return _plain_tail(view, part, now)
    latest = latest_rows(ViewRows(part, (), view.spec.ttl_us, view.columns), part)
    from_at = latest[COUNTS_FROM].to_list()
    first = max(0, bisect_right(from_at, now) - _TAIL_ROWS_BEFORE_NOW)
    chosen = latest.slice(first).filter(is_fresh(pl.col(EVENT), now, view.spec.ttl_us))
    values = part.select(view.columns).select(pl.all().gather(chosen[POSITION])).rows()
    times = zip(chosen[COUNTS_FROM].to_list(), chosen[EVENT].to_list(), values, strict=True)
    return [TailRow(counts_from, event_at, 0, to_msgpack(row)) for counts_from, event_at, row in times]


def _plain_tail(view: FeatureView, part: pl.DataFrame, now: Micros) -> list[TailRow]:
    """The same without a frame operation a row is compared by: most views are so, and a label waits for it."""
    times = part[TIME].to_physical().to_list()
    oldest = bisect_left(times, now - view.spec.ttl_us)
    first = max(oldest, bisect_right(times, now) - _TAIL_ROWS_BEFORE_NOW)
    rows = part.slice(first).select(view.columns).rows()
    return [TailRow(time, time, 0, to_msgpack(row)) for time, row in zip(times[first:], rows, strict=True)]
