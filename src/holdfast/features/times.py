"""Time columns in one form: microseconds in UTC, whatever unit and zone they come in."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.features.errors import FeatureJoinError

CREATED_AT = "_created_at"


def utc_micros(schema: pl.Schema, names: Sequence[str], what: str) -> list[pl.Expr]:
    """Expressions for time columns as whole microseconds since the epoch in UTC (Int64), under their own names.

    A time with a zone is converted, one without is in UTC. Columns of one frame must all have a zone or all have
    none, because a naive time beside one with a zone is most often a local time that somebody forgot to convert.

    Args:
        what: how the frame is called in an error, such as `the rows`.

    Raises:
        FeatureJoinError: a column is no time, or some have a zone and others none.

    Example:
        >>> schema = pl.Schema({"time": pl.Datetime("ms", "Europe/Berlin")})
        >>> frame = pl.DataFrame({"time": [3_600_000]}, schema=schema)
        >>> frame.select(utc_micros(schema, ["time"], "the rows")).item()
        3600000000
    """
    found = []
    zones: dict[str, str | None] = {}
    for name in names:
        type_ = schema[name]
        if isinstance(type_, pl.Date):
            found.append(pl.col(name).cast(pl.Datetime("us")).to_physical())
            continue
        if not isinstance(type_, pl.Datetime):
            raise FeatureJoinError(
                f"the column {name!r} of {what} is of type {type_}, not a time",
                hint='parse it first, e.g. pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z")',
            )
        zones[name] = type_.time_zone
        found.append(pl.col(name).dt.epoch("us"))
    _refuse_mixed(zones, what)
    return [expression.alias(name) for expression, name in zip(found, names, strict=True)]


def _refuse_mixed(zones: dict[str, str | None], what: str) -> None:
    zoned = next((name for name, zone in zones.items() if zone is not None), None)
    naive = next((name for name, zone in zones.items() if zone is None), None)
    if zoned is None or naive is None:
        return
    raise FeatureJoinError(
        f"{what} mix times with and without a zone: {zoned!r} is in {zones[zoned]}, {naive!r} has no zone",
        hint=f'give both a zone, e.g. pl.col("{naive}").dt.replace_time_zone("{zones[zoned]}")',
    )
