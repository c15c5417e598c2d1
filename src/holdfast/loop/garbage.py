"""`holdfast runs gc`: deletes for good what was deleted long ago, then the blobs that nothing refers to any more.

A collection is a job: it waits for a training that is under way and none begins beside it, so no blob of an unfinished
training is taken; it runs on the server that leads; and after a crash it is done again, which costs what was left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from holdfast.base import audit, garbage, jobs
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock, Micros, duration
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.garbage import References
from holdfast.base.jobs import Job, JobService
from holdfast.base.ledger import Ledger
from holdfast.base.operations import operation
from holdfast.tracking.garbage import Kept
from holdfast.tracking.service.garbage import RunCollector
from holdfast.tracking.store import garbage as tracking_store

COLLECT = "gc"
# What is written and not yet referred to is younger than this, whatever writes it.
GRACE_S = 3600.0
_HALF_WRITTEN_S = 24 * 3600.0
_KEPT_SHOWN = 200
_WAIT_FOR_BACKUP_S = 30.0
_BACKUP = (
    "a backup of this home is being taken, a dataset is being added, or blobs are being collected already"
)


class GarbageRequest(msgspec.Struct, frozen=True):
    """`older_than` is how long ago something must have been deleted to go for good, e.g. `30d`, `12h` or `0d`."""

    older_than: str = "30d"


class GarbageReport(msgspec.Struct, frozen=True):
    """What a collection freed, or would free.

    Attributes:
        before_at: what was deleted before this time went.
        blobs: files whose bytes nothing referred to; `bytes_freed` is their size.
        blobs_young: further ones that nothing refers to, too young to be told from what is being written.
        kept: runs and logged models that were deleted and stay, the first 200 of `kept_count`.
    """

    dry_run: bool
    before_at: Micros
    runs: int
    logged_models: int
    experiments: int
    artifacts: int
    blobs: int
    bytes_freed: int
    blobs_young: int
    kept_count: int
    kept: tuple[Kept, ...]


class GarbageService:
    """Collects the garbage of one home.

    Args:
        named: what refers to blobs besides tracking, one source a domain.
        grace_s: how young a blob may be and stay without anything that refers to it, in seconds.
    """

    def __init__(
        self, ledger: Ledger, blobs: Blobs, clock: Clock, job_service: JobService, runs: RunCollector,
        named: Sequence[References], wake: Callable[[], None], grace_s: float = GRACE_S,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._jobs = job_service
        self._runs = runs
        self._named = tuple(named)
        self._wake = wake
        self._grace_s = grace_s

    @operation("GET", "/runs/garbage", "Show what a garbage collection would free, without doing it.")
    def preview(self, context: Context, request: GarbageRequest) -> GarbageReport:
        """What `collect` would free now.

        Raises:
            InvalidError: `older_than` is not a duration.
        """
        before = self._before(request)
        with self._ledger.read() as reader:
            dead = self._runs.find(reader, context, before)
            folders = self._runs.folders(reader, context, dead)
            artifacts = tracking_store.count_artifacts(
                reader, context.project, [folder for _, folder in folders]
            )
        numbers = {run.number for run in dead.runs}
        remaining = partial(tracking_store.blobs_named, without_runs=numbers, without_folders=folders)
        found = garbage.unreferenced(self._blobs, self._ledger.read, (remaining, *self._named), self._grace_s)
        return GarbageReport(
            dry_run=True,
            before_at=before,
            runs=len(dead.runs),
            logged_models=len(dead.models),
            experiments=len(dead.experiments),
            artifacts=artifacts,
            blobs=len(found.blobs),
            bytes_freed=sum(found.blobs.values()),
            blobs_young=found.young,
            kept_count=len(dead.kept),
            kept=dead.kept[:_KEPT_SHOWN],
        )

    @operation("POST", "/runs/gc", "Delete for good what was deleted long ago, and blobs nothing refers to.")
    def collect(self, context: Context, request: GarbageRequest) -> Job:
        """Queues a collection; the result of the job is a `GarbageReport`.

        Raises:
            InvalidError: `older_than` is not a duration.
            ConflictError: a collection is under way.
        """
        at, before = self._clock.now(), self._before(request)
        number = self._ledger.write(
            lambda tx: jobs.submit(tx, context, COLLECT, "blobs", {"before_at": before}, at)
        )
        self._wake()
        return self._jobs.get(context, jobs.GetJobRequest(number))

    def run(self, job: Job, tell_pid: Callable[[int], None]) -> dict[str, Any]:
        """Does a collection; it may be done again after a crash.

        Raises:
            ConflictError: a backup is being taken or a dataset added.
        """
        context, before = job.context, int(job.spec["before_at"])
        with garbage.hold(self._blobs.root, alone=True, within_s=_WAIT_FOR_BACKUP_S, refused=_BACKUP):
            self.mend()
            removed = self._runs.collect(context, before)
            found = garbage.unreferenced(
                self._blobs, self._ledger.read, (tracking_store.blobs_named, *self._named), self._grace_s
            )
            swept = garbage.sweep(self._blobs, found, self._grace_s, self._check_lead)
            half_written = garbage.now_on_disk(self._blobs.root) - max(self._grace_s, _HALF_WRITTEN_S)
            torn, torn_bytes = self._blobs.clear_incoming(half_written)
        report = GarbageReport(
            dry_run=False,
            before_at=before,
            runs=removed.runs,
            logged_models=removed.models,
            experiments=removed.experiments,
            artifacts=removed.artifacts,
            blobs=swept.blobs + torn,
            bytes_freed=swept.size_bytes + torn_bytes,
            blobs_young=found.young,
            kept_count=len(removed.kept),
            kept=removed.kept[:_KEPT_SHOWN],
        )
        detail: dict[str, Any] = from_json(to_json(report), dict)
        at = self._clock.now()
        told = {key: value for key, value in detail.items() if key != "kept"}
        self._ledger.write(lambda tx: audit.record(tx, context, "garbage.collect", "blobs", told, at))
        return detail

    def mend(self) -> None:
        """Brings back what a collection that was killed had set aside."""
        self._blobs.bring_back()

    def _before(self, request: GarbageRequest) -> Micros:
        return max(0, self._clock.now() - duration(request.older_than))

    def _check_lead(self) -> None:
        """A server that leads no more must not go on: by now a training may write where this one sweeps."""
        self._ledger.write(lambda transaction: None)
