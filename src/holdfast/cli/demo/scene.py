"""A scene: one of the demo's worlds with the model that lives in it, as a user's folder would hold them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.errors import NotFoundError
from holdfast.cli.demo.worlds.batch import Batch


class World(Protocol):
    """What the driver reads: requests in the order of time, each with the truth that comes later."""

    def batches(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Scene:
    """A world, its model, and the folder of the person who made the model.

    `entry` is the model file; `note` says in one sentence what the world is, `turn` what changes in it.
    """

    name: str
    model: str
    world: World
    start_at: Micros
    entry: Path
    days: int
    simulated: bool
    note: str
    turn: str


def prepare(name: str, data: Path | None, seed: int, folder: Path) -> Scene:
    """Writes the model file of a world and its first data into a folder, as a user would have them.

    Raises:
        NotFoundError: the data of the bikes is not there.
        InvalidError: it is not the table it should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _payments(seed, folder) if name == "payments" else _bikes(data, folder)


def _payments(seed: int, folder: Path) -> Scene:
    from holdfast.cli.demo.worlds.payments import START_AT, PaymentsWorld

    world = PaymentsWorld(seed=seed)
    world.initial_history().write_parquet(folder / "payments.parquet")
    return Scene(
        name="payments",
        model="payment-fraud",
        world=world,
        start_at=START_AT,
        entry=_model_file("payments_model.py", folder / "payments.py"),
        days=world.live_days,
        simulated=True,
        note=f"card payments, simulated (seed {seed}): {world.rows_per_day:,} a day, fraud known 1 to 4 days later",
        turn=f"on day {world.change_day} the typical amount moves from 50 to 150 and fraud changes its pattern",
    )


def _bikes(data: Path | None, folder: Path) -> Scene:
    from holdfast.cli.demo.worlds.bikes import END_AT, START_AT, BikesWorld

    world = BikesWorld(_hour_csv(data))
    history = world.initial_history()
    (folder / "bike_sharing").mkdir(exist_ok=True)
    history.write_csv(folder / "bike_sharing" / "hour.csv")
    # The model file finds its table through this variable, in this process alone.
    os.environ["HOLDFAST_DATA"] = str(folder)
    return Scene(
        name="bikes",
        model="bike-demand",
        world=world,
        start_at=START_AT,
        entry=_model_file("bikes_model.py", folder / "bikes.py"),
        days=(END_AT - START_AT) // DAY_US,
        simulated=False,
        note="hourly bike rentals in Washington DC, real data replayed: July 2011 to the end of 2012, counts 1 h later",
        turn="demand grows by two thirds over the two years, under strong seasons",
    )


def _hour_csv(data: Path | None) -> Path:
    if data is not None:
        return data
    known = os.environ.get("HOLDFAST_DATA")
    found = Path(known) / "bike_sharing" / "hour.csv" if known else None
    if found is None or not found.is_file():
        raise NotFoundError(
            "the bikes are real data, which holdfast does not bring along",
            hint="add --data hour.csv, the file of the UCI Bike Sharing data set",
        )
    return found


def _model_file(name: str, target: Path) -> Path:
    source = resources.files("holdfast.cli.demo.worlds").joinpath(name).read_text(encoding="utf-8")
    target.write_text(source, encoding="utf-8")
    return target
