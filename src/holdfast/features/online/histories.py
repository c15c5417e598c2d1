"""The recent labelled rows of each entity, as frames that feature functions can be run on.

Building a frame from some hundred stored rows costs more than evaluating most views on it. So the last frames are
kept in memory and grown by what this process appends; a stamp in the store, counted up by every append of every
process, tells when a kept frame is no longer all there is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import polars as pl

from holdfast.base.clock import Micros
from holdfast.data.contract import conform_frame
from holdfast.data.records import FieldContract
from holdfast.data.source import ROW_ID, TIME
from holdfast.data.values import POLARS_TYPES
from holdfast.features.online.packing import digest_key
from holdfast.features.online.store import OnlineTransaction

_KEPT_FRAMES = 64

_Added = list[tuple[Micros, bytes, dict[str, Any]]]


class Histories:
    """The histories of one table in one process; call `forget` when a transaction was undone."""

    def __init__(self, table: str, fields: Sequence[FieldContract]) -> None:
        self._table = table
        self._fields = fields
        self._kept: OrderedDict[bytes, tuple[int, pl.DataFrame]] = OrderedDict()
        self._added: dict[bytes, _Added] = {}

    def append(
        self,
        transaction: OnlineTransaction,
        group: bytes,
        time: Micros,
        row_id: bytes,
        row: dict[str, Any],
        *,
        replace: bool,
    ) -> bool:
        """Adds a row; with `replace` in place of one with the same time and id. Whether it was not there before."""
        new = transaction.append(group, time, row_id, row, replace=False)
        if not new and not replace:
            return False
        transaction.set_mark(group, transaction.mark(group) + 1)
        if new:
            self._added.setdefault(group, []).append((time, row_id, row))
        else:
            transaction.append(group, time, row_id, row, replace=True)
        return new

    def frame(self, transaction: OnlineTransaction, group: bytes, from_at: Micros) -> pl.DataFrame:
        """The rows of one history from a time on, in the order of time and id; earlier rows are dropped for good."""
        transaction.trim(group, from_at)
        stamp = transaction.mark(group)
        added = self._added.pop(group, [])
        kept_stamp, kept = self._kept.pop(group, (-1, None))
        if kept is not None and kept_stamp == stamp - len(added):
            frame = self._grown(kept, added) if added else kept
            frame = frame.slice(int(frame[TIME].to_physical().search_sorted(from_at, "left")))
        else:
            frame = self._frame(transaction.history(group, from_at))
        self._kept[group] = (stamp, frame)
        if len(self._kept) > _KEPT_FRAMES:
            self._kept.popitem(last=False)
        return frame

    def group(self, grouping: Sequence[str], entity: Sequence[Any]) -> bytes:
        """The prefix under which the history of an entity is stored."""
        return digest_key("group", self._table, grouping, entity)

    def settle(self) -> None:
        """Ends a transaction that was committed."""
        self._added.clear()

    def forget(self) -> None:
        """Ends a transaction that was undone: what is kept in memory may hold its rows."""
        self._added.clear()
        self._kept.clear()

    def _grown(self, kept: pl.DataFrame, added: _Added) -> pl.DataFrame:
        """The kept rows and the added ones in order; mostly the added ones are simply the newest."""
        new = self._frame(added)
        both = pl.concat([kept, new], rechunk=True)
        later = len(added) == 1 and kept.height and new[TIME][0] > kept[TIME][-1]
        return both if later else both.sort(TIME, ROW_ID)

    def _frame(self, rows: _Added) -> pl.DataFrame:
        frame = frame_of([row for _, _, row in rows], self._fields)
        return frame.with_columns(
            pl.Series(TIME, [time for time, _, _ in rows], dtype=pl.Int64).cast(pl.Datetime("us")),
            pl.Series(ROW_ID, [row_id for _, row_id, _ in rows], dtype=pl.Binary),
        )


def frame_of(rows: Sequence[dict[str, Any]], fields: Sequence[FieldContract]) -> pl.DataFrame:
    """Decoded rows as a frame of the contract's types; times are ISO 8601 strings in the rows."""
    frame = pl.DataFrame(
        [
            pl.Series(
                field.name,
                [row.get(field.name) for row in rows],
                dtype=pl.String() if field.type == "datetime" else POLARS_TYPES[field.type],
            )
            for field in fields
        ]
    )
    times = [field for field in fields if field.type == "datetime"]
    return conform_frame(frame, times).select(frame.columns) if times else frame
