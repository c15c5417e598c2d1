"""Requests that no client of MLflow would send, and what a caller's mistake gets: never a 500."""

from __future__ import annotations

import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.wire.mlflow.tracking_server import Raw

INVALID = (400, "INVALID_PARAMETER_VALUE")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
NONE = "f" * 32


@pytest.fixture
def run(raw):
    return raw.ok("POST", "/runs/create", {"experiment_id": "0"})["run"]["info"]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/experiments/create", {}, INVALID),
        ("POST", "/experiments/create", {"name": 5}, INVALID),
        ("POST", "/experiments/create", {"name": "Default"}, (400, "RESOURCE_ALREADY_EXISTS")),
        ("POST", "/experiments/create", {"name": "x", "artifact_location": "a/../b"}, INVALID),
        ("POST", "/experiments/create", {"name": "x\x00"}, INVALID),
        ("GET", "/experiments/get?experiment_id=99", None, MISSING),
        ("GET", "/experiments/get?experiment_id=abc", None, INVALID),
        ("GET", "/experiments/get", None, INVALID),
        ("GET", "/experiments/get-by-name?experiment_name=none", None, MISSING),
        ("GET", "/experiments/search?max_results=x", None, INVALID),
        ("POST", "/experiments/search", {"max_results": 0}, INVALID),
        ("POST", "/experiments/search", {"view_type": "SOME"}, INVALID),
        ("POST", "/experiments/search", {"page_token": "!"}, INVALID),
        ("POST", "/experiments/delete", {"experiment_id": "99"}, MISSING),
        ("POST", "/runs/create", {"experiment_id": "99"}, MISSING),
        ("POST", "/runs/create", {"start_time": -5}, INVALID),
        ("POST", "/runs/create", {"start_time": 2**63}, INVALID),
        (
            "POST",
            "/runs/create",
            {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
            INVALID,
        ),
        ("GET", f"/runs/get?run_id={NONE}", None, MISSING),
        ("GET", "/runs/get", None, INVALID),
        ("POST", "/runs/update", {"run_id": NONE}, MISSING),
        ("POST", "/runs/search", {"experiment_ids": ["0"], "max_results": 50001}, INVALID),
        ("POST", "/runs/search", {"experiment_ids": "0"}, INVALID),
        ("POST", "/runs/search", {"experiment_ids": ["0"], "filter": "metrics.x >>"}, INVALID),
        ("POST", "/runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.x", "metrics.x"]}, INVALID),
        ("POST", "/runs/log-metric", {"run_id": NONE, "key": "a", "value": 1, "timestamp": 1}, MISSING),
        ("POST", "/runs/log-batch", {"run_id": NONE, "metrics": [{"key": "a"}]}, INVALID),
        ("POST", "/runs/log-batch", {"run_id": NONE, "metrics": 5}, INVALID),
        ("GET", f"/metrics/get-history?run_id={NONE}&metric_key=a", None, MISSING),
        ("GET", "/metrics/get-history-bulk?metric_key=a", None, INVALID),
        (
            "GET",
            f"/metrics/get-history-bulk-interval?run_ids={NONE}&metric_key=a&start_step=3",
            None,
            INVALID,
        ),
        ("GET", "/logged-models/m-nothing", None, MISSING),
        ("POST", "/logged-models", {"experiment_id": "0", "name": "a/b"}, INVALID),
        (
            "POST",
            "/logged-models/search",
            {"experiment_ids": ["0"], "order_by": [{"field_name": ";"}]},
            INVALID,
        ),
        ("GET", f"/artifacts/list?run_id={NONE}", None, MISSING),
        ("GET", "/nothing/at-all", None, (404, "ENDPOINT_NOT_FOUND")),
        ("DELETE", "/runs/create", {}, (404, "ENDPOINT_NOT_FOUND")),
        ("GET", "/traces?experiment_ids=0", None, (501, "NOT_IMPLEMENTED")),
    ],
)
def test_a_mistake_gets_the_code_and_status_of_mlflow(raw, method, path, body, expected):
    status, answer = raw.call(method, path, body)
    assert (status, answer["error_code"]) == expected
    assert answer["message"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"run_id": ' + b"[" * 100_000],
)
def test_what_is_not_json_is_refused(raw, body):
    for path in ("/runs/log-metric", "/runs/search", "/runs/log-batch", "/experiments/create"):
        status, answer = raw.send("POST", f"/api/2.0/mlflow{path}", body)
        assert (status, json.loads(answer)["error_code"]) in (INVALID, (400, "BAD_REQUEST"))


