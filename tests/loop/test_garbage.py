"""What was deleted goes, what anything alive was made from stays: random histories against a brute-force oracle."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.base import audit, garbage, jobs
from holdfast.base.blobs import Blobs
from holdfast.base.clock import DAY_US, SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import ConflictError, InvalidError, NotFoundError
from holdfast.base.home import Home
from holdfast.base.jobs import Job
from holdfast.base.ledger import Ledger, SqliteLedger
from holdfast.loop.garbage import GarbageReport, GarbageRequest
from holdfast.registry.catalog.records import EntryDraft
from holdfast.server import backup
from holdfast.server.compose import MIGRATIONS, compose
from holdfast.tracking.records import LoggedPoint, ModelLink
from holdfast.tracking.run_records import RunRequest
from tests.postgresql import LedgerFactory

ANN = Context(Actor("ann"))
START_AT = 400 * DAY_US
_HEX = re.compile(r"[0-9a-f]{32}")
_HISTORY_TABLES = {"audit_entry", "event", "webhook_delivery", "lineage_edge"}


class World:
    """The services of a home, a simulated clock, and short words for what people do."""

    def __init__(self, home: Home, ledger: Ledger, start_at: int = START_AT) -> None:
        self.home, self.ledger = home, ledger
        home.prepare()
        self.blobs = Blobs(home.blobs)
        self.clock = SimulatedClock(start_at)
        self.services = compose(home, ledger, self.clock, settle=lambda: True, wake=lambda: None)
        logging = self.services.logging
        self.runs, self.models, self.artifacts = logging.runs, logging.models, logging.artifacts
        self.experiments = logging.experiments

    def wait(self, days: float) -> None:
        self.clock.advance(self.clock.now() + int(days * DAY_US))

    def run(self, experiment: str = "0") -> str:
        run_id = self.runs.create(ANN, experiment).run_id
        at = self.clock.now()
        self.runs.log_batch(ANN, run_id, [LoggedPoint("m", 1.0, at)], [("p", "1")], [("t", "x")])
        return run_id

    def keep(self, path: str, text: bytes) -> str:
        with self.artifacts.receive() as incoming:
            incoming.write(text)
            return self.artifacts.keep(ANN, path, incoming).digest

    def artifact(self, run_id: str, text: bytes, path: str = "model/weights") -> str:
        root = self.runs.get(ANN, run_id).artifact_root.removeprefix("mlflow-artifacts:/")
        return self.keep(f"{root}/{path}", text)

    def model(self, run_id: str, text: bytes) -> str:
        made = self.models.create(ANN, "0", source_run_id=run_id)
        self.runs.log_outputs(ANN, run_id, [ModelLink(made.model_id)])
        self.keep(f"{made.artifact_location.removeprefix('mlflow-artifacts:/')}/model.skops", text)
        return made.model_id

    def version(self, source: str, run_id: str = "", logged_model: str = "") -> int:
        try:
            self.services.models.get(ANN, "shop")
        except NotFoundError:
            self.services.models.create(ANN, "shop", "", {})
        draft = EntryDraft("shop", source, run_id, logged_model=logged_model)
        return self.services.versions.register(ANN, draft).version

    def grow_old(self) -> None:
        """Every blob was last put two hours ago."""
        for digest, status in self.blobs.listed():
            at = status.st_mtime - 7200
            os.utime(self.blobs.path(digest), (at, at))

    def collect(self, older_than: str = "30d") -> GarbageReport:
        job = self.services.garbage.collect(ANN, GarbageRequest(older_than))
        waiting = [item for item in self.table("job") if item["kind"] != "gc" and item["state"] == "queued"]
        if waiting:
            # Jobs that wait in a test stay so: the collection is done without its turn.
            report = self.services.garbage.run(job, lambda pid: None)
            self.ledger.write(
                lambda tx: tx.execute("UPDATE job SET state = 'succeeded' WHERE number = ?", (job.number,))
            )
            return msgspec.convert(report, GarbageReport)
        assert self.services.jobs.run_next()
        done = self.services.jobs.get(ANN, jobs.GetJobRequest(job.number))
        assert done.state == "succeeded", done.error
        return msgspec.convert(done.result, GarbageReport)

    def table(self, name: str) -> list[dict[str, Any]]:
        with self.ledger.read() as reader:
            return [dict(row) for row in reader.query(f"SELECT * FROM {name}")]

    def run_ids(self) -> set[str]:
        return {row["run_id"] for row in self.table("run")}

    def digests_on_disk(self) -> set[str]:
        return {digest for digest, _ in self.blobs.listed()}

    def check_readable(self) -> None:
        """Every artifact that the ledger shows has its bytes."""
        for row in self.table("artifact"):
            assert self.blobs.verify(row["digest"]), row

    def digests_anywhere(self) -> set[str]:
        """Digests in any text of any table that is not history, by brute force."""
        with self.ledger.read() as reader:
            if reader.dialect == "sqlite":
                rows = reader.query("SELECT name FROM sqlite_master WHERE type = 'table'")
            else:
                rows = reader.query(
                    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()"
                )
            names = {row["name"] for row in rows} - _HISTORY_TABLES
        found: set[str] = set()
        for name in names:
            for row in self.table(name):
                if name == "job" and row["state"] not in ("queued", "running"):
                    continue
                if name == "model_version" and row["deleted_at"] is not None:
                    continue
                for value in row.values():
                    found.update(garbage.digests_in(value) if isinstance(value, str) else ())
        return found


@pytest.fixture
def world(ledger_factory: LedgerFactory, tmp_path: Path) -> World:
    return World(Home(tmp_path), ledger_factory(MIGRATIONS))


def must_stay(world: World, older_than_days: float) -> tuple[set[str], set[str]]:
    """The runs and logged models that must stay, found the slow way from the tables."""
    before = world.clock.now() - int(older_than_days * DAY_US)
    runs = {row["run_id"]: row for row in world.table("run")}
    by_number = {row["number"]: row["run_id"] for row in runs.values()}
    models = {row["model_id"]: row for row in world.table("logged_model")}
    experiments = {row["number"]: row for row in world.table("experiment")}
    texts = [
        " ".join(str(row[name]) for name in ("run_id", "source", "logged_model"))
        for row in world.table("model_version")
        if row["deleted_at"] is None
    ]
    texts += [row["spec"] for row in world.table("job") if row["state"] == "queued"]
    texts += world.artifacts.uploads_under_way("default")
    ids = {found for text in texts for found in _HEX.findall(text)}
    wrote = {(models[m]["source_run_id"], m) for m in models}
    read: set[tuple[str, str]] = set()
    for row in world.table("run_model"):
        pair = (by_number[row["run_number"]], row["model_id"])
        (wrote if row["direction"] == "output" else read).add(pair)

    def deleted(run: dict[str, Any]) -> bool:
        return run["lifecycle"] == "deleted" and run["deleted_at"] <= before

    kept_runs = {run_id for run_id, run in runs.items() if not deleted(run) or run_id in ids}
    kept_models = {
        m for m in models if m[2:] in ids or any(run in ids for run, written in wrote if written == m)
    }
    for m, row in models.items():
        gone = row["lifecycle"] == "deleted" and row["updated_at"] <= before
        experiment = experiments[row["experiment_number"]]
        gone |= experiment["lifecycle"] == "deleted" and experiment["updated_at"] <= before
        if not gone and (row["source_run_id"] in kept_runs or row["source_run_id"] not in runs):
            kept_models.add(m)
    while True:
        more_models = {m for run, m in read if run in kept_runs and m in models} - kept_models
        more_runs = {run for run, m in wrote if m in kept_models and run in runs} - kept_runs
        if not more_models and not more_runs:
            return kept_runs, kept_models
        kept_models |= more_models
        kept_runs |= more_runs
        # A run that stays keeps the models that were not deleted themselves.
        for m, row in models.items():
            living = experiments[row["experiment_number"]]["lifecycle"] == row["lifecycle"] == "active"
            if living and row["source_run_id"] in kept_runs:
                kept_models.add(m)


class History:
    """Random things that people do, one after another."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng = world, random.Random(seed)
        self.all_experiments = ["0"]

    def text(self) -> bytes:
        """One of few contents, so that runs share blobs."""
        return f"content {self.rng.randrange(12)}".encode()

    def some_run(self, *, active: bool = False) -> str | None:
        rows = [row for row in self.world.table("run") if not active or row["lifecycle"] == "active"]
        return self.rng.choice(rows)["run_id"] if rows else None

    def some_model(self) -> str | None:
        rows = self.world.table("logged_model")
        return self.rng.choice(rows)["model_id"] if rows else None

    def step(self) -> None:
        choices = (
            [self.new_run] * 4 + [self.new_artifact] * 4 + [self.new_model] * 3 + [self.delete_run] * 6
            + [self.restore_run, self.register, self.register, self.drop_version, self.read_model, self.orphan]
            + [self.delete_experiment, self.new_experiment, self.upload, self.queue, self.delete_model]
            + [self.time_passes] * 5
        )  # fmt: skip
        self.rng.choice(choices)()

    def new_run(self) -> None:
        active = [
            str(row["experiment_id"])
            for row in self.world.table("experiment")
            if row["lifecycle"] == "active"
        ]
        self.world.run(self.rng.choice(sorted(active) or ["0"]))

    def new_artifact(self) -> None:
        run = self.some_run()
        if run:
            self.world.artifact(run, self.text(), self.rng.choice(["a", "b/c", "b/d/e"]))

    def new_model(self) -> None:
        run = self.some_run(active=True)
        if run:
            self.world.model(run, self.text())

    def delete_run(self) -> None:
        run = self.some_run()
        if run:
            self.world.services.runs.delete(ANN, RunRequest(run))

    def restore_run(self) -> None:
        run = self.some_run()
        if run:
            self.world.services.runs.restore(ANN, RunRequest(run))

    def delete_model(self) -> None:
        model = self.some_model()
        if model:
            self.world.models.delete(ANN, model)

    def read_model(self) -> None:
        run, model = self.some_run(active=True), self.some_model()
        if run and model:
            self.world.runs.log_inputs(ANN, run, [], [ModelLink(model)])

    def register(self) -> None:
        run, model = self.some_run(), self.some_model()
        if model and self.rng.random() < 0.5:
            self.world.version(f"models:/{model}", logged_model=model)
        elif run:
            self.world.version(f"runs:/{run}/b", run_id=run if self.rng.random() < 0.5 else "")

    def drop_version(self) -> None:
        rows = [row for row in self.world.table("model_version") if row["deleted_at"] is None]
        if rows:
            self.world.services.versions.delete(ANN, "shop", self.rng.choice(rows)["version"])

    def new_experiment(self) -> None:
        self.all_experiments.append(
            self.world.experiments.create(ANN, f"experiment {len(self.all_experiments)}")
        )

    def delete_experiment(self) -> None:
        rows = [
            row
            for row in self.world.table("experiment")
            if row["experiment_id"] and row["lifecycle"] == "active"
        ]
        if rows:
            self.world.experiments.delete(ANN, str(self.rng.choice(rows)["experiment_id"]))

    def orphan(self) -> None:
        self.world.blobs.put(f"nobody's {self.rng.randrange(4)}".encode())

    def upload(self) -> None:
        run = self.some_run()
        if run:
            self.world.artifacts.begin_upload(ANN, f"0/{run}/artifacts/{self.rng.randrange(10**6)}", 2)

    def queue(self) -> None:
        """A job that nobody runs in this test names a run, and a blob."""
        run = self.some_run()
        if run and self.rng.random() < 0.3:
            digest = self.world.blobs.put(f"job {self.rng.randrange(3)}".encode())
            spec = {"run_id": run, "bundle": digest}
            at = self.world.clock.now()
            self.world.ledger.write(lambda tx: jobs.submit(tx, ANN, "idle", f"{run} {at}", spec, at))

    def time_passes(self) -> None:
        self.world.wait(self.rng.choice([1, 5, 20]))
        if self.rng.random() < 0.7:
            self.world.grow_old()


