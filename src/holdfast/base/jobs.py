"""Durable jobs on the ledger: work that a decision has asked for is done, once, whatever dies in between.

A job is submitted in the transaction of its decision. Each attempt carries a fencing token (the attempt number):
only the attempt that the ledger knows as the present one may write a result. Recovery ends the old child process
before another attempt starts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from holdfast.base import processes
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Actor, Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import ConflictError, HoldfastError, NotFoundError
from holdfast.base.garbage import digests_of
from holdfast.base.ledger import Ledger, Migration, Reader, Row, Transaction
from holdfast.base.operations import operation

logger = logging.getLogger(__name__)

JobState = Literal["queued", "running", "succeeded", "failed"]

MIGRATIONS = (
    Migration(
        "jobs",
        1,
        (
            "CREATE TABLE job (number {serial}, project TEXT NOT NULL, kind TEXT NOT NULL, exclusive TEXT NOT NULL,"
            " spec TEXT NOT NULL, actor TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,"
            " pid INTEGER, pid_mark TEXT, created_at {integer} NOT NULL, ended_at {integer}, result TEXT, error TEXT)",
            "CREATE UNIQUE INDEX job_exclusive ON job (project, kind, exclusive)"
            " WHERE state IN ('queued', 'running')",
        ),
    ),
)


class Job(msgspec.Struct, frozen=True):
    """A piece of work: `exclusive` names what no second open job of the kind may touch."""

    number: int
    project: str
    kind: str
    exclusive: str
    spec: dict[str, Any]
    actor: Actor
    state: JobState
    attempt: int
    created_at: Micros
    ended_at: Micros | None = None
    result: dict[str, Any] | None = None
    error: str | None = None

    @property
    def context(self) -> Context:
        """Who asked for the job, and in which project."""
        return Context(self.actor, self.project)


class GetJobRequest(msgspec.Struct, frozen=True):
    """Names a job."""

    number: int


Handler = Callable[[Job, Callable[[int], None]], dict[str, Any]]


def submit(
    transaction: Transaction, context: Context, kind: str, exclusive: str, spec: dict[str, Any], at: Micros
) -> int:
    """Queues a job and returns its number.

    Raises:
        ConflictError: an open job of the kind holds `exclusive` already.
    """
    under_way = find_open(transaction, context, kind, exclusive)
    if under_way is not None:
        raise ConflictError(
            f"{exclusive} already has a {kind} job under way (job {under_way})",
            hint="wait for it; `holdfast status` shows it",
        )
    return transaction.insert(
        "INSERT INTO job (project, kind, exclusive, spec, actor, state, attempt, created_at)"
        " VALUES (?, ?, ?, ?, ?, 'queued', 0, ?)",
        (context.project, kind, exclusive, to_json(spec), to_json(context.actor), at),
    )


def find_open(reader: Reader, context: Context, kind: str, exclusive: str) -> int | None:
    """The number of the open job of a kind that holds `exclusive`, or None."""
    row = reader.one(
        "SELECT number FROM job WHERE project = ? AND kind = ? AND exclusive = ?"
        " AND state IN ('queued', 'running')",
        (context.project, kind, exclusive),
    )
    return row["number"] if row else None


class JobService:
    """Runs queued jobs one after another with the handlers of their kinds."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._handlers: dict[str, Handler] = {}
        self._running = threading.Lock()

    def handle(self, kind: str, handler: Handler) -> None:
        """Registers the handler of a kind: `(job, tell_pid) -> result`; it may be called again after a crash."""
        self._handlers[kind] = handler

    @operation("GET", "/jobs/{number}", "One job with its state and result.")
    def get(self, context: Context, request: GetJobRequest) -> Job:
        with self._ledger.read() as reader:
            row = reader.one(
                "SELECT * FROM job WHERE project = ? AND number = ?", (context.project, request.number)
            )
        if row is None:
            raise NotFoundError(f"there is no job {request.number}", hint="`holdfast status` lists what runs")
        return _job(row)

    def open_jobs(self, context: Context | None = None) -> list[Job]:
        """What is queued or running, in the order of submission."""
        condition, parameters = ("AND project = ?", (context.project,)) if context else ("", ())
        with self._ledger.read() as reader:
            rows = reader.query(
                f"SELECT * FROM job WHERE state IN ('queued', 'running') {condition} ORDER BY number",
                parameters,
            )
        return [_job(row) for row in rows]

    def recover(self) -> int:
        """For a server that begins to lead: ends children that outlived their server, as far as they are on this
        machine, and queues their jobs again. An attempt that goes on elsewhere can no longer write."""
        with self._ledger.read() as reader:
            rows = reader.query("SELECT * FROM job WHERE state = 'running'")
        for row in rows:
            if row["pid"] is not None and row["pid_mark"] is not None:
                processes.kill_group(row["pid"], row["pid_mark"])
        self._ledger.write(
            lambda tx: tx.execute(
                "UPDATE job SET state = 'queued', pid = NULL, pid_mark = NULL WHERE state = 'running'"
            )
        )
        return len(rows)

    def run_next(self) -> bool:
        """Runs the oldest queued job to its end; False when there is none. One at a time."""
        with self._running:
            with self._ledger.read() as reader:
                if reader.one("SELECT number FROM job WHERE state = 'queued' LIMIT 1") is None:
                    return False
            job = self._ledger.write(_claim)
            if job is None:
                return False
            self._run(job)
            return True

    def _run(self, job: Job) -> None:
        try:
            result = self._handlers[job.kind](job, lambda pid: self._tell_pid(job, pid))
            self._finish(job, "succeeded", result, None)
        except HoldfastError as error:
            self._finish(job, "failed", None, str(error))
        except Exception as error:
            logger.exception("job %d (%s) failed", job.number, job.kind)
            self._finish(job, "failed", None, f"{type(error).__name__}: {error}")

    def _tell_pid(self, job: Job, pid: int) -> None:
        self._ledger.write(
            lambda tx: tx.execute(
                "UPDATE job SET pid = ?, pid_mark = ? WHERE number = ? AND attempt = ?",
                (pid, processes.start_mark(pid), job.number, job.attempt),
            )
        )

    def _finish(self, job: Job, state: JobState, result: dict[str, Any] | None, error: str | None) -> None:
        now = self._clock.now()
        self._ledger.write(
            lambda tx: tx.execute(
                "UPDATE job SET state = ?, result = ?, error = ?, ended_at = ?, pid = NULL, pid_mark = NULL"
                " WHERE number = ? AND attempt = ? AND state = 'running'",
                (state, to_json(result) if result is not None else None, error, now, job.number, job.attempt),
            )
        )


