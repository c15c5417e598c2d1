"""Records small MLflow stores, so that imports are tested where MLflow is not installed.

python -m tests.sdk.imports.record, in an environment with mlflow: writes `recorded/`, which is

    store.sql.gz, mlartifacts.tar.gz  the SQLite file of a server's backend store as SQL, and the artifacts it served
    http.jsonl.gz                   what that server answered to an import
    store.json                      what MLflow's client said of it
    mlruns.tar.gz, mlruns.json      the same scenario in a file store; its addresses name a place that does not exist
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
ELSEWHERE = "/srv/ml"
# The workers of its job queue take most of the time that it needs to start.
_QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


@contextmanager
def mlflow_server(folder: Path, port: int):
    """A real MLflow server on a SQLite file, which serves its artifacts itself."""
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"),
        *("--artifacts-destination", str(folder / "mlartifacts")),
    ]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **_QUIET}, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process, folder)
        yield url
    finally:
        # A busy machine gives it no time to leave by itself, and nothing of it is needed any more.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _await(url, process, folder):
    # Its import alone takes half a minute on a busy machine.
    for _ in range(1500):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            return
        except OSError:
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            time.sleep(0.1)
    raise TimeoutError(url)


def main() -> None:
    from holdfast.server.process import free_port
    from tests.sdk.imports.scenario import log_scenario
    from tests.sdk.imports.told import told_by_client

    os.environ.update(_QUIET)
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with mlflow_server(folder, free_port("127.0.0.1", 0)) as url:
            log_scenario(url)
            _write_json("store.json", told_by_client(url))
            _record_http(url)
        _dump(folder / "mlflow.db")
        _pack("mlartifacts.tar.gz", folder / "mlartifacts")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "mlruns"
        log_scenario(f"file://{folder}")
        _write_json("mlruns.json", told_by_client(f"file://{folder}"))
        for meta in folder.rglob("meta.yaml"):
            meta.write_text(meta.read_text().replace(str(folder.parent), ELSEWHERE))
        _pack("mlruns.tar.gz", folder)


def _dump(database):
    connection = sqlite3.connect(database)
    text = "\n".join(connection.iterdump())
    (RECORDED / "store.sql.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    connection.close()


def _record_http(url):
    """What the server answers to the requests of an import, by method, path and body."""
    answers = []

    class Proxy(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = urllib.request.Request(url + self.path, body or None, method=self.command)
            request.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(request) as found:
                    status, data = found.status, found.read()
            except urllib.error.HTTPError as error:
                status, data = error.code, error.read()
            answers.append([self.command, self.path, body.decode(), status, base64.b64encode(data).decode()])
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        through = f"http://127.0.0.1:{server.server_port}"
        holdfast = [sys.executable, "-m", "holdfast.cli.main", "--home", home]
        subprocess.run([*holdfast, "import", "mlflow", "--from", through], check=True)
        subprocess.run([*holdfast, "down"], check=True)
    server.shutdown()
    lines = [json.dumps(answer).encode() + b"\n" for answer in answers]
    (RECORDED / "http.jsonl.gz").write_bytes(gzip.compress(b"".join(lines), mtime=0))


def _write_json(name, value):
    (RECORDED / name).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _pack(name, folder):
    with tarfile.open(RECORDED / name, "w:gz") as archive:
        archive.add(folder, folder.name)


if __name__ == "__main__":
    main()
