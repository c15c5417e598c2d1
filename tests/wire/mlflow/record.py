"""Records what the real client sends and what it gets, into `recorded/`.

    python -m tests.wire.mlflow.record

The recording is replayed by `test_replay.py`, which needs no MLflow. Record again for a new release of MLflow; what
changes in the file is what changed in its protocol.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.base.home import Home
from tests.wire.mlflow.tracking_server import tracking_server

FOLDER = Path(__file__).parent / "recorded"


def record(url: str, scenario: Callable[[str], None]) -> list[dict[str, object]]:
    """The exchanges of a scenario with a server."""
    import mlflow
    import requests

    exchanges: list[dict[str, object]] = []
    send = requests.Session.send

    def recorded(self, request, **kwargs):
        body = request.body if isinstance(request.body, str | bytes | None) else request.body.read()
        if not isinstance(request.body, str | bytes | None):
            request.body = body
        answer = send(self, request, **kwargs)
        exchanges.append(
            {
                "method": request.method,
                "path": request.path_url,
                "body": body.decode() if isinstance(body, bytes) else body,
                "type": request.headers.get("Content-Type"),
                "status": answer.status_code,
                "answer": answer.text,
            }
        )
        return answer

    requests.Session.send = recorded  # type: ignore[method-assign]
    try:
        scenario(url)
    finally:
        requests.Session.send = send  # type: ignore[method-assign]
    return [{"client": mlflow.__version__}, *exchanges]


def main() -> None:
    from tests.wire.mlflow.scenario import use_registry, use_tracking

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    FOLDER.mkdir(exist_ok=True)
    for name, scenario in (("tracking", use_tracking), ("registry", use_registry)):
        with tempfile.TemporaryDirectory() as folder, tracking_server(Home(Path(folder) / "home"), "") as url:
            found = record(url, scenario)
            text = json.dumps(found, indent=1, ensure_ascii=False).replace(urlsplit(url).netloc, "SERVER")
            (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