@pytest.mark.parametrize("seed", range(4))
def test_after_any_history_what_is_reachable_stays_and_the_rest_goes(world: World, seed: int) -> None:
    history = History(world, seed)
    freed_runs = freed_blobs = kept = 0
    for _ in range(3):
        for _ in range(60):
            history.step()
        days = history.rng.choice([0, 10, 30])
        staying, models = must_stay(world, days)
        young = {digest for digest, status in world.blobs.listed() if status.st_mtime > _now(world) - 3600}
        before = world.digests_on_disk()
        foreseen = world.services.garbage.preview(ANN, GarbageRequest(f"{days}d"))
        report = world.collect(f"{days}d")
        assert world.run_ids() == staying
        assert {row["model_id"] for row in world.table("logged_model")} == models
        assert world.digests_on_disk() == before & (world.digests_anywhere() | young)
        world.check_readable()
        for name in (
            "runs",
            "logged_models",
            "experiments",
            "artifacts",
            "blobs",
            "bytes_freed",
            "kept_count",
        ):
            assert getattr(report, name) == getattr(foreseen, name), name
        _check_nothing_dangles(world)
        freed_runs, freed_blobs, kept = (
            freed_runs + report.runs,
            freed_blobs + report.blobs,
            kept + report.kept_count,
        )
    assert freed_runs and freed_blobs and kept, "the history had something of everything"
    with world.ledger.read() as reader:
        assert audit.verify(reader).intact


