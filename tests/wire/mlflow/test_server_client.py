"""What the real client asks about the server itself, and what it does about parts that holdfast does not have yet."""

from __future__ import annotations

import json
import re

import pytest

from tests.real_mlflow import mlflow

pytestmark = pytest.mark.mlflow

# What waits for prompts and traces to become nouns of our own.
_NOT_YET = re.compile(
    r"/(traces|scorers|gateway|issues|datasets|prompt-optimization|scorer|genai|demo|label-schemas|review-queues|jobs)\b|trace"
)


def test_user_code_under_tracing_runs_on_and_is_told_that_traces_are_not_kept_yet(client, tracked, caplog):
    @mlflow.trace
    def outer(value):
        with mlflow.start_span("inner") as span:
            span.set_inputs({"value": value})
            return value + 1

    with mlflow.start_run() as run:
        assert outer(3) == 4
        mlflow.log_metric("answer", 4)
    mlflow.flush_trace_async_logging(terminate=True)
    assert client.get_run(run.info.run_id).data.metrics == {"answer": 4}
    assert "holdfast does not keep traces yet" in caplog.text
    with pytest.raises(mlflow.MlflowException, match="does not keep traces yet") as refused:
        mlflow.search_traces([tracked])
    assert refused.value.error_code == "NOT_IMPLEMENTED"


def test_every_endpoint_of_the_client_is_there_or_says_not_yet(raw):
    """A path that the client knows and we do not would read as a broken server."""
    from mlflow.server.handlers import get_endpoints

    missing = []
    for path, _, methods in get_endpoints():
        # MLflow's own list has one path without its slash; workspaces are told by 404 that there are none.
        if re.search(r"/\d\.\dmlflow|/workspaces", path):
            continue
        for method in methods:
            body = None if method == "GET" else b"{}"
            status, answer = raw.send(method, re.sub(r"<[^>]*>", "x", path), body)
            said = json.loads(answer or b"null") if status != 200 else {}
            code = said.get("error_code")
            known = (
                code == "NOT_IMPLEMENTED" if _NOT_YET.search(path) or "presigned" in path else status < 500
            )
            if not known or code == "ENDPOINT_NOT_FOUND":
                missing.append((method, path, status, said))
    assert missing == []


def test_the_client_reads_what_the_server_can(tracking_url, raw):
    status, version = raw.send("GET", "/version")
    assert (status, version.decode()) == (200, mlflow.__version__)
    assert raw.send("GET", "/health")[0] == 200
    info = raw.ok("GET", "/server-info", prefix="/api/3.0/mlflow")
    assert info["workspaces_enabled"] is False
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, False)
    status, _ = raw.send("GET", "/ajax-api/3.0/mlflow/server-info")
    assert status == 200
