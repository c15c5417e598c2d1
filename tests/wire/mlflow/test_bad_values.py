"""Values that no client of MLflow would send: over-long, of wrong kinds, not storable, or made to cost much."""

from __future__ import annotations

import json
import time

import pytest

from tests.wire.mlflow.tracking_server import Raw

INVALID = (400, "INVALID_PARAMETER_VALUE")
BAD = (400, "BAD_REQUEST")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
HALF, NUL = "\ud800", "\x00"
HUGE = str(10**25)
HOOK = {"name": "a", "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}


@pytest.fixture(scope="module")
def run_id(tracking_url):
    return Raw(tracking_url).ok("POST", "/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]


@pytest.fixture(scope="module", autouse=True)
def registered(tracking_url):
    raw = Raw(tracking_url)
    raw.ok("POST", "/registered-models/create", {"name": "bikes"})
    raw.ok("POST", "/model-versions/create", {"name": "bikes", "source": "models:/m-1"})


def pairs(count, key="k"):
    return [{"key": f"{key}{number}", "value": "1"} for number in range(count)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/experiments/create", {"name": "x" * 501}),
        ("/experiments/create", {"name": "a", "tags": [{"key": "k", "value": "v" * 20_001}]}),
        ("/experiments/create", {"name": "a", "artifact_location": "x" * 2_049}),
        ("/experiments/create", {"name": "a", "artifact_location": "mlflow-artifacts:/%2e%2e/x"}),
        ("/experiments/create", {"name": "a", "artifact_location": "http://[::1/x"}),
        ("/runs/log-metric", {"key": "k" * 251, "value": 1, "timestamp": 1}),
        ("/runs/log-metric", {"key": "../k", "value": 1, "timestamp": 1}),
        ("/runs/log-metric", {"key": "k", "value": 1, "timestamp": 2**62}),
        ("/runs/log-metric", {"key": "k", "value": 1, "timestamp": 1, "step": 2**63}),
        ("/runs/log-parameter", {"key": "k", "value": "v" * 6_001}),
        ("/runs/log-parameter", {"key": "k" * 251, "value": "v"}),
        ("/runs/set-tag", {"key": "k", "value": "v" * 8_001}),
        ("/runs/log-batch", {"metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}] * 1_001}),
        ("/runs/log-batch", {"params": pairs(101)}),
        ("/runs/log-batch", {"tags": pairs(101)}),
        ("/runs/update", {"run_name": "x" * 8_001}),
        ("/runs/log-model", {"model_json": "{"}),
        ("/runs/log-inputs", {"datasets": [{"dataset": {"name": "n" * 501, "digest": "d"}}]}),
        (
            "/runs/log-inputs",
            {"datasets": [{"dataset": {"name": "n", "digest": "d", "source_type": "l" * 501}}]},
        ),
        ("/logged-models", {"experiment_id": "0", "name": "m" * 501}),
        ("/logged-models", {"experiment_id": "0", "name": "m", "model_type": "t" * 501}),
        ("/logged-models", {"experiment_id": "0", "name": "m", "source_run_id": "r" * 251}),
        (
            "/logged-models",
            {"experiment_id": "0", "name": "m", "params": [{"key": "k", "value": "v" * 6_001}]},
        ),
        ("/registered-models/create", {"name": "x" * 257}),
        ("/registered-models/create", {"name": "x", "description": "d" * 100_001}),
        ("/registered-models/create", {"name": "x", "tags": [{"key": "k" * 251, "value": "v"}]}),
        ("/registered-models/create", {"name": "x", "tags": [{"key": "k", "value": "v" * 100_001}]}),
        ("/registered-models/alias", {"name": "bikes", "alias": "a" * 256, "version": "1"}),
        ("/registered-models/alias", {"name": "bikes", "alias": "a", "version": HUGE}),
        ("/model-versions/create", {"name": "bikes", "source": "x" * 100_000}),
        ("/model-versions/create", {"name": "bikes", "source": "models:/m-1", "description": "d" * 100_001}),
        ("/webhooks", HOOK | {"url": "http://127.0.0.1:1/" + "x" * 2_048}),
        ("/webhooks", HOOK | {"url": "http://127.0.0.1:1/\r\nX-Injected: yes"}),
        ("/webhooks", HOOK | {"url": "http://[::1/"}),
        ("/webhooks", HOOK | {"url": "http://127.0.0.1:99999/"}),
        ("/webhooks", HOOK | {"url": "http://127.0.0.1:1/", "name": "x" * 257}),
        (
            "/webhooks",
            HOOK | {"url": "http://127.0.0.1:1/", "events": [{"entity": "DOG", "action": "BARKED"}]},
        ),
    ],
)
def test_over_long_and_illegal_values_are_refused(raw, run_id, path, body):
    status, answer = raw.call("POST", path, {"run_id": run_id, **body} if path.startswith("/runs") else body)
    assert (status, answer["error_code"]) == INVALID, answer
    assert 0 < len(answer["message"]) < 2_000 or path in ("/model-versions/create", "/experiments/create")


def test_values_of_exactly_the_greatest_length_are_kept(raw, run_id):
    raw.ok("POST", "/runs/log-parameter", {"run_id": run_id, "key": "k" * 250, "value": "ü" * 6_000})
    raw.ok("POST", "/runs/set-tag", {"run_id": run_id, "key": "k" * 250, "value": "ü" * 8_000})
    raw.ok(
        "POST",
        "/runs/log-metric",
        {"run_id": run_id, "key": "m", "value": 1, "timestamp": 1, "step": 2**63 - 1},
    )
    raw.ok(
        "POST",
        "/runs/log-metric",
        {"run_id": run_id, "key": "m", "value": 2, "timestamp": 1, "step": -(2**63)},
    )
    steps = [
        point["step"]
        for point in raw.ok("GET", f"/metrics/get-history?run_id={run_id}&metric_key=m")["metrics"]
    ]
    assert sorted(steps) == [-(2**63), 2**63 - 1]
    name = "n" * 256
    raw.ok("POST", "/registered-models/create", {"name": name})
    raw.ok("POST", "/model-versions/create", {"name": name, "source": "models:/m-1"})
    raw.ok("POST", "/registered-models/alias", {"name": name, "alias": "a" * 255, "version": "1"})


@pytest.mark.parametrize("text", [HALF, f"a{NUL}b", "\udfff after"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/experiments/create", {"name": "?"}),
        ("/experiments/create", {"name": "a", "artifact_location": "?"}),
        ("/experiments/create", {"name": "a", "tags": [{"key": "k", "value": "?"}]}),
        ("/runs/create", {"experiment_id": "0", "run_name": "?"}),
        ("/runs/create", {"experiment_id": "0", "user_id": "?"}),
        ("/runs/log-metric", {"run_id": "?", "key": "k", "value": 1, "timestamp": 1}),
        ("/runs/log-parameter", {"run_id": "RUN", "key": "k", "value": "?"}),
        ("/runs/set-tag", {"run_id": "RUN", "key": "k", "value": "?"}),
        ("/runs/log-batch", {"run_id": "RUN", "params": [{"key": "k", "value": "?"}]}),
        ("/runs/search", {"experiment_ids": ["0"], "filter": "params.a = '?'"}),
        (
            "/runs/log-inputs",
            {"run_id": "RUN", "datasets": [{"dataset": {"name": "n", "digest": "d", "source": "?"}}]},
        ),
        ("/runs/log-inputs", {"run_id": "RUN", "models": [{"model_id": "?"}]}),
        ("/logged-models", {"experiment_id": "0", "name": "m", "model_type": "?"}),
        ("/registered-models/create", {"name": "?"}),
        ("/registered-models/create", {"name": "x", "description": "?"}),
        ("/model-versions/create", {"name": "bikes", "source": "models:/m-1", "run_id": "?"}),
        ("/webhooks", HOOK | {"url": "http://127.0.0.1:1/", "secret": "?"}),
    ],
)
def test_characters_that_no_database_keeps_are_refused_at_the_door(raw, run_id, path, body, text):
    status, answer = raw.call(
        "POST", path, json.loads(json.dumps(body).replace("RUN", run_id)) | replaced(body, text)
    )
    assert (status, answer["error_code"]) == INVALID, answer
    assert "is no character that can be kept" in answer["message"]


def replaced(value, text):
    """The fields that hold a question mark, with the text in its place."""
    if isinstance(value, dict):
        found = {key: replaced(item, text) for key, item in value.items()}
        return {key: item for key, item in found.items() if value[key] != item}
    if isinstance(value, list):
        return [{**item, **replaced(item, text)} if isinstance(item, dict) else item for item in value]
    return value.replace("?", text) if isinstance(value, str) else value


def test_text_that_only_looks_like_an_escape_is_kept(raw, run_id):
    for value in ("\\u0000", "C:\\ud800", "é ✓ 😀"):
        raw.ok("POST", "/runs/set-tag", {"run_id": run_id, "key": "looks", "value": value})
        tags = raw.ok("GET", f"/runs/get?run_id={run_id}")["run"]["data"]["tags"]
        assert value in [tag["value"] for tag in tags]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"/experiments/get?experiment_id={HUGE}", INVALID),
        ("GET", "/experiments/get?experiment_id=-1", INVALID),
        ("GET", "/experiments/get?experiment_id=%ff", INVALID),
        ("GET", "/experiments/get?experiment_id=%C2%B2", INVALID),
        ("GET", f"/model-versions/get?name=bikes&version={HUGE}", INVALID),
        ("GET", "/model-versions/get?name=bikes&version=7", MISSING),
        ("GET", "/model-versions/get?name=none&version=1", MISSING),
        ("GET", "/registered-models/get?name=none", MISSING),
        ("GET", "/registered-models/search?max_results=0", INVALID),
        ("GET", "/registered-models/search?order_by=colour", INVALID),
        ("GET", "/model-versions/search?max_results=x", INVALID),
        ("GET", "/model-versions/search?page_token=%ff%fe", INVALID),
        ("GET", "/metrics/get-history?run_id=RUN&metric_key=a&page_token=AAAA", INVALID),
        ("GET", f"/metrics/get-history?run_id=RUN&metric_key=a&max_results={HUGE}", INVALID),
        (
            "GET",
            "/metrics/get-history-bulk-interval?run_ids=RUN&metric_key=a&start_step=5&end_step=1",
            INVALID,
        ),
        ("GET", "/webhooks/none", MISSING),
        ("GET", "/webhooks?max_results=-1", INVALID),
        ("POST", "/webhooks/none/test", MISSING),
        ("DELETE", "/webhooks/none", MISSING),
        ("DELETE", "/logged-models/m-" + "0" * 32, MISSING),
        ("PATCH", "/logged-models/m-" + "0" * 32 + "/tags", MISSING),
        ("DELETE", "/registered-models/alias?name=none&alias=a", INVALID),
    ],
)
def test_unknown_ids_and_numbers_out_of_range(raw, run_id, method, path, expected):
    status, answer = raw.call(
        method, path.replace("RUN", run_id), {} if method in ("PATCH", "POST") else None
    )
    assert (status, answer["error_code"]) == expected, answer


