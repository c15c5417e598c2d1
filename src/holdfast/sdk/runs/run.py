"""A run as the script that logs it holds it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast.base.clock import Clock
from holdfast.base.errors import HoldfastError, InvalidError, UnavailableError
from holdfast.sdk.runs import values
from holdfast.sdk.runs.entries import Described, Ended, Entry, Measurements, Read, Staged
from holdfast.sdk.runs.folder import Destination, RunFolder
from holdfast.sdk.runs.journal import Journal
from holdfast.sdk.runs.shipper import Shipper, shipper_for
from holdfast.sdk.runs.system import SystemMonitor
from holdfast.sdk.runs.target import say
from holdfast.sdk.runs.uploads import upload
from holdfast.tracking.errors import ParameterChangedError, RunEndedError
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.log_records import EndStatus
from holdfast.tracking.policy import check_artifact_path
from holdfast.tracking.records import RunInput

CONTEXT_TAG = "mlflow.data.context"
PATIENCE_S = 30.0
_ATTEMPTS = 3
_RETRY_AFTER_S = 1.0

current: ContextVar[Run | None] = ContextVar("holdfast_run", default=None)


class Run:
    """One run that goes on; made by `hf.run`.

    Whatever is logged is first in the journal of the run in the home, so it outlives this process; a thread sends it.
    Methods may be called from any thread, and in forked children.

    Attributes:
        run_id: 32 hexadecimal digits; `hf.run(run_id=…)` goes on with the run.
        experiment: the name of its experiment.
        name: its own name.
    """

    def __init__(
        self, folder: RunFolder, destination: Destination, shipper: Shipper, clock: Clock,
        *, experiment: str, name: str, rank: int, run: Callable[..., Run], parent: str | None = None,
    ) -> None:  # fmt: skip
        self.run_id = destination.run_id
        self.experiment = experiment
        self.name = name
        self._parent = parent
        self._run = run
        self._folder = folder
        self._destination = destination
        self._shipper: Shipper | None = shipper
        self._home, self._url = shipper.target.home, shipper.target.url
        self._now = clock.now
        self._journal = Journal(folder.path, partial(folder.opening, destination), rank)
        self._begins = rank == 0
        self._pid = os.getpid()
        self._step = -1
        self._keys: set[str] = set()
        self._parameters: dict[str, str] = {}
        self._lost = 0
        self._retry_at = 0.0
        self._ended = False
        self._monitor: SystemMonitor | None = None
        self._tokens: list[Token[Run | None]] = []

    @property
    def url(self) -> str:
        """The page of the run; empty while no server was found."""
        at = self._url or (self._shipper.url if self._shipper else "")
        return f"{at}/runs/{self.run_id}" if at else ""

    def log(self, metrics: Mapping[str, Any] | None = None, *, step: int | None = None, **more: Any) -> None:
        """Logs values of metrics at one step, in microseconds and without waiting for anything.

        Args:
            metrics: values by name, for names that are no identifiers, such as `val/loss`.
            step: where in the run this is; by default one more than the last one, beginning with 0.
            more: values by name.

        Raises:
            InvalidError: a name, value or step is not legal.
            RunEndedError: the run has ended.

        Example:
            run.log(loss=0.3, accuracy=0.9, step=epoch)
            run.log({"val/loss": 0.4}, step=epoch)
        """
        given: Mapping[str, Any] = {**metrics, **more} if metrics else more
        if step is None:
            step = self._step + 1
        elif type(step) is not int:
            step = values.step_of(step)
        known, checked = self._keys, {}
        for key, value in given.items():
            if key not in known:
                known.add(values.metric_name(key))
            checked[key] = value if type(value) is float else values.number(key, value)
        if not -(2**63) < step < 2**63:
            values.step_of(step)
        self._step = step
        self._append(Measurements(self._now(), step, checked))

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Logs what the run was set to; a mapping in a mapping becomes `outer.inner`.

        Raises:
            InvalidError: a name or value is not legal.
            ParameterChangedError: a parameter has another value already: parameters are written once.
        """
        found = values.parameters_of(parameters)
        for key, value in found.items():
            if self._parameters.get(key, value) != value:
                raise ParameterChangedError(
                    f"the parameter {key!r} is {self._parameters[key]!r} already",
                    hint="parameters are written once; log what changes as a metric",
                    field=key,
                )
        self._append(Described(found, {}))
        self._parameters.update(found)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Sets tags; the last value of each stands.

        Raises:
            InvalidError: a name or value is not legal.
        """
        self._append(Described({}, values.tags_of(tags)))

    def log_dataset(self, name: str, data: Any, *, context: str = "training") -> str:
        """Notes data that the run reads: its digest, size and columns, not its rows. Returns the digest.

        Args:
            name: what the data is called.
            data: a polars or pandas frame, a numpy array, or the path of a file or folder.
            context: what for, e.g. `training` or `evaluation`.

        Raises:
            InvalidError: the data is none of these, or cannot be read.
        """
        from holdfast.sdk.runs.datasets import describe

        found = describe(name, data)
        self._append(Read((RunInput(found, {CONTEXT_TAG: context}),)))
        return found.digest

    def log_artifact(self, file: str | Path, path: str | None = None) -> None:
        """Keeps a file with the run; returns once it is with the server, or copied where the server will get it.

        Args:
            file: the file, of any size.
            path: where in the run it goes; its own name by default.

        Raises:
            InvalidError: it is no file, cannot be read, or the path is not legal.
        """
        source = Path(file).expanduser()
        if source.is_dir():
            raise InvalidError(f"{source} is a folder", hint="keep folders with log_artifacts")
        if not source.is_file():
            raise InvalidError(f"there is no file {source}", hint="log it once it is written")
        self._keep(source, check_artifact_path(path or source.name))

    def log_artifacts(self, folder: str | Path, path: str = "") -> int:
        """Keeps every file of a folder with the run, below `path`; returns how many.

        Raises:
            InvalidError: it is no folder, or a path is not legal; nothing is kept then.
        """
        source = Path(folder).expanduser()
        if not source.is_dir():
            raise InvalidError(f"{source} is not a folder", hint="keep a file with log_artifact")
        files = sorted(item for item in source.rglob("*") if item.is_file())
        below = f"{path.rstrip('/')}/" if path else ""
        places = [check_artifact_path(below + item.relative_to(source).as_posix()) for item in files]
        for item, place in zip(files, places, strict=True):
            self._keep(item, place)
        return len(files)

    def child(
        self, name: str = "", *, parameters: Mapping[str, Any] | None = None, seed: int | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> Run:  # fmt: skip
        """Begins a run that is a part of this one, e.g. one fold of a cross-validation.

        Example:
            with run.child("fold-1") as fold:
                fold.log(loss=0.3)
        """
        return self._run(
            self.experiment, name=name, parameters=parameters, seed=seed, tags=tags, parent=self.run_id,
            url=self._url, project=self._destination.project, home=str(self._home.root), quiet=True,
        )  # fmt: skip

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Waits until the server has acknowledged what this process logged; False when it did not in time."""
        if self._shipper is None or self._pid != os.getpid():
            return self._own_shipper().wait(self._folder, self._journal.prefix, timeout_s)
        return self._shipper.wait(self._folder, self._journal.prefix, timeout_s)

    def finish(self, status: EndStatus = "finished", error: str = "", *, timeout_s: float = 30.0) -> None:
        """Ends the run and waits, at most `timeout_s`, until the server has everything. Twice does no harm.

        What it does not have by then stays in the home and is sent by the next `hf.run` or `holdfast runs sync`;
        later ends in this process wait again only once the server has answered. A run within one that goes on in this
        process does not wait: the end of the outer one waits for both.

        Args:
            status: `finished`, `failed` or `killed`.
            error: the sentence that says why it did not finish.
        """
        if self._ended or self._pid != os.getpid():
            return
        if self._monitor is not None:
            self._monitor.stop()
        # Another process may still log to a run that this one did not begin: the last one ends it.
        if self._begins or not self._has_company():
            self._append(Ended(self._now(), status, error))
        self._ended = True
        self._journal.close()
        assert self._shipper is not None
        forget(self)
        try:
            if self._is_within_another():
                self._shipper.leave(self._folder, self._journal.prefix)
            else:
                self._wait(timeout_s)
        finally:
            if self._lost:
                say(
                    f"{self._lost} entries of run {self.name} were lost: the disk of {self._home.root} is full"
                )

    def __enter__(self) -> Run:
        self._tokens.append(current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ValueError):  # left in another context than it was entered in
            current.reset(self._tokens.pop())
        status, sentence = outcome_of(error)
        self.finish(status, sentence, timeout_s=5.0 if status == "killed" else PATIENCE_S)

    def __repr__(self) -> str:
        state = "ended" if self._ended else "going on"
        return f"<run {self.name!r} ({self.run_id}) of {self.experiment!r}, {state}>"

    def begin(self, system_metrics: float | None) -> None:
        """Lets the thread send what comes, and measures the machine every so many seconds."""
        assert self._shipper is not None
        self._shipper.add(self._folder, self._destination)
        remember(self)
        if system_metrics:
            self._monitor = SystemMonitor(system_metrics, self._log_system)
            self._monitor.start()

    def append(self, entry: Entry) -> None:
        """Writes an entry into the journal.

        Raises:
            OSError: the disk does not take it.
        """
        self._journal.append(entry)

    def abandon(self) -> None:
        """Forgets a run that the server refused before it began."""
        self._ended = True
        self._journal.close()
        self._folder.lock.release()
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def _append(self, entry: Entry) -> None:
        if self._ended:
            raise RunEndedError(
                f"the run {self.name} has ended", hint=f"go on with it by hf.run(run_id={self.run_id!r})"
            )
        if self._lost and time.monotonic() < self._retry_at:
            self._lost += 1
            return
        try:
            self._journal.append(entry)
        except OSError as error:
            # A full disk must not end a training that ran for days, nor slow it down.
            if not self._lost:
                say(f"run {self.name} cannot be logged ({error.strerror or error}); the training goes on")
            self._lost += 1
            self._retry_at = time.monotonic() + _RETRY_AFTER_S

    def _log_system(self, measured: dict[str, float], step: int) -> None:
        if not self._ended:
            self._append(Measurements(self._now(), step, measured))

    def _keep(self, source: Path, path: str) -> None:
        """Uploads a file; while the server is away, copies it to where the thread finds it when it is back."""
        if self._ended:
            raise RunEndedError(f"the run {self.name} has ended")
        for attempt in range(_ATTEMPTS):
            try:
                shipper = self._own_shipper()
                if shipper.is_away or not self._folder.has_begun():
                    break
                upload(shipper.target.find(), self._destination, path, source)
                return
            except UnavailableError:
                time.sleep(0.2 * (attempt + 1))
        self._stage(source, path)

    def _stage(self, source: Path, path: str) -> None:
        name = f"{random.SystemRandom().getrandbits(64):016x}"
        try:
            self._folder.files.mkdir(exist_ok=True)
            shutil.copyfile(source, self._folder.files / name)
        except OSError as error:
            (self._folder.files / name).unlink(missing_ok=True)
            raise UnavailableError(
                f"{source} was not kept: the server does not answer, and it cannot be copied ({error.strerror})",
                hint=f"make room in {self._home.root}, or log it again later",
            ) from error
        self._append(Staged(path, name))

    def _own_shipper(self) -> Shipper:
        if self._shipper is not None and self._pid == os.getpid():
            return self._shipper
        shipper = shipper_for(self._home, self._url)
        shipper.add(self._folder, self._destination)
        return shipper

    def _has_company(self) -> bool:
        own = self._journal.prefix
        return any(
            not item.is_closed() for item in self._folder.journals() if not item.path.name.startswith(own)
        )

    def _is_within_another(self) -> bool:
        """Whether the run that this one is a part of goes on in this process, and so waits for both in the end."""
        outer = _going_on.get(self._parent or "")
        return outer is not None and outer._pid == os.getpid() and outer._shipper is self._shipper

    def _wait(self, timeout_s: float) -> None:
        assert self._shipper is not None
        arrived = False
        sending = f"sending the rest of run {self.name}"
        try:
            arrived = self._shipper.wait_at_end(self._folder, self._journal.prefix, timeout_s, sending)
        finally:
            self._shipper.drop_all(self._folder)
            if not arrived and self._shipper.first_time_waiting():
                rest = "sends the rest, also of what else this script logs while no server answers"
                say(f"run {self.name} is kept in {self._folder.path}; `holdfast runs sync` {rest}")


def outcome_of(error: BaseException | None) -> tuple[EndStatus, str]:
    """How a run ended that was left by an exception, and the sentence that says so."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", ""
    if isinstance(error, Terminated):
        return "killed", "the process was told to end (SIGTERM)"
    if isinstance(error, KeyboardInterrupt):
        return "killed", "interrupted from the keyboard"
    if isinstance(error, SystemExit):
        return "failed", f"the script left with exit code {error.code}"
    text = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
    return "failed", text[:5_000]


class Terminated(SystemExit):
    """SIGTERM, as an exception: blocks are left in order, and the exit code is the one that shells expect."""


def new_id() -> str:
    """An id for a new run."""
    return new_run_id(random.SystemRandom())


_going_on: dict[str, Run] = {}


def remember(run: Run) -> None:
    _going_on[run.run_id] = run


def forget(run: Run) -> None:
    _going_on.pop(run.run_id, None)


def own_runs() -> list[Run]:
    """The runs of this process that go on, the inner ones first."""
    return [run for run in reversed(_going_on.values()) if run._pid == os.getpid()]
