"""Keys of two frames that are to meet: brought to one type, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.features.errors import FeatureJoinError


def same_key_types(
    left: pl.DataFrame, right: pl.DataFrame, entity: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both frames with keys of one type; text is never taken for a number, for `007` is not 7.

    Raises:
        FeatureJoinError: a key is a number on one side and text on the other, or does not fit.
    """
    casts: dict[str, pl.DataType] = {}
    for name in entity:
        one, other = left.schema[name], right.schema[name]
        if one == other and not isinstance(one, pl.Categorical | pl.Enum):
            continue
        if one.is_integer() and other.is_integer():
            casts[name] = pl.Int64()
        elif all(isinstance(type_, pl.String | pl.Categorical | pl.Enum) for type_ in (one, other)):
            casts[name] = pl.String()
        elif isinstance(other, pl.Null) or isinstance(one, pl.Null):
            casts[name] = other if isinstance(one, pl.Null) else one
        else:
            raise FeatureJoinError(
                f"the key {name!r} is of type {one} in the rows and {other} in the view",
                hint=f'give both one type, e.g. pl.col("{name}").cast(pl.String)',
            )
    try:
        return left.cast(casts), right.cast(casts)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise FeatureJoinError(f"the keys of rows and view do not compare ({error})") from error
