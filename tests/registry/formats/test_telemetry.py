"""ONNX Runtime reports home by default; holdfast does not let it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def left_by(code: str, folder: Path) -> list[str]:
    """What a Python process leaves in its temporary folder, such as the session file of telemetry."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**environment, "TMPDIR": str(folder), "HOME": str(folder)},
    )
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_onnxruntime_reports_nothing_once_holdfast_is_imported(tmp_path: Path) -> None:
    assert left_by("import holdfast, onnxruntime", tmp_path) == []


def test_a_user_may_decide_otherwise(tmp_path: Path) -> None:
    code = "import os; import holdfast; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "0"
