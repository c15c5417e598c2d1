"""What a worker is told; light to import, because the parent process makes it."""

from __future__ import annotations

import msgspec

from holdfast.serving.spool import Durability


class PlaneSettings(msgspec.Struct, frozen=True):
    """All that a worker needs to know; it travels to the worker's process."""

    home: str
    project: str
    environment: str
    simulated: bool
    parent: int
    durability: Durability = "process"