def _now(world: World) -> float:
    return garbage.now_on_disk(world.blobs.root)


def _check_nothing_dangles(world: World) -> None:
    """No row speaks of a run, model or experiment that is no more."""
    numbers = {row["number"] for row in world.table("run")}
    for name in (
        "latest",
        "metric_tail",
        "metric_block",
        "run_parameter",
        "run_tag",
        "run_input",
        "run_model",
    ):
        assert {row["run_number"] for row in world.table(name)} <= numbers, name
    experiments = {row["number"] for row in world.table("experiment")}
    for name in ("run", "logged_model", "dataset_used"):
        assert {row["experiment_number"] for row in world.table(name)} <= experiments, name
    alive = {f"tracking/run/{run_id}" for run_id in world.run_ids()}
    alive |= {f"tracking/model/{row['model_id']}" for row in world.table("logged_model")}
    for edge in world.table("lineage_edge"):
        for end in (edge["source"], edge["target"]):
            assert end in alive or not end.startswith("tracking/"), edge
    folders = {(row["parent"], row["name"]) for row in world.table("artifact_folder")}
    for row in world.table("artifact"):
        folder = row["folder"]
        while folder:
            parent, _, name = folder.rpartition("/")
            assert (parent, name) in folders, row
            folder = parent


def test_a_run_that_made_a_version_stays_with_the_reason_and_goes_with_the_version(world: World) -> None:
    run = world.run()
    digest = world.artifact(run, b"weights")
    version = world.version(f"runs:/{run}/model", run_id=run)
    other = world.run()
    world.artifact(other, b"other weights")
    for run_id in (run, other):
        world.services.runs.delete(ANN, RunRequest(run_id))
    world.grow_old()
    world.wait(31)
    report = world.collect()
    assert (report.runs, report.artifacts, report.blobs, report.bytes_freed) == (1, 1, 1, 13)
    assert [(item.urn, item.because) for item in report.kept] == [
        (f"tracking/run/{run}", f"registry/shop@{version} needs it")
    ]
    assert world.blobs.read(digest) == b"weights"
    world.services.versions.delete(ANN, "shop", version)
    assert (world.collect().runs, world.blobs.exists(digest)) == (1, False)
    with pytest.raises(NotFoundError):
        world.services.runs.restore(ANN, RunRequest(run))
    entries = {(row["action"], row["subject"]) for row in world.table("audit_entry")}
    assert ("tracking.collect", f"tracking/run/{other}") in entries
    assert ("garbage.collect", "blobs") in entries


