"""Records what the real client sends and what it gets, into `recorded/`.

    python -m tests.wire.mlflow.record

The recording is replayed by `test_replay.py`, which needs no MLflow. Record again for a new release of MLflow; what
changes in the file is what changed in its protocol.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

FILE = Path(__file__).parent / "recorded" / "tracking.json"


def record(url: str) -> list[dict[str, object]]:
    """The exchanges of the scenario with a server."""
    import mlflow
    import requests

    from tests.wire.mlflow.scenario import use_everything

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
        use_everything(url)
    finally:
        requests.Session.send = send  # type: ignore[method-assign]
    return [{"client": mlflow.__version__}, *exchanges]


def main() -> None:
    from holdfast.base.home import Home
    from holdfast.cli.session import start_server

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        process = start_server(home, ["--port", "0"], detached=True)
        try:
            server = home.server()
            assert server is not None
            found = record(server.url)
            address = urlsplit(server.url).netloc
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = json.dumps(found, indent=1, ensure_ascii=False).replace(address, "SERVER")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text + "\n")


if __name__ == "__main__":
    main()
