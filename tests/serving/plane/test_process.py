"""The parent of the serving workers."""

import subprocess
import sys


def test_asking_for_a_worker_imports_nothing() -> None:
    """A thread asks while workers are forked: an import under way then would be locked in them for ever."""
    code = (
        "import sys, holdfast.serving.plane.process as process\n"
        "known = set(sys.modules)\n"
        "assert not process._answers('127.0.0.1', 1)\n"
        "print(sorted(set(sys.modules) - known))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
