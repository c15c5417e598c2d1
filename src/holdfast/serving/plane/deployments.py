"""Follows the deployment files: loads and warms what is new, then switches with one assignment.

A thread looks at the folder every 20 ms. Requests read `current` once and keep what they got, so a switch fails
no request. A revision that cannot be loaded does not replace the one that runs; the reason is in `problems`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.base.blobs import Blobs
from holdfast.base.clock import Micros
from holdfast.base.errors import HoldfastError
from holdfast.base.home import Home
from holdfast.serving.deployment_file import SUFFIX, deployment_folder, load_deployment_file
from holdfast.serving.plane.errors import NotLoadedError, NotServedError
from holdfast.serving.plane.loaded import LoadedDeployment, LoadedVersion, champion_of, load_version
from holdfast.serving.plane.lookup import Lookups
from holdfast.serving.records import DeploymentFile, DeploymentKey
from holdfast.serving.spool import Durability, SpoolWriter
from holdfast.serving.spool import deployment_folder as spool_folder

logger = logging.getLogger(__name__)

POLL_S = 0.02
_RETRY_S = 2.0

Mark = tuple[int, int, int]


class Deployments:
    """The deployments of one project and environment in one worker."""

    def __init__(
        self,
        home: Home,
        project: str,
        environment: str,
        worker: str,
        start_at: Micros,
        durability: Durability = "process",
    ) -> None:
        self.current: dict[str, LoadedDeployment] = {}
        self.problems: dict[str, str] = {}
        self.environment = environment
        self._home, self._project = home, project
        self._folder = deployment_folder(home, project, environment)
        self._blobs = Blobs(home.blobs)
        self._lookups = Lookups(home, project, self._blobs)
        self._worker, self._start_at, self._durability = worker, start_at, durability
        self._marks: dict[str, Mark] = {}
        self._retry_s: dict[str, float] = {}
        self._writers: dict[str, SpoolWriter] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self, name: str) -> LoadedDeployment:
        """The deployment of a name.

        Raises:
            NotServedError: nothing of that name is served; lists what is.
            NotLoadedError: it is known but could not be loaded yet.
        """
        found = self.current.get(name)
        if found is not None:
            return found
        if name in self.problems:
            raise NotLoadedError(f"{name!r} cannot be served: {self.problems[name]}")
        known = ", ".join(sorted(self.current)) or "nothing yet; deploy a model with `holdfast up FILE`"
        raise NotServedError(
            f"nothing named {name!r} is served in {self.environment}", hint=f"served: {known}"
        )

    def start(self, each_round: Callable[[], None]) -> None:
        """Loads what is there, then follows changes in a thread; `each_round` runs after every look."""
        self.poll()
        self._thread = threading.Thread(
            target=self._follow, args=(each_round,), name="deployments", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the segments of this worker."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        for writer in self._writers.values():
            writer.close()

    def poll(self) -> None:
        """One look at the folder."""
        marks = self._look()
        for name in self._marks.keys() - marks.keys():
            self.current.pop(name, None)
            self.problems.pop(name, None)
            logger.info("%s is no longer deployed", name)
        for name, mark in marks.items():
            due = name in self._retry_s and time.monotonic() >= self._retry_s[name]
            if due or self._marks.get(name) != mark:
                self._switch(name)
        self._marks = marks
        for writer in self._writers.values():
            writer.rotate_if_due()

    def _follow(self, each_round: Callable[[], None]) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.poll()
                each_round()
            except Exception:
                logger.exception("a look at %s failed; the next follows", self._folder)

    def _look(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        try:
            paths = list(self._folder.iterdir())
        except FileNotFoundError:
            return found
        for path in paths:
            if path.suffix == SUFFIX and not path.name.startswith("."):
                mark = _mark(path)
                if mark is not None:
                    found[path.stem] = mark
        return found

    def _switch(self, name: str) -> None:
        self._retry_s.pop(name, None)
        try:
            file = load_deployment_file(self._folder / f"{name}{SUFFIX}")
            loaded = self._load(file)
        except FileNotFoundError:
            return
        except Exception as error:
            self._keep_present(name, error)
            return
        self.current[name] = loaded
        self.problems.pop(name, None)
        logger.info("%s runs revision %d (epoch %d)", name, file.revision, file.epoch)

    def _keep_present(self, name: str, error: Exception) -> None:
        """A revision that cannot be loaded changes nothing but what is said of it, and is tried again."""
        problem = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
        if self.problems.get(name) != problem:
            logger.error(
                "%s: the new revision cannot be loaded: %s",
                name,
                problem,
                exc_info=not isinstance(error, HoldfastError),
            )
        self.problems[name] = problem
        self._retry_s[name] = time.monotonic() + _RETRY_S

    def _load(self, file: DeploymentFile) -> LoadedDeployment:
        before = self.current.get(file.name)
        needed = {variant.version for variant in file.variants}
        versions: dict[int, LoadedVersion] = {}
        for served in file.versions:
            kept = before.versions.get(served.version) if before else None
            if kept is not None and kept.served == served:
                versions[served.version] = kept
                continue
            try:
                versions[served.version] = load_version(served, self._blobs)
            except HoldfastError:
                if served.version in needed:
                    raise
                logger.exception("%s: version %d cannot be kept warm", file.name, served.version)
        if missing := needed - versions.keys():
            raise NotLoadedError(f"the deployment file lacks version {min(missing)}")
        writer = self._writer(file)
        for version in versions.values():
            writer.declare(version.schema)
        shadows = tuple(
            (variant, versions[variant.version]) for variant in file.variants if variant.role == "shadow"
        )
        features = self._lookups.of_deployment(
            (version.served for version in versions.values()),
            versions[champion_of(file)].served,
            before.features if before else None,
        )
        return LoadedDeployment(
            file,
            versions,
            writer,
            shadows,
            call_us=max(version.call_us for version in versions.values()),
            row_us=max(version.row_us for version in versions.values()),
            features=features,
        )

    def _writer(self, file: DeploymentFile) -> SpoolWriter:
        if file.name not in self._writers:
            key = DeploymentKey(self._project, self.environment, file.name)
            self._writers[file.name] = SpoolWriter(
                spool_folder(self._home.spool, key), self._worker, self._start_at, durability=self._durability
            )
        return self._writers[file.name]


def _mark(path: Path) -> Mark | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
