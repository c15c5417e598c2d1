"""Labels given by entity and time: which predictions they mean.

Such a label carries the id `e_<event time in µs>_<JSON list of the key's values>`, which can be made from the
inputs of a prediction as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.base.clock import Micros
from holdfast.base.encoding import to_json
from holdfast.serving.records import SchemaFrame

if TYPE_CHECKING:
    import polars as pl


def entity_id(time_at: Micros, key_values: Sequence[Any]) -> str:
    """The id of a label by entity and time.

    Example:
        >>> entity_id(1_000_000, ["store-7", 3])
        'e_1000000_["store-7",3]'
    """
    return f"e_{time_at}_{to_json(list(key_values))}"


class EntityIndex:
    """Prediction ids by entity and time, grown as the log grows. `cursor` says how far."""

    def __init__(self) -> None:
        self.cursor: dict[str, int] = {}
        self._ids: dict[str, list[str]] = {}

    def add(self, predictions: pl.DataFrame, schemas: Mapping[int, SchemaFrame]) -> None:
        """Takes in new predictions; those of shadows carry the same ids and are left out."""
        import polars as pl

        for version, schema in schemas.items():
            rows = predictions.filter((pl.col("version") == version) & ~pl.col("shadow"))
            columns = (
                [rows.get_column(f"input.{name}").to_list() for name in schema.key] if rows.height else []
            )
            for position, (prediction_id, time_at) in enumerate(
                rows.select("prediction_id", "_time").iter_rows()
            ):
                entity = entity_id(time_at, [column[position] for column in columns])
                ids = self._ids.setdefault(entity, [])
                if prediction_id not in ids:
                    ids.append(prediction_id)

    def resolve(self, labels: pl.DataFrame) -> pl.DataFrame:
        """One label for each prediction that a label means; a label that means none is left out."""
        import polars as pl

        ids = [self._ids.get(entity, []) for entity in labels.get_column("prediction_id").to_list()]
        resolved = labels.with_columns(pl.Series("prediction_id", ids, dtype=pl.List(pl.String)))
        return resolved.explode("prediction_id").drop_nulls("prediction_id")