def test_a_model_that_a_living_run_read_keeps_the_run_that_wrote_it(world: World) -> None:
    writer = world.run()
    model = world.model(writer, b"base model")
    reader = world.run()
    world.runs.log_inputs(ANN, reader, [], [ModelLink(model)])
    world.services.runs.delete(ANN, RunRequest(writer))
    world.wait(31)
    report = world.collect()
    assert {item.urn: item.because for item in report.kept} == {
        f"tracking/model/{model}": f"tracking/run/{reader} was made of it",
        f"tracking/run/{writer}": f"tracking/model/{model} was made of it",
    }
    world.services.runs.delete(ANN, RunRequest(reader))
    world.wait(31)
    assert (world.collect().runs, world.run_ids()) == (2, set())


def test_a_version_that_names_a_run_keeps_the_model_that_the_run_wrote(world: World) -> None:
    run = world.run()
    model = world.model(run, b"the model")
    version = world.version(f"runs:/{run}/model", run_id=run)
    world.models.delete(ANN, model)
    world.grow_old()
    world.wait(31)
    report = world.collect()
    assert (report.logged_models, report.blobs) == (0, 0)
    assert [(item.urn, item.because) for item in report.kept] == [
        (f"tracking/model/{model}", f"registry/shop@{version} needs it")
    ]
    world.services.versions.delete(ANN, "shop", version)
    report = world.collect()
    assert (report.runs, report.logged_models, report.blobs) == (0, 1, 1)


