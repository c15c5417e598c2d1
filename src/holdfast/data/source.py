"""Reading a table's source, and giving every row its event time.

Nothing is repaired silently: a value that cannot be read is an error that shows the value and its row.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from holdfast.base.clock import parse_time
from holdfast.base.errors import InvalidError
from holdfast.data.errors import SourceError, TableError

TIME = "time"
AVAILABLE_AT = "_available_at"
ROW_ID = "_row_id"

_PANDAS_INDEX = "__index_level_0__"
_NULL_TEXTS = ["", "NA"]
_ISO_START = r"^\d{4}-\d{2}-\d{2}"
_NAIVE_UTC = pl.Datetime("us")


def read_source(path: str) -> pl.LazyFrame:
    """The rows of a `.csv` or `.parquet` file, lazily, with plain column types.

    In CSV an empty cell and `NA` are null, and the type of a column is inferred from all of its rows. In Parquet
    the index that pandas leaves behind (`__index_level_0__`) is dropped and categoricals become strings. Times
    with a zone become the same instants in UTC, without the zone; dates become their midnight. Integers and
    floats stay what they are.

    Raises:
        SourceError: the file is missing, unreadable, empty, or neither CSV nor Parquet.

    Example:
        >>> read_source("hour.csv").collect_schema().names()[:2]  # doctest: +SKIP
        ['instant', 'dteday']
    """
    file = Path(path)
    _check_file(file)
    try:
        frame = _scan(file)
        schema = frame.collect_schema()
        empty = frame.head(1).collect().is_empty()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from error
    if empty:
        raise SourceError(f"{path} has no rows", hint="name a file with a header line and at least one row")
    if _PANDAS_INDEX in schema:
        frame = frame.drop(_PANDAS_INDEX)
    return frame.with_columns(_plain(name, type_) for name, type_ in schema.items() if _is_dressed(type_))


def scan_cells(path: str) -> pl.LazyFrame:
    """The cells of a CSV file as strings, lazily, so that each can be judged by itself; empty and `NA` are null.

    Raises:
        SourceError: as `read_source`.
    """
    _check_file(Path(path))
    try:
        frame = pl.scan_csv(path, infer_schema=False, null_values=_NULL_TEXTS, glob=False)
        if frame.head(1).collect().is_empty():
            raise SourceError(
                f"{path} has no rows", hint="name a file with a header line and at least one row"
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, error) from error
    return frame


def with_time(frame: pl.LazyFrame, time: str | pl.Expr) -> pl.LazyFrame:
    """Adds the column `time`: the event time of every row as `Datetime("us")` in UTC, without a zone.

    `time` is a column (a datetime, a date, or strings in ISO 8601, which are UTC unless they carry an offset) or
    a polars expression over the table's columns that yields such values. The times are computed once here to
    check them, so that a wrong one is found now and not in the middle of a training.

    Raises:
        TableError: a column is missing, or a time is null or cannot be computed; shows the value and its row.

    Example:
        >>> rows = pl.LazyFrame({"day": ["2011-01-01"], "hr": [7]})
        >>> expression = pl.col("day").str.to_datetime("%Y-%m-%d") + pl.duration(hours="hr")
        >>> with_time(rows, expression).collect()["time"].to_list()
        [datetime.datetime(2011, 1, 1, 7, 0)]
    """
    schema = frame.collect_schema()
    expression = _time_expression(time, schema)
    inputs = frame.select(_roots(expression)).collect()
    _check_times(inputs, expression)
    return frame.with_columns(expression)


def compile_time(time: str | pl.Expr, schema: pl.Schema) -> Callable[[pl.DataFrame], pl.Series]:
    """`with_time` for many small batches of one schema: a function from a batch to its checked event times.

    Raises:
        TableError: as `with_time`; the returned function too.
    """
    expression = _time_expression(time, schema)
    return lambda batch: _check_times(batch, expression)


def find_bad_times(frame: pl.DataFrame, time: str | pl.Expr) -> list[int]:
    """The positions of rows whose event time is null or cannot be computed, by halving until they stand alone."""
    expression = _time_expression(time, frame.schema)
    bad: list[int] = []
    waiting = [(0, frame.height)]
    while waiting:
        start, length = waiting.pop()
        times = _evaluate(frame.slice(start, length), expression) if length else None
        if times is not None and times.null_count() == 0:
            continue
        if length > 1:
            half = length // 2
            waiting += [(start, half), (start + half, length - half)]
        elif length == 1:
            bad.append(start)
    return sorted(bad)


def parse_iso(texts: pl.Series) -> pl.Series:
    """ISO 8601 strings as `Datetime("us")` in UTC without zone; what is not ISO 8601 becomes null.

    Polars guesses one format for a whole column and takes `01/02/2011` too, whose day and month nobody can tell
    apart; so only what begins like ISO 8601 is handed to it, and what its one format missed is parsed singly.
    """
    candidates = texts.set(~texts.str.contains(_ISO_START).fill_null(False), None)
    if candidates.null_count() == len(candidates):
        return pl.Series(texts.name, [None] * len(texts), dtype=_NAIVE_UTC)
    try:
        times = candidates.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    except pl.exceptions.PolarsError:
        times = pl.Series(texts.name, [None] * len(texts), dtype=pl.Datetime("us", "UTC"))
    times = times.dt.replace_time_zone(None)
    missed = (times.is_null() & candidates.is_not_null()).arg_true()
    if len(missed):
        singly = [_parse_singly(text) for text in candidates.gather(missed)]
        times = times.scatter(missed, pl.Series(singly, dtype=pl.Int64).cast(_NAIVE_UTC))
    return times.alias(texts.name)


def _parse_singly(text: str) -> int | None:
    try:
        return parse_time(text)
    except InvalidError:
        return None


def _check_file(file: Path) -> None:
    if not file.exists():
        raise SourceError(f"{file} does not exist", hint="name an existing file")
    if not file.is_file():
        raise SourceError(f"{file} is not a file", hint="name one .csv or .parquet file")
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise SourceError(
            f"{file} is neither CSV nor Parquet", hint="name a file that ends in .csv or .parquet"
        )
    try:
        size = file.stat().st_size
        file.open("rb").close()
    except OSError as error:
        raise unreadable(str(file), error) from error
    if size == 0:
        raise SourceError(f"{file} is empty", hint="name a file with a header line and at least one row")


def _scan(file: Path) -> pl.LazyFrame:
    if file.suffix.lower() == ".parquet":
        return pl.scan_parquet(file, glob=False)
    return pl.scan_csv(file, infer_schema_length=None, null_values=_NULL_TEXTS, glob=False)


def unreadable(path: str, error: Exception) -> SourceError:
    """The error for a file that is there but cannot be read as what its name says."""
    if isinstance(error, PermissionError):
        return SourceError(f"{path} cannot be read (permission denied)", hint="check its permissions")
    reason = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    return SourceError(
        f"{path} cannot be read ({reason[0] if reason else type(error).__name__})",
        hint="check that it is a whole CSV file in UTF-8 or a whole Parquet file",
    )


def _is_dressed(type_: pl.DataType) -> bool:
    return isinstance(type_, pl.Categorical | pl.Enum | pl.Datetime | pl.Date | pl.Null)


def _plain(name: str, type_: pl.DataType) -> pl.Expr:
    if isinstance(type_, pl.Datetime | pl.Date):
        return _naive_utc(pl.col(name), type_)
    return pl.col(name).cast(pl.String)


def _naive_utc(expression: pl.Expr, type_: pl.DataType) -> pl.Expr:
    if isinstance(type_, pl.Datetime) and type_.time_zone is not None:
        expression = expression.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return expression.cast(_NAIVE_UTC)


def _time_expression(time: str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    """The declared time as an expression that yields `time` in UTC, checked against the table's columns."""
    roots = [time] if isinstance(time, str) else time.meta.root_names()
    for root in roots:
        if root not in schema:
            raise TableError(
                f"the table has no column {root!r}, which its time is made of",
                hint=f"its columns are: {', '.join(schema.names()) or 'none'}",
            )
    names_it = isinstance(time, str) and time == TIME
    if TIME in schema and not names_it:
        raise TableError(
            "the table has a column 'time' of its own beside its declared event time",
            hint="rename that column, or declare time='time' where it is the event time",
        )
    raw = pl.col(time) if isinstance(time, str) else time
    type_ = _type_of(raw, schema)
    if isinstance(type_, pl.Datetime | pl.Date):
        return _naive_utc(raw, type_).alias(TIME)
    if type_ == pl.String:
        return raw.map_batches(parse_iso, return_dtype=_NAIVE_UTC).alias(TIME)
    raise TableError(
        f"the declared time is of type {type_}, which is not a time",
        hint="write an expression that makes one, e.g. pl.from_epoch('seconds_column')",
    )


