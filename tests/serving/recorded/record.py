"""Records what this release writes for serving, so that later releases can prove that they still read it.

    python -m tests.serving.recorded.record

writes `tests/serving/recorded/<release>/`: a deployment file, the blob of its model, a raw spool segment with every
kind of frame, and a shipped segment. It is run once for each release, and what it wrote is never changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from holdfast.base.home import Home
from holdfast.base.version import VERSION
from holdfast.rollout.records import Variant
from holdfast.serving.log import PredictionLog
from holdfast.serving.records import Frame, LabelFrame, PredictionFrame, RejectionFrame, SchemaFrame
from holdfast.serving.spool import CLOSED, MAGIC, deployment_folder, pack
from tests.serving.plane.world import COLUMNS, CONTRACT, KEY, deploy, served, value_of

FOLDER = Path(__file__).parent
DAY_AT = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def frames(batch: int) -> list[Frame]:
    """Every kind of frame, with every field set."""
    at = DAY_AT + batch * 1_000
    request = f"recorded-{batch}"
    return [
        SchemaFrame(
            3, [field.name for field in CONTRACT.request_fields()], [item.name for item in COLUMNS], ["store"]
        ),
        PredictionFrame(
            request_id=request,
            at=at,
            received_at=at + 5,
            revision=7,
            version=3,
            role="champion",
            propensity=1.0,
            inputs=[["s1"], [0.5], ["rain"], [7], [False]],
            features=[[0.5, 1.0, 7.0, 0.0]],
            outputs=[value_of(3)],
            latency_us=321,
            flags=["temp:range"],
            times=[at - 60],
        ),
        RejectionFrame(
            f"refused-{batch}", at + 1, at + 2, "invalid_field", "temp is no number", "rows[0].temp"
        ),
        LabelFrame(at + 10, at + 11, [f"p_{request}.0"], [42.5], [at + 9]),
    ]


def record(folder: Path) -> None:
    """Writes the recording of this release into an empty folder."""
    home = Home(folder)
    deploy(home, 7, (Variant(3, "champion", 100),), (served(home, 3), served(home, 2)))
    spool = deployment_folder(home.spool, KEY)
    spool.mkdir(parents=True)

    def write(batch: int) -> None:
        path = spool / f"w0-{DAY_AT:016x}-1-{batch:06d}{CLOSED}"
        path.write_bytes(MAGIC + b"".join(pack(frame) for frame in frames(batch)))

    write(1)
    PredictionLog(home).ship(KEY)
    write(2)
    for lock in home.deployments.rglob(".*.lock"):
        lock.unlink()


if __name__ == "__main__":
    target = FOLDER / VERSION
    shutil.rmtree(target, ignore_errors=True)
    record(target)
    print(f"recorded {target}")
