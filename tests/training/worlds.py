"""A small table and declarations over it, as a user would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.training.records import TrainingTask

ROWS = 600
START_S = 1_704_067_200  # 2024-01-01 UTC

MODEL = """
import holdfast as hf
import polars as pl
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

sales = hf.Table("sales", source="sales.csv", time="at", label="sold", label_delay="1h", drop=["sold_twice"])


@hf.features(ttl="2d", table=sales)
def last_sold(sales):
    return sales.select(pl.col("time") + pl.duration(hours=1), pl.col("sold").alias("sold_before"))


@hf.model("demand", table=sales, features=[last_sold], task="regression", params={"alpha": 0.5}, seed=3,
          gates=[hf.at_most("mae", 60), hf.no_worse_than_production("mae"), hf.at_most("mae", 90, by="weather")])
def train(data: hf.TrainingSet, params: hf.Params):
    return make_pipeline(SimpleImputer(), Ridge(**params)).fit(data.X.to_numpy(), data.y)
"""


def write_sales(folder: Path, rows: int = ROWS, seed: int = 1, start: int = 0) -> pl.DataFrame:
    """Hourly sales that depend on hour, temperature and weather; saved as sales.csv."""
    generator = np.random.default_rng(seed)
    hour = np.arange(start, start + rows)
    weather = generator.choice(["clear", "rain"], size=rows)
    temperature = np.round(15 + 8 * np.sin(hour / 24 * 2 * np.pi) + generator.normal(0, 2, rows), 1)
    sold = np.round(200 + 6 * temperature - 40 * (weather == "rain") + generator.normal(0, 10, rows))
    frame = pl.DataFrame(
        {
            "at": pl.from_epoch(pl.Series(START_S + hour * 3600), time_unit="s").dt.strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            "temperature": temperature,
            "weather": weather,
            "holiday": generator.random(rows) < 0.1,
            "note": [f"note {number}" for number in hour],
            "sold": sold,
            "sold_twice": sold * 2,
        }
    )
    frame.write_csv(folder / "sales.csv")
    return frame


def end_at(rows: int = ROWS) -> int:
    """An instant by which every row's label is known."""
    return (START_S + (rows + 2) * 3600) * 1_000_000


def make_task(folder: Path, source: str = MODEL, **changes: Any) -> TrainingTask:
    """The task of a bundle with one declared model; the folder also has the blobs and `sales.csv`."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "model.py").write_text(source)
    module = bundle.load(folder / "code", "model.py")
    (train,) = bundle.declared(module, "__holdfast_model__").values()
    fields: dict[str, Any] = {
        "run_id": "a" * 32,
        "spec": train.__holdfast_model__.model,
        "bundle_folder": str(folder / "code"),
        "entry": "model.py",
        "blobs_folder": str(folder / "blobs"),
        "as_of_at": end_at(),
        "source": str(folder / "sales.csv"),
    }
    return TrainingTask(**fields | changes)


def blobs_of(task: TrainingTask) -> Blobs:
    return Blobs(Path(task.blobs_folder))