@pytest.mark.parametrize(
    "prefix", ["/p/" + "x" * 300, "/p/%00", "/p/..", "/p/%ff", "/p/a%20b", "/p/%F0%9F%98%80", "/p/%2e%2e"]
)
def test_names_that_no_project_has_are_refused(raw, prefix):
    status, answer = raw.call("POST", "/runs/create", {}, prefix=f"{prefix}/api/2.0/mlflow")
    assert (status, answer["error_code"]) == INVALID


@pytest.mark.parametrize("header", ["X-Holdfast-Project", "X-Holdfast-Actor"])
@pytest.mark.parametrize("value", ["\xff", "a/b", "x" * 5_000])
def test_headers_that_name_nobody_are_refused(raw, header, value):
    status, answer = raw.send("POST", "/api/2.0/mlflow/runs/create", b"{}", {header: value})
    assert (status, json.loads(answer)["error_code"]) == INVALID


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "(" * 50_000 + "metrics.a > 1" + ")" * 50_000},
        {"filter": " OR ".join(f"params.m{number} = '0'" for number in range(5_000))},
        {"filter": f"attributes.run_id IN ({','.join(repr(str(number)) for number in range(50_000))})"},
        {"filter": "x" * 1_000_000},
        {"order_by": [f"metrics.m{number}" for number in range(100)]},
        {"order_by": [f"params.m{number}" for number in range(2_500)]},
        {"page_token": "a" * 100_000},
        {"max_results": -1},
    ],
)
def test_searches_that_ask_for_too_much_are_refused_at_once(raw, body):
    for path in ("/runs/search", "/logged-models/search"):
        asked = {"experiment_ids": ["0"], **body}
        if "order_by" in body and path == "/logged-models/search":
            asked["order_by"] = [{"field_name": text} for text in body["order_by"]]
        if "max_results" in body or "filter" in body or "order_by" in body or path == "/runs/search":
            begun = time.monotonic()
            status, answer = raw.call("POST", path, asked)
            assert (status, answer["error_code"]) == INVALID, answer
            assert time.monotonic() - begun < 10


