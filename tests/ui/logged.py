"""Runs as MLflow clients and scripts log them: many of a search, one with a hundred metrics, and hostile ones."""

from __future__ import annotations

import math
import struct
import zlib
from random import Random

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.context import Actor, Context
from holdfast.registry.catalog.records import EntryDraft
from holdfast.tracking.records import DatasetUsed, LoggedPoint, ModelLink, RunInput
from tests.ui.world import World

KIM = Context(Actor("kim"))
SEARCH = "demand forecast / hyperparameter search"
HOSTILE = "<script>alert('experiment')</script>"
SCRIPT = "<script>alert(1)</script>"
_SECOND_US = 1_000_000
_OPTIMIZERS = ("adam", "sgd", "adamw", "lion")


def log_search(world: World, count: int = 200, epochs: int = 40, seed: int = 17) -> list[str]:
    """The runs of a hyperparameter search; the ids, the first started first. Every 23rd diverges into NaN."""
    experiments = world.experiments
    experiment = experiments.create(KIM, SEARCH)
    draws = Random(seed)
    begin = world.clock.now() - count * 600 * _SECOND_US
    return [_trial(world, experiment, draws, number, begin, epochs) for number in range(count)]


def _trial(world: World, experiment: str, draws: Random, number: int, begin: int, epochs: int) -> str:
    runs = world.services.logged_runs
    rate = 10 ** draws.uniform(-4, -1)
    depth = draws.choice([4, 6, 8])
    at = begin + number * 600 * _SECOND_US
    long = "-with-a-name-that-somebody-made-from-every-setting-of-the-run" if number % 50 == 7 else ""
    run = runs.create(
        KIM,
        experiment,
        name=f"trial-{number:03d}{long}",
        user="kim",
        started_at=at,
        tags=[("mlflow.source.name", "train.py"), ("team", draws.choice(["rides", "parking"]))],
    )
    parameters = [
        ("learning_rate", f"{rate:.5g}"),
        ("optimizer", draws.choice(_OPTIMIZERS)),
        ("depth", str(depth)),
        ("dropout", f"{draws.choice([0, 0.1, 0.3])}"),
        ("batch_size", "256"),
        ("epochs", str(epochs)),
    ]
    points: list[LoggedPoint] = []
    floor = 0.2 + abs(math.log10(rate) + 2.5) * 0.12 + depth * 0.004
    for epoch in range(epochs):
        loss = floor + 1.6 * math.exp(-epoch * (0.05 + rate)) + draws.gauss(0, 0.01)
        diverged = number % 23 == 11 and epoch > epochs // 2
        moment = at + epoch * 5 * _SECOND_US
        values = {
            "loss": math.nan if diverged else loss,
            "val_loss": math.inf if diverged else loss * 1.08 + draws.gauss(0, 0.015),
            "accuracy": max(0.0, 1 - loss / 2.2),
            "lr": rate * 0.96**epoch,
        }
        points += [LoggedPoint(key, value, moment, epoch) for key, value in values.items()]
    runs.log_batch(KIM, run.run_id, points[:1000], parameters)
    status = "running" if number % 97 == 96 else "failed" if number % 23 == 11 else "finished"
    if status != "running":
        runs.update(KIM, run.run_id, status=status, ended_at=at + epochs * 5 * _SECOND_US)
    return run.run_id


