"""The folder of a version that holdfast trained: found by MLflow's paths, and predicting as the data plane does."""

from __future__ import annotations

import json
import os
import signal
from urllib.parse import quote, urlsplit

import polars as pl
import pytest
import yaml

from holdfast.base.errors import InvalidError
from holdfast.base.home import Home
from holdfast.registry.pyfunc import _load_pyfunc
from tests.wire.mlflow.tracking_server import Raw
from tests.wire.mlflow.trained import names, rows, served, train_and_serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    found = Home(folder / "home")
    started = train_and_serve(found, folder)
    yield found
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def raw(home):
    return Raw(home.server().url)


def download(raw, uri, folder):
    """Fetches an mlflow-artifacts: folder as a client does."""
    root = urlsplit(uri).path.strip("/")
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        status, body = raw.send(
            "GET", f"/api/2.0/mlflow-artifacts/artifacts?path={quote(f'{root}/{inside}'.strip('/'))}"
        )
        assert status == 200, body
        for item in json.loads(body).get("files", ()):
            path = f"{inside}/{item['path']}".strip("/")
            if item["is_dir"]:
                waiting.append(path)
                continue
            status, content = raw.send(
                "GET", f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{root}/{path}')}"
            )
            assert (status, len(content)) == (200, item["file_size"])
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", names())
def test_a_downloaded_version_predicts_as_the_data_plane_does(home, raw, tmp_path, name):
    version = raw.ok("GET", f"/registered-models/alias?name={name}&alias=champion")["model_version"][
        "version"
    ]
    uri = raw.ok("GET", f"/model-versions/get-download-uri?name={name}&version={version}")["artifact_uri"]
    folder = download(raw, uri, tmp_path)
    told = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = told["flavors"]["python_function"]
    assert flavor["loader_module"] == "holdfast.registry.pyfunc"
    assert (folder / "requirements.txt").read_text().startswith("holdfast")
    inputs = {
        item["name"]: (item["type"], item["required"]) for item in json.loads(told["signature"]["inputs"])
    }
    assert inputs["price"] == ("double", True) and inputs["weight"] == ("double", False)
    assert inputs["count"] == ("long", True) and inputs["kind"] == ("string", True)
    model = _load_pyfunc(str(folder / flavor["data"]))
    asked = rows()
    assert model.predict(pl.DataFrame(asked)).tolist() == served(home, name, asked)
    with pytest.raises(InvalidError, match="needs the columns kind"):
        model.predict(pl.DataFrame(asked).drop("kind"))


def test_files_of_a_version_are_found_by_its_number_and_nothing_can_be_put_beside_them(raw):
    status, content = raw.send("GET", "/model-versions/get-artifact?name=trees&version=1&path=MLmodel")
    assert (status, b"holdfast.registry.pyfunc" in content) == (200, True)
    files = "/api/2.0/mlflow-artifacts/artifacts"
    for method, path, expected in [
        ("PUT", f"{files}/registry/trees/1/MLmodel", 400),
        ("PUT", f"{files}/registry/trees/9/new", 400),
        ("GET", f"{files}/registry/trees/1/nothing", 404),
        ("GET", f"{files}/registry/trees/99/MLmodel", 404),
        ("GET", f"{files}/registry/trees/1/../../../MLmodel", 400),
    ]:
        status, body = raw.send(method, path, b"x" if method == "PUT" else None)
        assert status == expected, (method, path, body)
