"""The deployment file: all that a serving process runs from, and the rollback that needs nothing else.

    home/serving/deployments/<project>/<environment>/<name>.json

It is replaced atomically, under a lock file beside it, and never by one of an earlier epoch: when the server is
away, a local rollback moves the epoch on, and the server adopts that revision when it returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.base.blobs import replace_file
from holdfast.base.clock import Micros
from holdfast.base.context import Actor
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import HomeError
from holdfast.base.home import Home
from holdfast.rollout.records import Variant
from holdfast.serving.errors import NothingToRollBackToError, UnknownDeploymentError
from holdfast.serving.records import FORMAT, DeploymentFile

SUFFIX = ".json"


def deployment_folder(home: Home, project: str, environment: str) -> Path:
    """Where the deployment files of an environment lie."""
    return home.deployments / project / environment


def deployment_path(home: Home, project: str, environment: str, name: str) -> Path:
    """The file of one deployment."""
    return deployment_folder(home, project, environment) / f"{name}{SUFFIX}"


def deployed_names(home: Home, project: str, environment: str) -> list[str]:
    """The names that have a deployment file, sorted. Files being written begin with a dot."""
    with contextlib.suppress(FileNotFoundError):
        files = deployment_folder(home, project, environment).iterdir()
        return sorted(path.stem for path in files if path.suffix == SUFFIX and not path.name.startswith("."))
    return []


def load_deployment_file(path: Path) -> DeploymentFile:
    """The contents of a deployment file.

    Raises:
        FileNotFoundError: there is none.
        HomeError: it cannot be understood, or a newer holdfast wrote it.
    """
    data = path.read_bytes()
    try:
        found = from_json(data, DeploymentFile)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise HomeError(
            f"the deployment file {path} cannot be read ({error})",
            hint="start the server, which writes it again",
        ) from error
    if found.format > FORMAT:
        raise HomeError(
            f"the deployment file {path} has format {found.format}, this holdfast knows up to {FORMAT}",
            hint="upgrade holdfast",
        )
    return found


def read_deployment_file(home: Home, project: str, environment: str, name: str) -> DeploymentFile | None:
    """The present deployment file, or None."""
    try:
        return load_deployment_file(deployment_path(home, project, environment, name))
    except FileNotFoundError:
        return None


def write_deployment_file(home: Home, file: DeploymentFile) -> bool:
    """Replaces the deployment file; False, and nothing is written, when a later epoch is there already."""
    with _locked(home, file.project, file.environment, file.name):
        present = read_deployment_file(home, file.project, file.environment, file.name)
        if present is not None and present.epoch > file.epoch:
            return False
        _write(home, file)
        return True


def local_rollback(
    home: Home, project: str, environment: str, name: str, actor: Actor, now: Micros
) -> DeploymentFile:
    """Puts the version before back into production without the server.

    The first warm version becomes the champion with all the traffic, candidates and shadows end, and the version
    left is quarantined. The epoch moves on and `origin` says that the server has yet to adopt it.

    Raises:
        UnknownDeploymentError: nothing of that name is deployed here.
        NothingToRollBackToError: no version is warm.
    """
    if name not in (known := deployed_names(home, project, environment)):
        raise UnknownDeploymentError(name, environment, known)
    with _locked(home, project, environment, name):
        present = load_deployment_file(deployment_path(home, project, environment, name))
        rolled_back = _rolled_back(present, actor, now)
        _write(home, rolled_back)
        return rolled_back


def _rolled_back(present: DeploymentFile, actor: Actor, now: Micros) -> DeploymentFile:
    left = next((variant.version for variant in present.variants if variant.role == "champion"), None)
    warm = [number for number in present.warm if number != left and number not in present.quarantined]
    if not warm:
        raise NothingToRollBackToError(
            f"no earlier version of {present.name!r} is warm in {present.environment}",
            hint=f"start the server and deploy one with `holdfast deploy {present.name} --version N`",
        )
    kept = set(warm)
    return msgspec.structs.replace(
        present,
        revision=present.revision + 1,
        epoch=present.epoch + 1,
        variants=(Variant(warm[0], "champion", 100),),
        versions=tuple(version for version in present.versions if version.version in kept),
        warm=tuple(warm[1:]),
        changed_at=now,
        changed_by=actor.name,
        origin="local",
        quarantined=tuple(sorted({*present.quarantined, *([] if left is None else [left])})),
    )


def _write(home: Home, file: DeploymentFile) -> None:
    replace_file(deployment_path(home, file.project, file.environment, file.name), to_json(file).encode())


@contextlib.contextmanager
def _locked(home: Home, project: str, environment: str, name: str) -> Iterator[None]:
    folder = deployment_folder(home, project, environment)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