def test_searches_that_are_large_and_legal_are_answered_in_time(raw, run_id):
    raw.ok("POST", "/runs/log-parameter", {"run_id": run_id, "key": "a", "value": "a" * 6_000})
    for filter_ in (
        " AND ".join(f"metrics.m{number} > 0" for number in range(50)),
        "params.a LIKE '" + "%a" * 60 + "b'",
        "params.a ILIKE '" + "%_a" * 60 + "b'",
        f"attributes.start_time > {HUGE}",
        "metrics.a > 1e999",
    ):
        begun = time.monotonic()
        raw.ok("POST", "/runs/search", {"experiment_ids": ["0"], "filter": filter_})
        assert time.monotonic() - begun < 10, filter_[:40]


def test_a_pattern_of_many_wildcards_does_not_hold_the_registry_up(raw):
    raw.ok("POST", "/registered-models/create", {"name": "a" * 250})
    for pattern, found in (
        ("%25a" * 30 + "b", 0),
        ("%25a" * 30, 1),
        ("%25_a_" * 20 + "%25", 1),
        ("a" * 250, 1),
    ):
        begun = time.monotonic()
        answer = raw.ok("GET", f"/registered-models/search?filter=name%20LIKE%20'{pattern}'")
        assert len(answer.get("registered_models", [])) == found
        assert time.monotonic() - begun < 10
    for nested in ("(" * 5_000, "NOT%20" * 5_000, "(" * 60 + "name='a'" + ")" * 60):
        status, answer = raw.call("GET", f"/registered-models/search?filter={nested}")
        assert (status, answer["error_code"]) == INVALID
        assert len(answer["message"]) < 500


