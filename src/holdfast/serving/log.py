"""The prediction log: what was answered, what turned out to be true, and what was refused.

Readers see one log, wherever its rows are: closed and open segments of the spool, and segments shipped as
Parquet. They follow it by a cursor (segment → byte offset), which keeps its meaning when a segment is closed or
shipped and when the reader restarts. Rows are ordered by (at, shadow, segment, position in the segment).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from holdfast.base.clock import Micros
from holdfast.base.home import Home
from holdfast.serving.records import DeploymentKey, SegmentManifest

if TYPE_CHECKING:
    import polars as pl

    from holdfast.serving.log_reader import LogBatch, LogReader

__all__ = ["DeploymentKey", "PredictionLog"]


class PredictionLog:
    """Reads the prediction log of a home, and ships its closed segments to Parquet.

    Polars is loaded when the log is first read: a server that has nothing to watch never does.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> log = PredictionLog(Home(Path(tempfile.mkdtemp())))
        >>> log.read_since(DeploymentKey("default", "production", "bike-demand"), None).predictions.height
        0
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def read_since(self, key: DeploymentKey, cursor: Mapping[str, int] | None) -> LogBatch:
        """Rows that came after the cursor (None: all), and the cursor behind them."""
        return self._reader.read_since(key, cursor)

    def predictions(self, key: DeploymentKey) -> pl.DataFrame:
        """The whole log of predictions; of a repeated request the first answer counts."""
        return self._reader.read_since(key, None).predictions

    def labels(self, key: DeploymentKey) -> pl.DataFrame:
        """The label of each prediction: the one that became known last, of these the one that came last."""
        return self._reader.labels(key)

    def feed(self, key: DeploymentKey, after_at: Micros, until_at: Micros) -> pl.DataFrame:
        """Answered rows whose label became known in (after_at, until_at], as a table's new rows.

        Columns: the raw inputs, `_label` (f64), `_known_at`, `_at` (i64, µs) and `_row_id` (the prediction id).
        A label corrected within the interval counts with its last value; corrected later, it is fed again then.
        """
        return self._reader.feed(key, after_at, until_at)

    def ship(self, key: DeploymentKey) -> list[SegmentManifest]:
        """Turns closed segments into Parquet; safe to repeat, to interrupt and to run twice at once."""
        return self._reader.ship(key)

    @cached_property
    def _reader(self) -> LogReader:
        from holdfast.serving.log_reader import LogReader

        return LogReader(self._home)