def log_many_metrics(world: World, metrics: int = 100) -> str:
    """One finished run with many metrics, system metrics, nested runs, artifacts, a note, data and a model."""
    runs, services = world.services.logged_runs, world.services
    experiment = world.experiments.create(KIM, "everything")
    at = world.clock.now() - 3 * HOUR_US
    run = runs.create(
        KIM, experiment, name="resnet50-imagenet", user="kim", started_at=at,
        tags=[
            ("mlflow.note.content", "Second try with warm-up.\n\nLoss spikes at step 12 are from the data loader."),
            ("mlflow.source.git.commit", "9f31c07be2a84d5590bd3ce1a1f0e6cc01d2aa97"),
            ("mlflow.source.name", "train.py"),
            ("summary", "long " * 80),
        ],
    )  # fmt: skip
    draws = Random(3)
    for block in range(metrics):
        key = f"layer{block:02d}/grad norm" if block % 2 else f"layer{block:02d}/weight_norm"
        level = 10 ** draws.uniform(-4, 3)
        points = [
            LoggedPoint(key, level * (1 + draws.gauss(0, 0.05)) * 0.98**step, at + step * _SECOND_US, step)
            for step in range(30)
        ]
        runs.log_batch(KIM, run.run_id, points)
    for name in (
        "cpu_utilization_percentage",
        "system_memory_usage_megabytes",
        "gpu_0_utilization_percentage",
    ):
        points = [
            LoggedPoint(f"system/{name}", 50 + 30 * math.sin(step / 5), at + step * _SECOND_US, step)
            for step in range(60)
        ]
        runs.log_batch(KIM, run.run_id, points)
    runs.log_batch(KIM, run.run_id, [LoggedPoint("test_accuracy", 0.914, at + HOUR_US, 0)])
    runs.log_batch(KIM, run.run_id, (), [(f"param_{place:02d}", f"value {place}") for place in range(30)])
    dataset = DatasetUsed("imagenet", "a1b2c3d4", "s3", '{"uri": "s3://bucket/imagenet"}')
    model = services.logged_models.create(KIM, experiment, name="resnet", source_run_id=run.run_id)
    services.logged_models.finish(KIM, model.model_id, "ready")
    put(world, f"{experiment}/models/{model.model_id}/artifacts/MLmodel", _FILES["model/MLmodel"])
    put(world, f"{experiment}/models/{model.model_id}/artifacts/example/input.png", png(20, 10))
    runs.log_inputs(KIM, run.run_id, [RunInput(dataset, {"mlflow.data.context": "training"})])
    runs.log_outputs(KIM, run.run_id, [ModelLink(model.model_id)])
    for place in range(3):
        child = runs.create(
            KIM, experiment, name=f"fold-{place}", user="kim", started_at=at + place * HOUR_US,
            tags=[("mlflow.parentRunId", run.run_id)],
        )  # fmt: skip
        runs.log_batch(KIM, child.run_id, [LoggedPoint("fold_loss", 0.3 + place / 10, at, 1)])
        runs.update(KIM, child.run_id, status="finished", ended_at=at + (place + 1) * HOUR_US)
    for path, content in _FILES.items():
        put(world, f"{experiment}/{run.run_id}/artifacts/{path}", content)
    runs.update(KIM, run.run_id, status="finished", ended_at=at + 2 * HOUR_US)
    return run.run_id


def log_hostile(world: World) -> str:
    """A run whose every word tries to be markup."""
    runs = world.services.logged_runs
    experiment = world.experiments.create(KIM, HOSTILE)
    at = world.clock.now() - DAY_US
    run = runs.create(
        KIM, experiment, name=f"run {SCRIPT}", user=f"kim{SCRIPT}", started_at=at,
        tags=[("mlflow.note.content", f"note {SCRIPT}"), ("evil", f"tag {SCRIPT}")],
    )  # fmt: skip
    parameters = [("evil", f"'\"><img src=x onerror=alert(1)>{SCRIPT}"), ("quote", "a\"b'c")]
    points = [LoggedPoint("loss", 0.5 + step, at + step, step) for step in range(5)]
    runs.log_batch(KIM, run.run_id, points, parameters)
    root = f"{experiment}/{run.run_id}/artifacts"
    put(world, f"{root}/page.html", f"<html>{SCRIPT}</html>".encode())
    put(world, f"{root}/drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    put(world, f"{root}/picture.png", f"<html>{SCRIPT}</html>".encode())
    put(world, f"{root}/{SCRIPT.replace('/', ' ')}.txt", SCRIPT.encode())
    return run.run_id


def register_outside(world: World, name: str, run_id: str, stored_as: str = "") -> int:
    """A version from outside, registered from a run's model of scikit-learn; its number.

    Without `stored_as` the model is what the run logged under `model`, whatever it is.
    """
    path = "model"
    if stored_as:
        path = f"model-{stored_as}"
        root = world.services.logged_runs.get(KIM, run_id).artifact_root.removeprefix("mlflow-artifacts:/")
        for file, content in sklearn_model(stored_as).items():
            put(world, f"{root}/{path}/{file}", content)
    draft = EntryDraft(name, f"runs:/{run_id}/{path}", run_id, tags={"team": "rides"})
    return world.services.versions.register(KIM, draft).version


def sklearn_model(stored_as: str) -> dict[str, bytes]:
    """The files of a linear model as MLflow's scikit-learn flavor writes them."""
    import pickle

    import numpy as np
    import skops.io
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    data = skops.io.dumps(model) if stored_as == "skops" else pickle.dumps(model)
    described = (
        "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n  sklearn:\n"
        f"    pickled_model: model.bin\n    serialization_format: {stored_as}\n    sklearn_version: 1.9.0\n"
        "run_id: 0\n"
    )
    return {"MLmodel": described.encode(), "model.bin": data}


def put(world: World, path: str, content: bytes) -> None:
    """An artifact, as an upload leaves it."""
    with world.services.artifacts.receive() as incoming:
        incoming.write(content)
        world.services.artifacts.keep(KIM, path, incoming)


def png(width: int = 240, height: int = 120) -> bytes:
    """A picture: a gradient."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x % 256, y * 2 % 256, 120))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


_FILES = {
    "report.txt": b"epoch,loss\n1,0.5\n2,0.25\n",
    "config/settings.json": b'{"optimizer":{"name":"adam","lr":0.001},"layers":[64,32]}',
    "plots/confusion_matrix.png": png(),
    "model/weights.bin": bytes(range(256)) * 40,
    "model/MLmodel": b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n",
}
