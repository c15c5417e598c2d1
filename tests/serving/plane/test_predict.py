"""Predictions and labels over HTTP, against a real serving process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.base.home import Home
from holdfast.rollout.records import Variant
from holdfast.serving.log import PredictionLog
from tests.serving.plane.world import CONTRACT, KEY, ROW, Plane, deploy, served, serving, simple, value_of


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home = Home(tmp_path_factory.mktemp("home"))
    simple(home, 3, 7, 2)
    deploy(home, 1, (Variant(1, "champion", 100),), (served(home, 1, broken=True),), "broken")
    deploy(home, 1, (Variant(1, "champion", 100),), (served(home, 1, task="binary"),), "fraud")
    with serving(home) as running:
        yield running


def test_an_answer_has_the_exact_shape_and_is_in_the_log(plane: Plane) -> None:
    other = {**ROW, "temp": 3, "weather": "clear"}
    answer = plane.predict([ROW, other], id="exact-1")
    assert answer == {
        "deployment": "bikes",
        "revision": 7,
        "version": "3",
        "predictions": [
            {"id": "p_exact-1.0", "value": value_of(3)},
            {"id": "p_exact-1.1", "value": value_of(3, other)},
        ],
    }
    log = PredictionLog(plane.home).predictions(KEY).filter(request_id="exact-1")
    assert log["output"].to_list() == [value_of(3), value_of(3, other)]
    assert log["flags"].to_list() == [["temp:range"]] * 2
    assert log.select("input.store", "input.temp", "feature.weather", "role", "propensity").rows() == [
        ("s1", 0.5, 1.0, "champion", 1.0),
        ("s1", 3.0, 0.0, "champion", 1.0),
    ]


def test_ids_are_made_where_none_is_given_and_a_repeated_request_is_logged_once(plane: Plane) -> None:
    made = {plane.predict([ROW])["predictions"][0]["id"] for _ in range(5)}
    assert len(made) == 5
    assert all(name.startswith("p_") and name.endswith(".0") for name in made)
    for _ in range(3):
        assert plane.predict([ROW], id="again")["predictions"][0]["id"] == "p_again.0"
    log = PredictionLog(plane.home).predictions(KEY)
    assert log.filter(request_id="again").height == 1
    assert made <= set(log["prediction_id"])


BAD: list[tuple[Any, int, str, str | None]] = [
    (b"", 400, "invalid_json", None),
    (b"{", 400, "invalid_json", None),
    (b'{"rows": "\xff"}', 400, "invalid_json", "rows"),
    (b'{"rows":' + b"[" * 200_000, 400, "invalid_json", None),
    ([1], 400, "invalid_request", None),
    ({}, 400, "invalid_request", None),
    ({"rows": []}, 400, "invalid_rows", "rows"),
    ({"rows": 7}, 400, "invalid_rows", "rows"),
    ({"rows": [7]}, 400, "invalid_rows", "rows[0]"),
    ({"rows": [{**ROW, "temp": "warm"}]}, 400, "invalid_field", "rows[0].temp"),
    ({"rows": [ROW, {**ROW, "hr": 7.5}]}, 400, "invalid_field", "rows[1].hr"),
    ({"rows": [{**ROW, "temp": None}]}, 400, "invalid_field", "rows[0].temp"),
    (b'{"rows": [{"temp": NaN}]}', 400, "invalid_json", None),
    ({"rows": [{**ROW, "wind": 1}]}, 400, "unknown_field", "rows[0].wind"),
    ({"rows": [{**ROW, "cnt": 1}]}, 400, "unknown_field", "rows[0].cnt"),
    ({"rows": [{"temp": 0.5}]}, 400, "missing_field", "rows[0].store"),
    ({"rows": [ROW], "id": "a b"}, 400, "invalid_request", "id"),
    ({"rows": [ROW], "id": "x" * 65}, 400, "invalid_request", "id"),
    ({"rows": [ROW], "id": 7}, 400, "invalid_request", "id"),
    ({"rows": [ROW], "at": "2012-01-01T00:00:00Z"}, 400, "invalid_request", "at"),
    ({"rows": [ROW], "instances": []}, 400, "invalid_request", None),
    ({"rows": [ROW] * 100_001}, 413, "too_many_rows", "rows"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), BAD)
def test_a_callers_mistake_is_refused_with_its_place_and_logged(
    plane: Plane, body: Any, status: int, code: str, field: str | None
) -> None:
    before = PredictionLog(plane.home).read_since(KEY, None)
    found, answer = plane.post("/v1/predict/bikes", body)
    assert (found, answer["error"]["code"], answer["error"].get("field")) == (status, code, field), answer
    after = PredictionLog(plane.home).read_since(KEY, before.cursor)
    assert after.rejections.select("code", "field").rows() == [(code, field)]
    assert after.predictions.height == 0


def test_a_message_names_what_was_expected(plane: Plane) -> None:
    _, answer = plane.post("/v1/predict/bikes", {"rows": [{**ROW, "temp": "warm"}]})
    assert answer == {
        "error": {
            "code": "invalid_field",
            "message": "temp: 'warm' is not a number; rides@1 expects float in 0..1",
            "field": "rows[0].temp",
        }
    }


def test_unknown_names_paths_and_methods(plane: Plane) -> None:
    status, answer = plane.post("/v1/predict/nope", {"rows": [ROW]})
    assert (status, answer["error"]["code"]) == (404, "unknown_deployment")
    assert "bikes, broken, fraud" in answer["error"]["message"]
    assert plane.get("/v1/predict/bikes")[0] == 405
    assert plane.post("/v1/deployments/bikes", {})[0] in (404, 405)
    assert plane.call("PUT", "/v1/predict/bikes", {})[0] == 405
    assert plane.get("/nothing")[0] == 404
    assert plane.get("/v1/deployments/nope")[0] == 404
    assert plane.post("/v1/predict/b%69kes", {"rows": [ROW]})[0] == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_limit_is_refused_without_being_kept(plane: Plane, announced: bool) -> None:
    with socket.create_connection(("127.0.0.1", plane.port), timeout=20) as connection:
        head = "POST /v1/predict/bikes HTTP/1.1\r\nhost: x\r\n"
        size = 70 << 20
        if announced:
            connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode())
        else:
            connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
            chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
            try:
                for _ in range(size >> 20):
                    connection.sendall(chunk)
            except OSError:
                pass  # The answer may come, and the connection close, before everything was sent.
        assert connection.recv(200).startswith(b"HTTP/1.1 413")
    assert plane.predict([ROW])["version"] == "3"


def test_a_model_that_fails_is_an_overload_to_the_caller_and_an_error_in_the_log(plane: Plane) -> None:
    status, answer, headers = plane.call("POST", "/v1/predict/broken", {"rows": [ROW, ROW], "id": "f"})
    assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "model_failed", "1")
    log = PredictionLog(plane.home).predictions(KEY.__class__("default", "production", "broken"))
    assert log.select("prediction_id", "output", "version").rows() == [("p_f.0", None, 1), ("p_f.1", None, 1)]
    assert "finite" in log["error"][0]


def test_many_rows_are_answered_in_order(plane: Plane) -> None:
    rows = [{**ROW, "hr": number % 24} for number in range(5_000)]
    answer = plane.predict(rows)
    assert [item["value"] for item in answer["predictions"]] == [value_of(3, row) for row in rows]


def test_labels_are_in_the_log_when_they_are_accepted(plane: Plane) -> None:
    ids = [item["id"] for item in plane.predict([ROW] * 3)["predictions"]]
    body = {
        "labels": [{"id": ids[0], "value": 38, "at": "2020-01-01T00:00:00Z"}, {"id": ids[1], "value": 2.5}]
    }
    assert plane.post("/v1/labels/bikes", body) == (200, {"accepted": 2})
    labels = PredictionLog(plane.home).labels(KEY).filter(prediction_id=ids[0])
    assert labels.select("value", "known_at").rows() == [(38.0, 1_577_836_800_000_000)]
    fed = PredictionLog(plane.home).feed(KEY, 0, 2**62)
    assert set(fed["_row_id"]) >= set(ids[:2])


BAD_LABELS: list[tuple[Any, str | None]] = [
    ({"labels": []}, "labels"),
    ({"labels": [{"id": "x", "value": 1}]}, "labels[0].id"),
    ({"labels": [{"value": 1}]}, "labels[0].id"),
    ({"labels": [{"id": "p_a.0", "value": "many"}]}, "labels[0].value"),
    ({"labels": [{"id": "p_a.0"}]}, "labels[0]"),
    (b'{"labels": [{"id": "p_a.0", "value": 1e999}]}', "labels[0].value"),
    ({"labels": [{"id": "p_a.0", "value": 1, "at": "soon"}]}, "labels[0].at"),
    ({"labels": [{"id": "p_a.0", "value": 1, "at": "2999-01-01T00:00:00Z"}]}, "labels[0].at"),
    ({"labels": [{"time": "2012-01-01T00:00:00Z", "entity": {"store": "s1"}, "value": 1}]}, "labels[0].id"),
    ({"labels": [{"id": "p_a.0", "time": "2012-01-01", "value": 1}]}, "labels[0]"),
]


@pytest.mark.parametrize(("body", "field"), BAD_LABELS)
def test_wrong_labels_are_refused_together(plane: Plane, body: Any, field: str | None) -> None:
    before = PredictionLog(plane.home).read_since(KEY, None)
    if isinstance(body, dict) and body["labels"]:
        body = {"labels": [*body["labels"], {"id": "p_good.0", "value": 1}]}
    status, answer = plane.post("/v1/labels/bikes", body)
    assert (status, answer["error"].get("field")) == (400, field), answer
    assert PredictionLog(plane.home).read_since(KEY, before.cursor).labels.height == 0


def test_a_label_of_a_binary_model_is_0_or_1(plane: Plane) -> None:
    label = {"id": "p_a.0", "value": True}
    assert plane.post("/v1/labels/fraud", {"labels": [label]})[0] == 200
    status, answer = plane.post("/v1/labels/fraud", {"labels": [{**label, "value": 2}]})
    assert (status, answer["error"]["field"]) == (400, "labels[0].value")


def test_the_open_inference_protocol_answers_the_same(plane: Plane) -> None:
    inputs = [
        {"name": "store", "shape": [2], "datatype": "BYTES", "data": ["s1", "s2"]},
        {"name": "temp", "shape": [2, 1], "datatype": "FP32", "data": [[0.5], [0.25]]},
        {"name": "weather", "shape": [2, 1], "datatype": "BYTES", "data": ["rain", "snow"]},
        {"name": "hr", "shape": [2], "datatype": "INT32", "data": [7, 8]},
    ]
    expected = [value_of(3), value_of(3, {"temp": 0.25, "weather": "snow", "hr": 8})]
    status, answer = plane.post("/v2/models/bikes/infer", {"id": "oip-1", "inputs": inputs})
    assert (status, answer) == (
        200,
        {
            "model_name": "bikes",
            "model_version": "3",
            "id": "oip-1",
            "outputs": [{"name": "prediction", "shape": [2], "datatype": "FP64", "data": expected}],
            "parameters": {"revision": 7, "prediction_ids": ["p_oip-1.0", "p_oip-1.1"]},
        },
    )
    assert (
        PredictionLog(plane.home).predictions(KEY).filter(request_id="oip-1")["output"].to_list() == expected
    )
    status, pinned = plane.post("/v2/models/bikes/versions/2/infer", {"inputs": inputs})
    assert (status, pinned["model_version"], "id" in pinned) == (200, "2", False)
    assert pinned["outputs"][0]["data"] == [value - 100 for value in expected]


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"shape": [2]}, 400, "values for the shape"),
        ({"shape": [1, 2]}, 400, "has the shape"),
        ({"shape": [-1]}, 400, "has the shape"),
        ({"datatype": "BYTES"}, 400, "datatype"),
        ({"datatype": "COMPLEX"}, 400, "datatype"),
        ({"data": ["warm"]}, 400, "is not a number"),
        ({"name": "wind"}, 400, "wind"),
        ({"name": "hr"}, 400, "twice"),
    ],
)
def test_wrong_tensors_are_refused_with_a_text(plane: Plane, change: Any, status: int, text: str) -> None:
    rest = [
        {"name": "hr", "shape": [1], "datatype": "INT64", "data": [7]},
        {"name": "store", "shape": [1], "datatype": "BYTES", "data": ["s1"]},
        {"name": "weather", "shape": [1], "datatype": "BYTES", "data": ["rain"]},
    ]
    temp = {"name": "temp", "shape": [1], "datatype": "FP64", "data": [0.5]}
    assert plane.post("/v2/models/bikes/infer", {"inputs": [*rest, temp]})[0] == 200
    found, answer = plane.post("/v2/models/bikes/infer", {"inputs": [*rest, {**temp, **change}]})
    assert found == status, answer
    assert text in answer["error"]


def test_health_and_metadata(plane: Plane) -> None:
    assert plane.get("/v2/health/live") == (200, {"live": True})
    assert plane.get("/v2/health/ready") == (200, {"ready": True})
    assert plane.get("/v2")[1]["name"] == "holdfast"
    status, model = plane.get("/v2/models/bikes")
    assert (status, model["versions"], model["outputs"]) == (
        200, ["2", "3"], [{"name": "prediction", "datatype": "FP64", "shape": [-1]}],
    )  # fmt: skip
    assert [item["name"] for item in model["inputs"]] == [field.name for field in CONTRACT.request_fields()]
    assert plane.get("/v2/models/bikes/versions/2/ready") == (200, {"name": "bikes", "ready": True})
    assert plane.get("/v2/models/bikes/ready")[0] == 200
    for path in (
        "/v2/models/nope",
        "/v2/models/bikes/versions/9",
        "/v2/models/bikes/versions/x/ready",
        "/v2/x",
    ):
        status, answer = plane.get(path)
        assert (status, type(answer["error"])) == (404, str)
    assert plane.get("/v2/models/bikes/infer")[0] == 405


def test_what_a_worker_serves_is_visible(plane: Plane) -> None:
    status, answer = plane.get("/v1/deployments/bikes")
    assert status == 200
    assert answer | {"shadow_pending": 0} == {
        "deployment": "bikes", "project": "default", "environment": "production", "revision": 7, "epoch": 7,
        "origin": "server", "variants": [{"version": 3, "role": "champion", "share": 100}], "warm": [2],
        "quarantined": [], "shadow_pending": 0, "shadow_dropped": 0, "problem": None,
    }  # fmt: skip
    assert [item["deployment"] for item in plane.get("/v1/deployments")[1]["deployments"]] == [
        "bikes", "broken", "fraud",
    ]  # fmt: skip


def test_a_simulated_clock_takes_time_from_the_requests(tmp_path: Path) -> None:
    home = Home(tmp_path)
    variants = (Variant(3, "champion", 50), Variant(4, "candidate", 50), Variant(5, "shadow", 0))
    deploy(home, 1, variants, tuple(served(home, number) for number in (3, 4, 5)))
    with serving(home, "--clock", "simulated") as plane:
        assert plane.post("/v1/predict/bikes", {"rows": [ROW]})[1]["error"]["field"] == "at"
        versions = [
            plane.predict([ROW], id=f"r{hour}", at=f"2012-01-01T{hour:02}:00:00Z")["version"]
            for hour in range(24)
        ]
        assert set(versions) == {"3", "4"}
        plane.settle()
        status, answer = plane.post("/v1/labels/bikes", {"labels": [{"id": "p_r1.0", "value": 1}]})
        assert (status, answer["error"]["field"]) == (400, "labels[0].at")
        label = {"id": "p_r1.0", "value": 1, "at": "2012-01-01T02:00:00Z"}
        assert plane.post("/v1/labels/bikes", {"labels": [label]})[0] == 200
        predictions = PredictionLog(home).predictions(KEY)
        answered = predictions.filter(~predictions["shadow"])
        shadows = predictions.filter(predictions["shadow"])
        assert answered["version"].cast(str).to_list() == versions
        assert set(answered["propensity"]) == {0.5}
        assert shadows["prediction_id"].to_list() == answered["prediction_id"].to_list()
        assert shadows["at"].to_list() == answered["at"].to_list() == answered["received_at"].to_list()
        assert set(shadows["output"]) == {value_of(5)}


def test_bodies_and_answers_are_plain_json(plane: Plane) -> None:
    status, _, headers = plane.call(
        "POST", "/v1/predict/bikes", json.dumps({"rows": [ROW]}, indent=2).encode()
    )
    assert (status, headers["content-type"]) == (200, "application/json")
