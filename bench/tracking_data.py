"""What `bench.tracking` reads back: many runs to search, and one long curve, logged before a server starts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from holdfast.base.clock import SystemClock
from holdfast.base.context import local_context
from holdfast.base.ledger import Ledger, Transaction
from holdfast.base.ledger.opening import open_ledger
from holdfast.server.compose import MIGRATIONS
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.records import LoggedPoint, Run
from holdfast.tracking.service import ExperimentService, RunService
from holdfast.tracking.store import experiments as experiment_store
from holdfast.tracking.store import metrics as metric_store
from holdfast.tracking.store import runs as run_store

AT_MS = 1_700_000_000_000
NAMES = 10
_BATCH = 1000
_IN_FLIGHT = 512
_CONTEXT = local_context()


class Filler:
    """Logs through the services of a ledger that no server has open."""

    def __init__(self, ledger: Ledger) -> None:
        clock = SystemClock()
        self._ledger = ledger
        self._experiments = ExperimentService(ledger, clock)
        self._ids = Random(os.urandom(16))
        self._runs = RunService(ledger, clock, self._experiments, self._ids)

    def runs(self, count: int) -> str:
        """An experiment of so many runs, each with ten metrics and ten parameters; returns its id."""
        experiment = self._experiments.create(_CONTEXT, f"of {count} runs")
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            self._ledger.write(partial(self._add_runs, experiment, numbers))
        return experiment

    def _add_runs(self, experiment: str, numbers: range, transaction: Transaction) -> None:
        """Many runs in one change, as the services would write each of them."""
        found = experiment_store.find(transaction, _CONTEXT.project, int(experiment))
        assert found is not None
        for number in numbers:
            metrics, parameters = row(number)
            run = Run(
                run_id=new_run_id(self._ids),
                experiment="",
                name=f"run-{number}",
                status="running",
                started_at=_at(number),
                created_by="bench",
                parameters=dict(parameters),
                tags={"mlflow.runName": f"run-{number}"},
            )
            root = f"{found.artifact_location}/{run.run_id}/artifacts"
            key = run_store.insert(transaction, _CONTEXT.project, run, found.number, root)
            points = [(name, 0, _at(number), value) for name, value in metrics]
            metric_store.append(transaction, key, found.number, points)

    def curve(self, points: int) -> str:
        """A run with one metric of so many noisy points, a thousand a call; returns its id."""
        noise = Random(2)
        run_id = self._runs.create(_CONTEXT, "0", name="long").run_id
        logged = (
            self._runs.submit_batch(
                _CONTEXT,
                run_id,
                [
                    LoggedPoint("loss", noise.random(), _at(step), step)
                    for step in range(first, first + _BATCH)
                ],
            )
            for first in range(0, points, _BATCH)
        )
        for _ in _ahead(logged):
            pass
        self._runs.update(_CONTEXT, run_id, status="finished")
        return run_id


@contextlib.contextmanager
def filling(location: str, file: Path) -> Iterator[Filler]:
    """Opens the ledger for filling, and closes it."""
    ledger = open_ledger(location, file, MIGRATIONS)
    try:
        yield Filler(ledger)
    finally:
        ledger.close()


def row(number: int) -> tuple[list[tuple[str, float]], list[tuple[str, str]]]:
    """Metrics and parameters of a run: the same for every server that is compared."""
    drawn = Random(number)
    metrics = [(f"m{name}", drawn.random()) for name in range(NAMES)]
    parameters = [(f"p{name}", f"value {drawn.randrange(10 ** (name + 1))}") for name in range(NAMES)]
    return metrics, parameters


def size_bytes(location: str, file: Path) -> int:
    """What a closed ledger takes: the file and its log, or the relations of its schema once they are vacuumed."""
    if not location:
        return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
    import psycopg

    url, _, schema = location.partition("?schema=")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")  # autovacuum does so every now and then; it would not by now
        found = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
            (schema,),
        ).fetchone()
    return int(found[0]) if found else 0


def fill_mlflow(file: Path, count: int) -> None:
    """The same runs in the database of an MLflow server, by SQL, because its own doors take minutes."""
    connection = sqlite3.connect(file)
    with contextlib.closing(connection), connection:
        for number in range(count):
            _fill_run(connection, number)


def _fill_run(connection: sqlite3.Connection, number: int) -> None:
    run_id, at = f"{number:032x}", AT_MS + number
    metrics, parameters = row(number)
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
        " start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'RUNNING', ?, '', 'active', ?, 0)",
        (run_id, f"run-{number}", at, f"mlflow-artifacts:/0/{run_id}/artifacts"),
    )
    _many(
        connection,
        "metrics (key, value, timestamp, run_uuid, step, is_nan)",
        [(key, value, at, run_id, 0, 0) for key, value in metrics],
    )
    _many(
        connection,
        "latest_metrics (key, value, timestamp, step, is_nan, run_uuid)",
        [(key, value, at, 0, 0, run_id) for key, value in metrics],
    )
    _many(connection, "params (key, value, run_uuid)", [(*pair, run_id) for pair in parameters])
    _many(connection, "tags (key, value, run_uuid)", [("mlflow.runName", f"run-{number}", run_id)])


def _many(connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[object]]) -> None:
    connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _at(number: int) -> int:
    return (AT_MS + number) * 1000


def _ahead(futures: Iterator[Future[Any]]) -> Iterator[Future[Any]]:
    """The futures in their order, with many queued at once, so that they share commits."""
    waiting: deque[Future[Any]] = deque()
    for future in futures:
        waiting.append(future)
        if len(waiting) > _IN_FLIGHT:
            yield _done(waiting.popleft())
    for future in waiting:
        yield _done(future)


def _done(future: Future[Any]) -> Future[Any]:
    future.result()
    return future


def postgresql() -> str:
    """The database of HOLDFAST_TEST_POSTGRESQL, or of this machine; empty where none answers."""
    address = os.environ.get("HOLDFAST_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
    with contextlib.suppress(Exception):
        import psycopg

        psycopg.connect(address, connect_timeout=2).close()
        return address
    return ""


def analyse(location: str) -> None:
    """Lets PostgreSQL see what is in its tables, as autovacuum does within a minute of such a load: until then it
    plans every search as if the tables were empty."""
    if location:
        import psycopg

        with psycopg.connect(location.partition("?")[0], autocommit=True) as connection:
            connection.execute("ANALYZE")


@contextlib.contextmanager
def schema(address: str) -> Iterator[str]:
    """The address of a ledger that does not exist yet, and is gone afterwards."""
    import psycopg

    name = f"bench_{os.getpid()}"
    try:
        yield f"{address}?schema={name}"
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
