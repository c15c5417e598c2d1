"""`hf.Table`: an append-only feed of rows with a time, usually a label, and perhaps a key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from holdfast.base.encoding import to_msgpack
from holdfast.base.errors import DeclarationError
from holdfast.data.records import TableSpec
from holdfast.sdk import checks

if TYPE_CHECKING:
    import polars as pl


class Table:
    """A table that models are trained on; it grows by what serving logs, joined with labels as they arrive.

    Args:
        name: the table's name, unique in its project.
        source: a CSV or Parquet file with the initial rows; relative to the declaring file. None for a table
            that is only fed.
        time: the column, or a polars expression, that says when a row happened.
        label: the column to predict. Rows with a null label are kept out of training.
        label_delay: how long after its time a row's label becomes known, e.g. `"1h"`. Nothing is ever trained
            on, or computed from, a label before it was known.
        key: the column(s) that name the entity; none for a single series.
        available: the column, or a polars expression, that says when a row became known, where that is later than
            its time. Feature functions see it as `available_at`.
        created: the same for when it was written, which decides between rows of one time: `created_at`.
        drop: columns that must not reach the model, such as parts of the label.
        contract: a YAML file with the contract of its rows, as `holdfast contract infer` writes it, relative to the
            declaring file. Without one the contract is inferred from the rows.

    Raises:
        DeclarationError: at once, where the declaration is written.

    Example:
        >>> rides = Table("rides", source="hour.csv", time="at", label="cnt", label_delay="1h")
        >>> rides.spec.label_delay_us
        3600000000
    """

    def __init__(
        self,
        name: str,
        *,
        source: str | Path | None = None,
        time: str | pl.Expr,
        label: str | None = None,
        label_delay: str | timedelta = "0s",
        key: str | Sequence[str] | None = None,
        drop: str | Sequence[str] | None = None,
        available: str | pl.Expr | None = None,
        created: str | pl.Expr | None = None,
        contract: str | Path | None = None,
    ) -> None:
        text, is_expression, roots = _describe_time(time)
        self.time = time
        self.available = available
        self.created = created
        self.spec = TableSpec(
            name=checks.name(name, "table"),
            source=str(source) if source is not None else None,
            time=text,
            time_is_expression=is_expression,
            time_roots=roots,
            key=checks.names(key, "key"),
            label=label,
            label_delay_us=checks.span(label_delay, "label_delay"),
            drop=checks.names(drop, "drop"),
            available=_describe_time(available, "available")[0] if available is not None else "",
            created=_describe_time(created, "created")[0] if created is not None else "",
            contract_file=str(contract) if contract is not None else None,
        )
        self.__holdfast_table__ = self.spec
        self._refuse_overlaps()

    def __repr__(self) -> str:
        return f"Table({self.spec.name!r})"

    @property
    def digest(self) -> str:
        """Stands for the declaration in the definition of a feature view; the folder of a file does not count."""
        source = self.spec.source
        if source is not None and "://" not in source:
            source = Path(source).name
        return blake3(to_msgpack(msgspec.structs.replace(self.spec, source=source))).hexdigest()

    def _refuse_overlaps(self) -> None:
        spec = self.spec
        taken = {"label": (spec.label,) if spec.label else (), "key": spec.key}
        for argument, columns in taken.items():
            for column in columns:
                if column in spec.drop:
                    raise DeclarationError(
                        f"{spec.name}: column {column!r} is the {argument} and dropped at once",
                        hint=f"take it out of drop or out of {argument}",
                    )
        if spec.label is not None and spec.label in (*spec.key, *spec.time_roots):
            raise DeclarationError(
                f"{spec.name}: the label {spec.label!r} cannot be the key or the time as well"
            )


def _describe_time(time: str | pl.Expr, argument: str = "time") -> tuple[str, bool, tuple[str, ...]]:
    if isinstance(time, str):
        if not time:
            raise DeclarationError(f"{argument}: an empty name is not a column")
        return time, False, (time,)
    roots = getattr(getattr(time, "meta", None), "root_names", None)
    if roots is None:
        raise DeclarationError(
            f"{argument}: {time!r} is neither a column name nor a polars expression",
            hint='write time="at" or time=pl.col("day").str.to_datetime("%Y-%m-%d")',
        )
    return str(time), True, tuple(dict.fromkeys(roots()))