def _claim(transaction: Transaction) -> Job | None:
    row = transaction.one("SELECT * FROM job WHERE state = 'queued' ORDER BY number LIMIT 1")
    if row is None:
        return None
    transaction.execute(
        "UPDATE job SET state = 'running', attempt = attempt + 1 WHERE number = ?", (row["number"],)
    )
    claimed = transaction.one("SELECT * FROM job WHERE number = ?", (row["number"],))
    assert claimed is not None
    return _job(claimed)


def _job(row: Row) -> Job:
    return Job(
        number=row["number"],
        project=row["project"],
        kind=row["kind"],
        exclusive=row["exclusive"],
        spec=from_json(row["spec"], dict),
        actor=from_json(row["actor"], Actor),
        state=row["state"],
        attempt=row["attempt"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        result=from_json(row["result"], dict) if row["result"] else None,
        error=row["error"],
    )


def blobs_named(reader: Reader) -> Iterator[str]:
    """Every blob that a job that is not done refers to; a garbage collection leaves them alone."""
    return digests_of(reader.iterate("SELECT spec FROM job WHERE state IN ('queued', 'running')"))


def claims(reader: Reader, project: str) -> Iterator[tuple[str, str]]:
    """(name, spec) of each job that waits to be run; what its spec names, it needs."""
    for row in reader.iterate(
        "SELECT number, kind, spec FROM job WHERE project = ? AND state = 'queued'", (project,)
    ):
        yield f"job {row['number']} ({row['kind']})", row["spec"]