@pytest.mark.parametrize("depth", [100, 400, 800, 990, 1_200, 50_000])
def test_deep_json_is_refused_or_passed_over(raw, depth):
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        body = f'{{"experiment_id": "0", "extra": {opened * depth}{"1" if closed == "}" else ""}{closed * depth}}}'
        for text in (body, body.replace("extra", "exTra")):
            status, answer = raw.send("POST", "/api/2.0/mlflow/runs/create", text.encode())
            assert status == 200 or (status, json.loads(answer)["error_code"]) in (INVALID, BAD), answer


@pytest.mark.parametrize(
    "source",
    [
        "http://[::1/x",
        "models:/bikes/99999999999999999999",
        "mlflow-artifacts:/0/%2e%2e/%2e%2e/etc",
        "runs:/x",
    ],
)
def test_sources_that_lead_nowhere_say_so(raw, source):
    status, answer = raw.call("POST", "/model-versions/create", {"name": "bikes", "source": source})
    if status == 200:
        version = answer["model_version"]["version"]
        status, body = raw.send(
            "GET", f"/model-versions/get-artifact?name=bikes&version={version}&path=MLmodel"
        )
        answer = json.loads(body)
    assert 400 <= status < 500, answer
    assert answer["error_code"] in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_CONFLICT")