@pytest.mark.parametrize("field", ["run_id", "key", "value", "timestamp", "step"])
def test_a_metric_of_wrong_types_is_refused(raw, run, field):
    good = {"run_id": run["run_id"], "key": "a", "value": 1.0, "timestamp": 5, "step": 1}
    for bad in ({}, [], True, 10**400, "x\x00", [1], {"a": 1}):
        status, answer = raw.call("POST", "/runs/log-metric", {**good, field: bad})
        assert status in (400, 404), (field, bad, answer)
    raw.ok("POST", "/runs/log-metric", {key: value for key, value in good.items() if key != "step"})


def test_json_may_be_spelled_as_protocol_buffers_allow(raw, run):
    run_id = run["run_id"]
    raw.ok(
        "POST",
        "/runs/log-metric",
        {"runId": run_id, "key": "a", "value": "NaN", "timestamp": "5", "step": "7"},
    )
    raw.ok(
        "POST", "/runs/log-metric", {"run_uuid": run_id, "key": "b", "value": 1, "timestamp": 5, "step": None}
    )
    body = f'{{"run_id": "{run_id}", "key": "c", "value": -Infinity, "timestamp": 5}}'.encode()
    assert raw.send("POST", "/ajax-api/2.0/mlflow/runs/log-metric", body)[0] == 200
    assert raw.ok("POST", "/runs/search", {"experimentIds": ["0"], "maxResults": "1"})["runs"]
    metrics = raw.ok("GET", f"/runs/get?run_uuid={run_id}", prefix="/api/2.0/preview/mlflow")["run"]["data"][
        "metrics"
    ]
    assert [(metric["key"], metric["value"], metric["step"]) for metric in metrics] == [
        ("a", "NaN", 7),
        ("b", 1.0, 0),
        ("c", "-Infinity", 0),
    ]


def test_a_dataset_named_again_keeps_what_was_said_of_it(raw, run):
    dataset = {"name": "rides", "digest": "d1", "source_type": "local", "source": "{}"}
    for tags in ([{"key": "mlflow.data.context", "value": "training"}], []):
        body = {"run_id": run["run_id"], "datasets": [{"dataset": dataset, "tags": tags}]}
        raw.ok("POST", "/runs/log-inputs", body)
    (given,) = raw.ok("GET", f"/runs/get?run_id={run['run_id']}")["run"]["inputs"]["dataset_inputs"]
    assert given["tags"] == [{"key": "mlflow.data.context", "value": "training"}]


def test_histories_of_many_runs(raw):
    ids = [raw.ok("POST", "/runs/create", {})["run"]["info"]["run_id"] for _ in range(2)]
    for run_id in ids:
        points = [
            {"key": "m", "value": step / 2, "timestamp": 1000 - step, "step": step} for step in range(900)
        ]
        raw.ok("POST", "/runs/log-batch", {"run_id": run_id, "metrics": points})
    both = "&".join(f"run_id={run_id}" for run_id in ids)
    found = raw.ok("GET", f"/metrics/get-history-bulk?{both}&metric_key=m&max_results=1000")["metrics"]
    assert len(found) == 1000
    assert [point["run_id"] for point in found] == sorted(point["run_id"] for point in found)
    assert found[0]["timestamp"] == 101
    asked = "&".join(f"run_ids={run_id}" for run_id in ids)
    found = raw.ok(
        "GET",
        f"/metrics/get-history-bulk-interval?{asked}&metric_key=m&start_step=10&end_step=500&max_results=20",
    )["metrics"]
    steps = [point["step"] for point in found if point["run_id"] == ids[0]]
    assert (steps[0], steps[-1], len(steps)) == (10, 500, 20)
    pages, token = [], ""
    while True:
        page = raw.ok(
            "GET", f"/metrics/get-history?run_id={ids[0]}&metric_key=m&max_results=400&page_token={token}"
        )
        pages.extend(point["step"] for point in page["metrics"])
        token = page.get("next_page_token", "")
        if not token:
            break
    assert pages == list(range(900))


PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "..",
        "%2e%2e/x",
        "a/%2e%2e/x",
        "%252e%252e/x",
        "a%5c..%5cx",
        "%2Fetc/passwd",
        "/etc/passwd",
        "C:/x",
        "a/b%00c",
        "a%0ab",
        "file:///etc/passwd",
        "~/x",
    ],
)
def test_paths_that_lead_out_are_refused(raw, run, path, tracking_home):
    for method in ("PUT", "GET", "DELETE"):
        status, answer = raw.send(method, f"{PROXY}/{path}", b"x" if method == "PUT" else None)
        assert status in (400, 404), (method, answer)
        assert json.loads(answer)["error_code"]
    status, _ = raw.send("GET", f"{PROXY}?path={path}")
    assert status == 400
    for address in (
        f"/get-artifact?run_id={run['run_id']}&path={path}",
        f"/api/2.0/mlflow/artifacts/list?run_id={run['run_id']}&path={path}",
    ):
        assert raw.send("GET", address)[0] == 400
    assert not (tracking_home.root.parent / "x").exists()


def test_files_are_written_listed_read_and_deleted(raw, run):
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path, data in (("a.txt", b"one"), ("d/e/f.txt", b"two"), ("d/g.html", b"<script>")):
        assert raw.send("PUT", f"{PROXY}/{root}/{path}", data)[0] == 200
    listed = raw.ok("GET", f"/artifacts/list?run_id={run['run_id']}&path=d")
    assert listed["files"] == [
        {"path": "d/e", "is_dir": True},
        {"path": "d/g.html", "is_dir": False, "file_size": 8},
    ]
    raw.connection.request("GET", f"/get-artifact?run_uuid={run['run_id']}&path=d/g.html")
    answer = raw.connection.getresponse()
    assert (answer.read(), answer.headers["x-content-type-options"]) == (b"<script>", "nosniff")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert raw.send("PUT", f"{PROXY}/{root}/a.txt", b"three")[0] == 200
    assert raw.send("GET", f"{PROXY}/{root}/a.txt") == (200, b"three")
    for clash in ("d", "a.txt/x"):
        status, answer = raw.send("PUT", f"{PROXY}/{root}/{clash}", b"x")
        assert (status, json.loads(answer)["error_code"]) == INVALID
    assert raw.send("DELETE", f"{PROXY}/{root}/d")[0] == 200
    listed = raw.ok("GET", f"/artifacts/list?run_id={run['run_id']}")
    assert [item["path"] for item in listed["files"]] == ["a.txt"]
    assert raw.send("GET", f"{PROXY}/{root}/d/g.html")[0] == 404


