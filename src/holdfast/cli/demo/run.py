"""One run of the demo from its first process to its last line."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import msgspec

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.context import Context
from holdfast.base.errors import RemoteError
from holdfast.base.home import Home
from holdfast.base.simulation import AdvanceClockRequest, ClockService
from holdfast.cli.demo import facts, story
from holdfast.cli.demo.driver import Driver
from holdfast.cli.demo.plane import Plane
from holdfast.cli.demo.processes import Processes
from holdfast.cli.demo.rollback import RollbackTiming, roll_back_under_load
from holdfast.cli.demo.scene import Scene, prepare
from holdfast.cli.demo.watch import Watch
from holdfast.cli.demo.worlds.batch import Batch
from holdfast.cli.output import print_json
from holdfast.cli.train import declare, wait_for_training
from holdfast.loop.records import TrainRequest
from holdfast.loop.service import LoopService

_NOTHING_WARM = "nothing_to_roll_back_to"


class Options(msgspec.Struct, frozen=True):
    """What the demo was asked for: `ports` are those of the server and of serving, 0 for any; `keep` says that the
    home outlives the demo, `leave` that the demo ends when its story is told."""

    world: str
    data: Path | None
    seed: int
    ports: tuple[int, int]
    keep: bool
    leave: bool
    as_json: bool


def run(options: Options, home: Home, context: Context) -> None:
    """Plays a world in a home and tells what happened.

    Raises:
        HoldfastError: the data cannot be used, or a process could not be started.
    """
    started = time.monotonic()
    watch = Watch(quiet=options.as_json)
    with watch:
        watch.step("preparing the world")
        scene = prepare(options.world, options.data, options.seed, home.root / "demo")
        processes = Processes(home, context, scene.start_at, options.seed, options.ports, watch.say)
        try:
            found = _play(scene, processes, options.seed, watch)
        except BaseException:
            processes.stop()
            raise
    try:
        wall_s = time.monotonic() - started
        if options.as_json:
            print_json(facts.as_json(found, wall_s))
        else:
            shown = home if options.keep or not options.leave else None
            story.tell(found, scene, shown, None if options.leave else processes, wall_s)
        if not options.leave:
            _wait_for_ctrl_c(processes)
    finally:
        processes.stop()


def _play(scene: Scene, processes: Processes, seed: int, watch: Watch) -> facts.Facts:
    watch.console.print(f"[bold]holdfast demo[/] · {scene.note}", highlight=False)
    watch.step("starting the server and the serving process")
    processes.start()
    watch.console.print(f"watch it live at {processes.server_url}", highlight=False)
    watch.step("training the first version")
    _go_live(scene, processes)
    began = time.monotonic()
    plane = Plane(scene.model, lambda: processes.serving_url, processes.restart_serving)

    def after_day(at: Micros) -> None:
        watch.day(at, driver.predictions, time.monotonic() - began)
        watch.news(processes, scene.model)

    driver = Driver(scene.model, scene.start_at, processes, plane, after_day)
    driver.follow_revision()
    watch.news(processes, scene.model)
    watch.begin(scene.start_at, scene.days)
    last_day: list[Batch] = []
    for _, day in itertools.groupby(scene.world.batches(), lambda batch: batch.at // DAY_US):
        driver.play(last_day)
        last_day = list(day)
    timing = _roll_back(driver, processes, scene, last_day, watch)
    driver.finish()
    plane.close()
    watch.step("reading back what happened")
    return facts.gather(processes, scene, seed, driver, timing)


def _go_live(scene: Scene, processes: Processes) -> None:
    """Declares the model, trains it and settles, so that the first version is live when the world begins."""
    client = processes.client()
    declare(client, str(scene.entry), None, active=True)
    wait_for_training(client, client.call(LoopService.train, TrainRequest(scene.model)), quiet=True)
    processes.call(ClockService.advance, AdvanceClockRequest(scene.start_at))


def _roll_back(
    driver: Driver, processes: Processes, scene: Scene, batches: list[Batch], watch: Watch
) -> RollbackTiming | None:
    """Plays the last day with a rollback in it; None where no second version ever went live."""
    watch.step("rolling back under load")
    try:
        timing = roll_back_under_load(driver, processes, scene.model, batches)
    except RemoteError as error:
        if error.error_code != _NOTHING_WARM:
            raise
        watch.say(f"no rollback: {error}")
        return None
    watch.news(processes, scene.model)
    return timing


def _wait_for_ctrl_c(processes: Processes) -> None:
    """Keeps the pages up, and the processes alive, until the person has seen enough."""
    try:
        while True:
            time.sleep(0.5)
            processes.restart_serving()
            processes.server_is_away()
    except KeyboardInterrupt:
        return