def _type_of(expression: pl.Expr, schema: pl.Schema) -> pl.DataType:
    try:
        resolved = pl.LazyFrame(schema=schema).select(expression.alias(TIME)).collect_schema()
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise TableError(
            f"the declared time cannot be computed ({reason})", hint="correct the table's time expression"
        ) from error
    return resolved[TIME]


def _roots(expression: pl.Expr) -> list[str]:
    return list(dict.fromkeys(expression.meta.root_names()))


def _evaluate(inputs: pl.DataFrame, expression: pl.Expr) -> pl.Series | None:
    try:
        return inputs.select(expression).to_series()
    except (pl.exceptions.PolarsError, InvalidError):
        return None


def _check_times(inputs: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    times = _evaluate(inputs, expression)
    if times is not None and times.null_count() == 0:
        return times
    row = _first_bad_row(inputs, expression, times)
    values = ", ".join(f"{name} = {inputs[name][row]!r}" for name in _roots(expression))
    raise TableError(
        f"the time of row {row + 1} is missing or cannot be computed from {values}",
        hint="correct the row, or the table's time (strings must be ISO 8601 such as 2012-01-01T07:00:00Z)",
    )


def _first_bad_row(inputs: pl.DataFrame, expression: pl.Expr, times: pl.Series | None) -> int:
    """The first row without a time: read off where the times exist, else by bisecting on prefixes that fail."""
    if times is not None:
        return int(times.is_null().arg_true()[0])
    good, bad = 0, inputs.height
    while bad - good > 1:
        middle = (good + bad) // 2
        prefix = _evaluate(inputs.slice(good, middle - good), expression)
        if prefix is None or prefix.null_count():
            bad = middle
        else:
            good = middle
    return good