def test_a_client_that_hangs_up_leaves_nothing(raw, run, tracking_url, tracking_home):
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    parts = urlsplit(tracking_url)
    for head in (b"Content-Length: 5000000\r\n", b"Transfer-Encoding: chunked\r\n"):
        with socket.create_connection((parts.hostname, parts.port)) as plug:
            plug.sendall(
                b"PUT %s/%s/big HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (PROXY.encode(), root.encode(), head)
            )
            chunk = b"x" * 65536
            plug.sendall(b"10000\r\n" + chunk + b"\r\n" if b"chunked" in head else chunk * 4)
    deadline = time.monotonic() + 10
    while list(tracking_home.blobs.glob(".incoming-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(tracking_home.blobs.glob(".incoming-*"))
    assert "files" not in raw.ok("GET", f"/artifacts/list?run_id={run['run_id']}")


def test_bodies_of_other_endpoints_are_bounded(raw, run, tracking_url):
    parts = urlsplit(tracking_url)
    with socket.create_connection((parts.hostname, parts.port)) as plug:
        plug.sendall(
            b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000000\r\n\r\n"
        )
        answer = plug.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"error_code" in answer
    status, answer = raw.send("GET", "/version")
    assert (status, answer.decode().split(".")[0]) == (200, "3")


def test_uploads_in_parts(raw, run):
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    base = "/api/2.0/mlflow-artifacts/mpu"

    def begin():
        return raw.ok("POST", f"/create/{root}", {"path": "/home/me/big.bin", "num_parts": 3}, prefix=base)

    begun = begin()
    upload = begun["upload_id"]
    sent = []
    for credential in begun["credentials"]:
        path = urlsplit(credential["url"]).path
        assert raw.send("PUT", path, b"%d" % credential["part_number"] * 5)[0] == 200
        sent.append({"part_number": credential["part_number"], "etag": "x"})
    done = {"path": "/home/me/big.bin", "upload_id": upload, "parts": sent}
    assert raw.call("POST", f"/complete/{root}", {**done, "path": "other"}, prefix=base)[0] == 400
    assert raw.call("POST", f"/complete/{root}", {**done, "parts": []}, prefix=base)[0] == 400
    raw.ok("POST", f"/complete/{root}", done, prefix=base)
    assert raw.send("GET", f"{PROXY}/{root}/big.bin") == (200, b"111112222233333")
    assert raw.call("POST", f"/complete/{root}", done, prefix=base)[0] == 404
    left = begin()
    assert (
        raw.call("POST", f"/complete/{root}", {**done, "upload_id": left["upload_id"]}, prefix=base)[0] == 400
    )
    raw.ok("POST", f"/abort/{root}", {"path": "big.bin", "upload_id": left["upload_id"]}, prefix=base)
    assert raw.send("PUT", urlsplit(left["credentials"][0]["url"]).path, b"x")[0] == 404
    assert raw.send("PUT", f"{base}/parts/../1", b"x")[0] in (400, 404)


def test_clients_that_log_at_once_lose_nothing(tracking_url, raw, run):
    def log(worker):
        one = Raw(tracking_url)
        for step in range(40):
            one.ok(
                "POST",
                "/runs/log-metric",
                {"run_id": run["run_id"], "key": f"m{worker}", "value": step, "timestamp": 1, "step": step},
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log, range(8)))
    for worker in range(8):
        history = raw.ok("GET", f"/metrics/get-history?run_id={run['run_id']}&metric_key=m{worker}")[
            "metrics"
        ]
        assert [point["step"] for point in history] == list(range(40))


def test_random_requests_never_break_the_server(raw, run):
    """Every endpoint gets random values for its fields, among them wrong types."""
    rng = random.Random(17)
    values = [
        None,
        "",
        "0",
        run["run_id"],
        -1,
        2**70,
        1.5,
        True,
        [],
        ["0"],
        {},
        [{}],
        "a" * 9000,
        "x\x00",
        "metrics.a",
    ]
    fields = [
        "experiment_id",
        "run_id",
        "key",
        "value",
        "name",
        "new_name",
        "filter",
        "order_by",
        "max_results",
    ]
    fields += [
        "tags",
        "params",
        "metrics",
        "page_token",
        "model_id",
        "datasets",
        "models",
        "status",
        "timestamp",
    ]
    paths = ["experiments/create", "experiments/search", "experiments/update", "runs/create", "runs/update"]
    paths += [
        "runs/search",
        "runs/log-batch",
        "runs/log-metric",
        "runs/set-tag",
        "runs/log-inputs",
        "runs/outputs",
    ]
    paths += ["logged-models", "logged-models/search", "runs/log-model", "experiments/set-experiment-tag"]
    for _ in range(400):
        body = {field: rng.choice(values) for field in rng.sample(fields, rng.randrange(len(fields)))}
        path = rng.choice(paths)
        status, answer = raw.call("POST", f"/{path}", body)
        assert status < 500, (path, body, answer)
