"""Writing feature rows and events to any online store, so that order and repetition do not matter.

A row never replaces a newer one: newer is a later event time, and at one event time a later creation. Events of an
aggregated view are a set: the same event again changes nothing, a late one takes its place in the windows. So writers
may repeat themselves after a crash, overtake each other, and run side by side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec
import polars as pl

from holdfast.base.clock import Micros
from holdfast.base.encoding import to_msgpack
from holdfast.data.source import AVAILABLE_AT, TIME
from holdfast.features.join import COUNTS_FROM, EVENT, POSITION, ViewRows, latest_rows
from holdfast.features.online.backend import OnlineBackend, Stored
from holdfast.features.online.packing import Entity, TailRow, pack_tail, unpack_tail
from holdfast.features.online.tails import change_points
from holdfast.features.records import FeatureView
from holdfast.features.times import CREATED_AT, utc_micros

_NUMBER = "_number"


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One row of an aggregated view as the store keeps it; `values` are MessagePack of the aggregated columns."""

    event_at: Micros
    from_at: Micros
    created_at: Micros
    values: bytes


_decode_events = msgspec.msgpack.Decoder(list[Event]).decode
_decode_values = msgspec.msgpack.Decoder(tuple).decode


def write_view(
    store: OnlineBackend,
    view: FeatureView,
    rows: pl.DataFrame,
    now: Micros,
    marks: Mapping[bytes, bytes] | None = None,
) -> int:
    """Brings a view up to date with computed rows; returns how many entities they are of.

    Args:
        rows: as `compute_view` returns them: features, or for an aggregated view the rows to aggregate.
        now: what counts by then is kept in its newest row only, what counts later besides.
        marks: kept in the same transaction as the last of the rows.
    """
    changes = _events_of(view, rows) if view.spec.aggregations else _tails_of(view, rows, now)
    entities = sorted(changes, key=to_msgpack)
    size = store.entities_at_once
    for start in range(0, max(len(entities), 1), size):
        chosen = entities[start : start + size]
        new = [changes[entity] for entity in chosen]
        last = start + size >= len(entities)
        store.change(view, chosen, partial(_changed, view, new, now), marks if last else None)
    return len(entities)


def forget_entity(store: OnlineBackend, view: FeatureView, entity: Entity) -> bool:
    """Deletes what is kept of an entity for a view; whether there was anything."""
    had: list[bool] = []

    def drop(old: Sequence[Stored]) -> Sequence[Stored]:
        had[:] = [stored != Stored() for stored in old]
        return [Stored()] * len(old)

    store.change(view, [entity], drop)
    return any(had)


def _changed(
    view: FeatureView, new: Sequence[Sequence[TailRow] | Sequence[Event]], now: Micros, old: Sequence[Stored]
) -> Sequence[Stored]:
    if view.spec.aggregations:
        return _with_events(view, old, new, now)  # type: ignore[arg-type]
    return [
        Stored(pack_tail(rows if stored.tail is None else _merged(unpack_tail(stored.tail), rows, now)))  # type: ignore[arg-type]
        for stored, rows in zip(old, new, strict=True)
    ]


def _merged(old: Sequence[TailRow], new: Sequence[TailRow], now: Micros) -> list[TailRow]:
    """Both together: of one event time the later created, and no row that counts only after a newer one."""
    by_event = {row.event_at: row for row in old}
    for row in new:
        known = by_event.get(row.event_at)
        if known is None or row.created_at >= known.created_at:
            by_event[row.event_at] = row
    kept: list[TailRow] = []
    for row in sorted(by_event.values(), key=lambda row: (row.from_at, row.event_at)):
        if kept and row.event_at < kept[-1].event_at:
            continue
        if kept and kept[-1].from_at <= row.from_at <= now:
            kept.pop()
        kept.append(row)
    return kept


def _tails_of(view: FeatureView, frame: pl.DataFrame, now: Micros) -> dict[Entity, list[TailRow]]:
    """By entity the newest row that counts by now, and those that count later, ascending."""
    entity = list(view.spec.entity)
    latest = latest_rows(ViewRows(frame, tuple(entity), view.spec.ttl_us, view.columns), frame)
    counting = pl.col(COUNTS_FROM) <= now
    last = latest.filter(counting)
    last = last.unique(entity, keep="last", maintain_order=True) if entity else last.tail(1)
    chosen = pl.concat([last, latest.filter(~counting)])
    found: dict[Entity, list[TailRow]] = defaultdict(list)
    for key, row in _rows(frame, chosen, entity, view.columns):
        found[key].append(row)
    return found


