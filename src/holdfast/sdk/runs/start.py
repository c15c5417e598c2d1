"""`hf.run`: begins a run, or goes on with one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.base.clock import Clock, SystemClock
from holdfast.base.config import load
from holdfast.base.context import local_context
from holdfast.base.errors import HomeError, NotFoundError, RemoteError, UnavailableError
from holdfast.base.home import Home
from holdfast.sdk.runs import capture, values
from holdfast.sdk.runs.ending import watch
from holdfast.sdk.runs.entries import Began, Described, Resumed
from holdfast.sdk.runs.folder import Destination, RunFolder
from holdfast.sdk.runs.run import Run, current, new_id
from holdfast.sdk.runs.sending import RunRefusedError
from holdfast.sdk.runs.shipper import Shipper, shipper_for
from holdfast.sdk.runs.target import say
from holdfast.tracking.log_records import BeginRun, ResumeRun, RunState
from holdfast.tracking.policy import check_experiment_name
from holdfast.tracking.service.run_log import RunLogService

_SECONDS = 5.0


def run(
    experiment: str = "Default",
    *,
    name: str = "",
    run_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    seed: int | None = None,
    parent: str | None = None,
    code: bool = True,
    system_metrics: float | bool | None = None,
    url: str | None = None,
    project: str | None = None,
    home: str | None = None,
    quiet: bool = False,
) -> Run:
    """Begins a run, or goes on with the one of `run_id`; use it in a `with` block, or end it with `finish()`.

    Code, git state, packages, hardware, command and user are captured by themselves, and what the machine does every
    few seconds. Without a server one is started in the background; while it is away, the run goes on and is sent later.

    Args:
        experiment: the experiment it belongs to; created where there is none.
        name: what people call it.
        run_id: the run to go on with, in another process or after it ended.
        parameters: what it is set to; a mapping in a mapping becomes `outer.inner`.
        tags: labels to find it by.
        seed: the seed of its randomness, as a note; nothing is seeded.
        parent: the id of the run it is a part of; by default the innermost one in whose `with` block this is.
        code: whether the source of the script is captured.
        system_metrics: seconds between two measurements of the machine, as `system/…` metrics; False for none.
            By default 5, and none for a run that is a part of another.
        url: the server to log to; by default `HOLDFAST_URL`, else the server of the home.
        project: the project to log to.
        home: where the journal is kept until the server has acknowledged it.
        quiet: whether to leave out the line that says where the run is.

    Raises:
        InvalidError: a name or value is not legal.
        RunRefusedError: the server does not take the run, e.g. because its experiment is deleted.
        NotFoundError: there is no run of that id.
        HomeError: the home cannot be written.

    Example:
        with hf.run("churn", parameters={"depth": 6}, seed=7) as run:
            for epoch in range(100):
                run.log(loss=0.3, step=epoch)
    """
    config = load({"project": project, "home": home, "url": url})
    actor = local_context(config.project).actor.name
    destination = Destination(run_id or new_id(), config.project, actor, config.url.rstrip("/"))
    clock = SystemClock()
    shipper = shipper_for(Home(Path(config.home)), destination.url)
    if run_id is None:
        caller = sys._getframe(1).f_code.co_filename
        outer = current.get()
        parent = parent or (outer.run_id if outer else None)
        request = _beginning(
            destination, clock, experiment, name, seed, parent, caller if code else None, code=code
        )
        started = _begin(destination, shipper, clock, request, parameters, tags)
    else:
        started = _go_on(destination, shipper, clock, parameters, tags)
    watch()
    # The machine is the same for a run and its parts.
    wanted = parent is None if system_metrics is None else system_metrics
    started.begin(_SECONDS if wanted is True else wanted or None)
    if not quiet:
        say(
            f"run {started.name} of {started.experiment}: {started.url or 'kept here until a server answers'}"
        )
    return started


def _beginning(
    destination: Destination, clock: Clock, experiment: str, name: str, seed: int | None, parent: str | None,
    caller: str | None, *, code: bool,
) -> BeginRun:  # fmt: skip
    check_experiment_name(experiment)
    given = capture.code_of(caller) if code else None
    return BeginRun(
        run_id=destination.run_id,
        experiment=experiment,
        started_at=clock.now(),
        name=name or f"{experiment}-{destination.run_id[:8]}",
        seed=seed,
        tags=capture.tags_of(given, destination.actor),
        parent=parent,
        code=given,
        environment=capture.environment(),
    )


def _begin(
    destination: Destination, shipper: Shipper, clock: Clock, request: BeginRun,
    parameters: Mapping[str, Any] | None, tags: Mapping[str, Any] | None,
) -> Run:  # fmt: skip
    described = Described(values.parameters_of(parameters or {}), values.tags_of(tags or {}))
    folder = _folder(shipper, destination)
    started = Run(
        folder, destination, shipper, clock, experiment=request.experiment, name=request.name, rank=0, run=run,
        parent=request.parent,
    )  # fmt: skip
    _write(shipper, started, Began(request))
    if described.parameters or described.tags:
        started.log_parameters(described.parameters)
        started.set_tags(described.tags)
    try:
        shipper.send_now(folder, destination)
    except UnavailableError as error:
        say(f"{error}; run {request.name} goes on and is sent later")
    except RunRefusedError:
        started.abandon()
        raise
    return started


def _go_on(
    destination: Destination, shipper: Shipper, clock: Clock, parameters: Mapping[str, Any] | None,
    tags: Mapping[str, Any] | None,
) -> Run:  # fmt: skip
    found: RunState | None = None
    try:
        link = shipper.link(destination, start=True)
        found = link.call(RunLogService.resume, ResumeRun(destination.run_id))
        link.close()
    except RemoteError as error:
        raise NotFoundError(
            f"the run {destination.run_id} cannot go on: {error}", hint="list runs with `holdfast runs list`"
        ) from error
    except UnavailableError as error:
        say(f"{error}; run {destination.run_id} goes on and is sent later")
    folder = _folder(shipper, destination)
    started = Run(
        folder, destination, shipper, clock, experiment=found.experiment if found else "Default",
        name=found.name if found else destination.run_id[:8], rank=1, run=run,
    )  # fmt: skip
    _write(shipper, started, Resumed())
    folder.set_ended(False)
    if parameters:
        started.log_parameters(parameters)
    if tags:
        started.set_tags(tags)
    return started


def _folder(shipper: Shipper, destination: Destination) -> RunFolder:
    return RunFolder(shipper.target.home.runs / destination.run_id)


def _write(shipper: Shipper, started: Run, entry: Began | Resumed) -> None:
    try:
        started.append(entry)
    except OSError as error:
        raise HomeError(
            f"the home {shipper.target.home.root} cannot be written ({error.strerror})",
            hint="name another with home=… or HOLDFAST_HOME",
        ) from error
