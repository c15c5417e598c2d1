"""What a training ran in: Python, platform and packages."""

from __future__ import annotations

import platform

from holdfast.base.bundle import installed_packages
from holdfast.tracking.records import EnvironmentSnapshot


def snapshot_environment(cpu_count: int) -> EnvironmentSnapshot:
    """The environment of this process, with the CPUs that it was allowed."""
    return EnvironmentSnapshot(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu_count=cpu_count,
        packages=installed_packages(),
    )
