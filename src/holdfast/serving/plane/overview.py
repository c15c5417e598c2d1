"""What a worker says of the deployments it serves: `GET /v1/deployments[/{name}]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast.rollout.records import Variant
from holdfast.serving.records import DeploymentFile

if TYPE_CHECKING:
    from holdfast.serving.plane.worker import Worker


class ServedDeployment(msgspec.Struct, frozen=True):
    """A deployment as this worker runs it. `problem` says why a newer revision could not be loaded."""

    deployment: str
    project: str
    environment: str
    revision: int
    epoch: int
    origin: str
    variants: tuple[Variant, ...]
    warm: tuple[int, ...]
    quarantined: tuple[int, ...]
    shadow_pending: int
    shadow_dropped: int
    problem: str | None = None


def answer(worker: Worker, name: str) -> bytes:
    """One deployment, or with an empty name all of them.

    Raises:
        NotServedError: nothing of that name is served.
    """
    if name:
        return msgspec.json.encode(_describe(worker, worker.deployments.get(name).file))
    served = sorted(worker.deployments.current.items())
    return msgspec.json.encode({"deployments": [_describe(worker, item.file) for _, item in served]})


def _describe(worker: Worker, file: DeploymentFile) -> ServedDeployment:
    return ServedDeployment(
        file.name,
        file.project,
        file.environment,
        file.revision,
        file.epoch,
        file.origin,
        file.variants,
        file.warm,
        file.quarantined,
        worker.shadows.pending(file.name),
        worker.shadows.dropped(file.name),
        worker.deployments.problems.get(file.name),
    )