def _rows(
    frame: pl.DataFrame, chosen: pl.DataFrame, entity: list[str], columns: Sequence[str]
) -> Iterator[tuple[Entity, TailRow]]:
    place = chosen[POSITION]
    created = _created(frame).gather(place).to_list()
    values = frame.select(columns).select(pl.all().gather(place)).rows()
    keys = chosen.select(entity).rows() if entity else [()] * chosen.height
    times = zip(chosen[COUNTS_FROM].to_list(), chosen[EVENT].to_list(), created, strict=True)
    pack = msgspec.msgpack.Encoder().encode
    for key, (from_at, event_at, created_at), row in zip(keys, times, values, strict=True):
        yield key, TailRow(from_at, event_at, created_at, pack(row))


def _created(frame: pl.DataFrame) -> pl.Series:
    if CREATED_AT not in frame.columns:
        return pl.repeat(0, frame.height, dtype=pl.Int64, eager=True)
    micros = frame.select(utc_micros(frame.schema, [CREATED_AT], "the view's rows")).to_series()
    return micros.fill_null(-(2**62))


def _events_of(view: FeatureView, frame: pl.DataFrame) -> dict[Entity, list[Event]]:
    entity, columns = list(view.spec.entity), view.spec.inputs
    frame = frame.drop_nulls([TIME, *entity])
    if AVAILABLE_AT in frame.columns:
        frame = frame.drop_nulls(AVAILABLE_AT)
    names = [TIME, *([AVAILABLE_AT] if AVAILABLE_AT in frame.columns else [])]
    times = frame.select(utc_micros(frame.schema, names, "the view's rows"))
    from_at = times.select(pl.max_horizontal(names)).to_series().to_list()
    values = frame.select(columns).rows() if columns else [()] * frame.height
    keys = frame.select(entity).rows() if entity else [()] * frame.height
    parts = (times[TIME].to_list(), from_at, _created(frame).to_list(), values)
    found: dict[Entity, list[Event]] = defaultdict(list)
    for key, event_at, known_at, created_at, row in zip(keys, *parts, strict=True):
        found[key].append(Event(event_at, known_at, created_at, to_msgpack(row)))
    return found


def _with_events(
    view: FeatureView, old: Sequence[Stored], new: Sequence[Sequence[Event]], now: Micros
) -> Sequence[Stored]:
    """The union of what is kept and what is new, cut to the windows, and the tails that follow from it."""
    spec = view.spec
    oldest = now - max(spec.ttl_us, *(one.window_us for one in spec.aggregations))
    kept = [
        [event for event in _union(stored, events) if event.event_at >= oldest]
        for stored, events in zip(old, new, strict=True)
    ]
    tails = change_points(_frame_of(view, kept), spec, now, entity=[_NUMBER])
    return [
        Stored(pack_tail(tails.get((number,), [])), to_msgpack(events)) if events else Stored()
        for number, events in enumerate(kept)
    ]


def _union(stored: Stored, new: Sequence[Event]) -> list[Event]:
    """Events that are equal in times and values are one event as often as the side that has more of them says."""
    events = _decode_events(stored.events) if stored.events is not None else []
    there = Counter((event.event_at, event.created_at, event.values) for event in events)
    for event in new:
        name = (event.event_at, event.created_at, event.values)
        if there[name] > 0:
            there[name] -= 1
        else:
            events.append(event)
    return sorted(events, key=lambda event: (event.event_at, event.created_at))


def _frame_of(view: FeatureView, kept: Sequence[Sequence[Event]]) -> pl.DataFrame:
    events = [(number, event) for number, own in enumerate(kept) for event in own]
    values = [_decode_values(event.values) for _, event in events]
    columns = {
        name: pl.Series(name, [row[place] for row in values], strict=False)
        for place, name in enumerate(view.spec.inputs)
    }
    times = {
        TIME: [event.event_at for _, event in events],
        AVAILABLE_AT: [event.from_at for _, event in events],
        CREATED_AT: [event.created_at for _, event in events],
    }
    return pl.DataFrame(
        [
            pl.Series(_NUMBER, [number for number, _ in events], dtype=pl.Int64),
            *(
                pl.Series(name, found, dtype=pl.Int64).cast(pl.Datetime("us"))
                for name, found in times.items()
            ),
            *columns.values(),
        ]
    )