def test_what_was_deleted_lately_stays_and_can_be_restored(world: World) -> None:
    run = world.run()
    world.services.runs.delete(ANN, RunRequest(run))
    world.wait(29)
    assert world.collect().runs == 0
    world.services.runs.restore(ANN, RunRequest(run))
    world.wait(31)
    assert (world.collect("0d").runs, world.run_ids()) == (0, {run})
    for bad in ("soon", "", "-1d"):
        with pytest.raises(InvalidError, match="not a duration"):
            world.services.garbage.preview(ANN, GarbageRequest(bad))


def test_the_id_of_an_experiment_is_never_given_again(world: World) -> None:
    first = world.experiments.create(ANN, "first")
    world.run(first)
    world.experiments.delete(ANN, first)
    report = world.collect("0d")
    assert (report.runs, report.experiments) == (1, 1)
    with pytest.raises(NotFoundError):
        world.experiments.get(ANN, first)
    # The name is free, the id is not.
    assert int(world.experiments.create(ANN, "first")) == int(first) + 1


def test_a_collection_waits_for_nothing_but_refuses_beside_a_backup(
    world: World, ledger_factory: LedgerFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("holdfast.loop.garbage._WAIT_FOR_BACKUP_S", 0.1)
    monkeypatch.setattr(backup, "_WAIT_FOR_GARBAGE_S", 0.1)
    run = world.run()
    world.services.runs.delete(ANN, RunRequest(run))
    with garbage.hold(world.home.blobs, alone=False, within_s=1, refused=""):
        job = world.services.garbage.collect(ANN, GarbageRequest("0d"))
        with pytest.raises(ConflictError, match="already has a gc job under way"):
            world.services.garbage.collect(ANN, GarbageRequest("0d"))
        world.services.jobs.run_next()
        done = world.services.jobs.get(ANN, jobs.GetJobRequest(job.number))
        assert done.state == "failed"
        assert "a backup of this home is being taken" in str(done.error)
        assert world.run_ids() == {run}
    assert world.collect("0d").runs == 1
    location = ledger_factory.location
    with (
        garbage.hold(world.home.blobs, alone=True, within_s=1, refused=""),
        pytest.raises(ConflictError, match="garbage of this home is being collected"),
    ):
        backup.back_up(world.home, location, tmp_path / "copy", world.clock)
    assert backup.back_up(world.home, location, tmp_path / "copy", world.clock).blobs == 0


def test_a_run_restored_in_the_middle_of_a_collection_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [world.run() for _ in range(3)]
    digests = [world.artifact(run, run.encode()) for run in runs]
    for run in runs:
        world.services.runs.delete(ANN, RunRequest(run))
    world.grow_old()
    world.wait(1)
    collector = world.services.garbage._runs
    found = collector.find

    def find(*arguments: Any) -> Any:
        answer = found(*arguments)
        # Between the look and the removal, one comes back and one is registered.
        monkeypatch.setattr(collector, "find", found)
        world.services.runs.restore(ANN, RunRequest(runs[0]))
        world.version(f"runs:/{runs[1]}/model")
        return answer

    monkeypatch.setattr(collector, "find", find)
    report = world.collect("0d")
    assert (report.runs, world.run_ids()) == (1, set(runs[:2]))
    assert [item.urn for item in report.kept] == [f"tracking/run/{runs[1]}"]
    assert [world.blobs.exists(digest) for digest in digests] == [True, True, False]


# Runs a collection in a process of its own that kills itself before the n-th thing it does to disk or ledger.
_DYING = """
import os, signal, sys
from pathlib import Path
from holdfast.base.context import Actor, Context
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.loop.garbage import GarbageRequest
from holdfast.server.compose import MIGRATIONS
from tests.loop.test_garbage import ANN, World

world = World(Home(Path(sys.argv[1])), SqliteLedger(Path(sys.argv[1]) / "ledger.db", MIGRATIONS), int(sys.argv[3]))
left = int(sys.argv[2])

def dying(original):
    def step(*arguments, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return original(*arguments, **options)
    return step

for name in ("rename", "unlink"):
    setattr(Path, name, dying(getattr(Path, name)))
world.services.garbage.collect(ANN, GarbageRequest("0d"))
write = world.ledger.write
world.ledger.write = dying(write)
world.services.jobs.run_next()
print("finished", left)
"""


def _deleted_home(folder: Path) -> World:
    """Sixty runs to be collected, ten that stay, some blobs of nobody."""
    home = Home(folder)
    home.prepare()
    world = World(home, SqliteLedger(home.ledger, MIGRATIONS))
    for number in range(70):
        run = world.run()
        world.artifact(run, f"weights {number % 40}".encode())
        if number < 60:
            world.services.runs.delete(ANN, RunRequest(run))
    world.blobs.put(b"nobody's")
    world.grow_old()
    return world


@pytest.mark.parametrize("seed", range(4))
def test_a_collection_killed_at_any_instant_loses_nothing_and_is_finished_later(
    tmp_path: Path, seed: int
) -> None:
    world = _deleted_home(tmp_path / "home")
    staying, _ = must_stay(world, 0)
    world.ledger.close()
    # Writes of batches and looks at the lead, then two steps a blob.
    instant = random.Random(seed).randrange(60)
    done = subprocess.run(
        [sys.executable, "-c", _DYING, str(world.home.root), str(instant), str(world.clock.now())],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    again = World(world.home, SqliteLedger(world.home.ledger, MIGRATIONS), world.clock.now())
    again.services.garbage.mend()
    again.check_readable()
    _check_nothing_dangles(again)
    again.services.jobs.recover()
    assert again.services.jobs.run_next(), "the job is done again"
    assert again.run_ids() == staying
    assert again.digests_on_disk() == again.digests_anywhere()
    again.check_readable()
    again.ledger.close()


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Home]:
    """A home in which a model was trained and deployed by the command line."""
    from tests.cli.test_commands import MODEL, end, rows
    from tests.server.conftest import holdfast

    (tmp_path / "shop.py").write_text(MODEL)
    rows().write_csv(tmp_path / "sales.csv")
    home = Home(tmp_path / "home")
    assert holdfast(home, "train", str(tmp_path / "shop.py")).returncode == 0
    assert holdfast(home, "deploy", "shop").returncode == 0
    end(home)
    while home.server():
        pass
    yield home


@pytest.mark.slow
def test_nothing_that_a_trained_and_deployed_model_came_from_goes(trained: Home) -> None:
    world = World(trained, SqliteLedger(trained.ledger, MIGRATIONS), 2**52)
    runs = world.run_ids()
    for run in runs:
        world.services.runs.delete(ANN, RunRequest(run))
    kept = world.digests_anywhere() & world.digests_on_disk()
    assert len(kept) > 5
    world.grow_old()
    world.wait(31)
    report = world.collect()
    assert (report.runs, report.kept_count, world.run_ids()) == (0, 1, runs)
    assert [item.because for item in report.kept] == ["registry/shop@1 needs it"]
    assert world.digests_on_disk() == kept
    world.ledger.close()


def test_every_job_kind_is_run_again_after_a_crash(world: World) -> None:
    """The handler takes its job as it was queued; a second attempt finds less to do and succeeds as well."""
    run = world.run()
    world.services.runs.delete(ANN, RunRequest(run))
    job = Job(1, "default", "gc", "blobs", {"before_at": world.clock.now()}, ANN.actor, "running", 1, 0)
    assert world.services.garbage.run(job, lambda pid: None)["runs"] == 1
    assert world.services.garbage.run(job, lambda pid: None)["runs"] == 0
