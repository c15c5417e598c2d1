"""The real world of the demo: every hour of bike rentals in Washington DC from July 2011 to the end of 2012.

January to June 2011 is what the first model is trained on; after that the driver asks for each hour's demand when
the hour begins and tells the true count one hour later. Demand grows by two thirds over the two years, so a model
that is never retrained decays. Hours in which nothing was recorded are missing from the data, and stay missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.base.clock import HOUR_US, Micros, parse_time
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.cli.demo.worlds.batch import Batch

if TYPE_CHECKING:
    import polars as pl

START_AT: Micros = parse_time("2011-07-01T00:00:00Z")
"""The instant at which the first model goes live; the initial history ends here."""

END_AT: Micros = parse_time("2013-01-01T00:00:00Z")
"""The instant at which the recording ends."""

LABEL = "cnt"
NOT_ASKED = ("instant", "casual", "registered", LABEL)
"""Columns that no request carries: a row number, the label, and the two counts that add up to it."""

HINT = "point --data at hour.csv of the UCI Bike Sharing data set"


@dataclass(frozen=True)
class BikesWorld:
    """Hourly rides read from `hour.csv` of the UCI Bike Sharing data set.

    >>> world = BikesWorld(Path("hour.csv"))        # doctest: +SKIP
    >>> world.initial_history().height              # doctest: +SKIP
    4250
    """

    path: Path

    def initial_history(self) -> pl.DataFrame:
        """The rows before July 2011 with all columns of the file, as the user's first `hour.csv` would have them."""
        rides = self._rides()
        return rides.filter(rides["_at"] < START_AT).drop("_at")

    def batches(self) -> Iterator[Batch]:
        """One batch of one row for each recorded hour from July 2011 on; its label is known an hour later."""
        rides = self._rides()
        live = rides.filter(rides["_at"] >= START_AT)
        times: list[int] = live["_at"].to_list()
        labels: list[int] = live[LABEL].to_list()
        rows = live.drop("_at", *NOT_ASKED).iter_rows(named=True)
        for at, row, label in zip(times, rows, labels, strict=True):
            yield Batch(at, [row], [label], [HOUR_US])

    def _rides(self) -> pl.DataFrame:
        """All rows in the order of time, with `_at`, the start of the hour in microseconds since the epoch.

        Raises:
            NotFoundError: there is no such file.
            InvalidError: the file is not the hourly table of the Bike Sharing data set.
        """
        import polars as pl

        if not self.path.is_file():
            raise NotFoundError(f"there is no file {self.path}", hint=HINT)
        start = pl.col("dteday").str.to_datetime("%m/%d/%Y", time_unit="us") + pl.duration(hours="hr")
        try:
            rides = pl.read_csv(self.path)
            absent = [name for name in ("dteday", "hr", *NOT_ASKED) if name not in rides.columns]
            if absent:
                raise InvalidError(f"{self.path} has no column {absent[0]}", hint=HINT)
            return rides.with_columns(start.dt.epoch("us").alias("_at")).sort("_at")
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidError(f"{self.path} cannot be read as hourly rides: {reason}", hint=HINT) from error
