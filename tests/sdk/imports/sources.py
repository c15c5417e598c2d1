"""The recorded stores, put where an import can read them, and the import itself."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"


def recorded_told(name):
    """What MLflow's client said of a recorded store."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def make_database(folder: Path) -> Path:
    """The recorded backend store as a SQLite file, with its artifacts next to it."""
    path = folder / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.executescript(gzip.decompress((RECORDED / "store.sql.gz").read_bytes()).decode())
    connection.close()
    _unpack("mlartifacts.tar.gz", folder)
    return path


def make_folder(folder: Path) -> Path:
    """The recorded file store."""
    _unpack("mlruns.tar.gz", folder)
    return folder / "mlruns"


def _unpack(name, folder):
    with tarfile.open(RECORDED / name) as archive:
        archive.extractall(folder, filter="data")


class Faults:
    """How the recorded server misbehaves: every so many requests it hangs up; `token` is what it wants to see."""

    def __init__(self, hang_up_every=0, token=""):
        self.hang_up_every = hang_up_every
        self.token = token
        self.asked = 0
        self.downloads = 0


@contextmanager
def recorded_server(faults=None):
    """An HTTP server that answers as the recorded MLflow server did; it must not be asked anything else."""
    faults = faults or Faults()
    answers = {}
    for line in gzip.decompress((RECORDED / "http.jsonl.gz").read_bytes()).splitlines():
        method, path, body, status, data = json.loads(line)
        answers[method, path, body] = status, base64.b64decode(data)

    class Replay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            faults.asked += 1
            faults.downloads += "get-artifact" in self.path
            if faults.hang_up_every and faults.asked % faults.hang_up_every == 0:
                self.close_connection = True
                return
            if faults.token and self.headers.get("Authorization") != f"Bearer {faults.token}":
                status, data = 401, b'{"message": "who are you?"}'
            else:
                status, data = answers[self.command, self.path, body]
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def import_command(home, where, *options):
    """`holdfast import mlflow`, as a command to run."""
    holdfast = [sys.executable, "-m", "holdfast.cli.main", "--home", str(home.root)]
    return [*holdfast, "import", "mlflow", "--from", str(where), *options]


def run_import(home, where, *options, environ=None):
    """The report of an import that ended well."""
    done = failed_import(home, where, "--json", *options, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def failed_import(home, where, *options, environ=None):
    """An import that may end badly."""
    command = import_command(home, where, *options)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
