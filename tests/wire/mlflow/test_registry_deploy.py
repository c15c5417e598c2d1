"""A model that a plain MLflow script logged is deployed, served, traced and loaded again, by real processes."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from holdfast.base.home import Home
from holdfast.cli.session import start_process
from tests.real_mlflow import mlflow, pd, use_server
from tests.server.conftest import holdfast
from tests.wire.mlflow.tracking_server import server_arguments

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]

RNG = np.random.default_rng(1)
X = pd.DataFrame(RNG.standard_normal((200, 3)), columns=["temp", "wind", "hum"])
Y = X["temp"] * 3 - X["wind"] + RNG.standard_normal(200) * 0.1


PLAIN_SCRIPT = """
import lightgbm, mlflow, pandas, sys

frame = pandas.read_csv(sys.argv[1])
inputs, label = frame.drop(columns="label"), frame["label"]
mlflow.set_experiment("plain-script")
with mlflow.start_run(run_name="nightly") as run:
    model = lightgbm.LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1).fit(inputs, label)
    mlflow.log_params({"n_estimators": 10})
    mlflow.log_metric("accuracy", model.score(inputs, label))
    logged = mlflow.lightgbm.log_model(model.booster_, name="model", pip_requirements=[], input_example=inputs.head(2))
    mlflow.register_model(logged.model_uri, "churn")
    print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory, ledger_location):
    """A home with its server and its serving process, and MLflow pointed at it."""
    home = Home(tmp_path_factory.mktemp("deploy") / "home")
    started = [
        start_process(home, "server", server_arguments(ledger_location), home.server, detached=True),
        start_process(home, "serve", ["--port", "0"], home.serving, detached=True),
    ]
    use_server(home.server().url)
    mlflow.set_experiment("plain-script")
    yield home
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def log(name, model, **fields):
    """What a plain training script does; returns the run's id."""
    with mlflow.start_run() as run:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("mae", 0.25)
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=name,
            input_example=X.head(3),
            pip_requirements=[],
            **fields,
        )
    return run.info.run_id


def predict(home, name, row):
    return post(home, f"/v1/predict/{name}", {"rows": [row]})


def ask(home, name, rows):
    return post(home, f"/v1/predict/{name}", {"rows": rows.to_dict("records")})


def post(home, path, body):
    address = urlsplit(home.serving().url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_skops_model_is_deployed_served_traced_and_loaded_by_its_alias(home):
    model = LinearRegression().fit(X, Y)
    run_id = log("bikes", model, serialization_format="skops")
    done = holdfast(home, "deploy", "bikes", "--reason", "the first one")
    assert (done.returncode, done.stderr) == (0, "")
    row = X.iloc[0].to_dict()
    status, answer = eventually(lambda: predict(home, "bikes", row), lambda found: found[0] == 200)
    assert answer["predictions"][0]["value"] == pytest.approx(model.predict(X.head(1))[0], rel=1e-4)
    status, refused = predict(home, "bikes", row | {"temp": "warm"})
    assert (status, "temp" in refused["error"]["message"]) == (400, True)
    traced = json.loads(holdfast(home, "trace", "bikes", "--json").stdout)
    assert (traced["run"]["run_id"], traced["run"]["metrics"]) == (run_id, {"mae": 0.25})
    assert (traced["in_production"], traced["live_because"]["reason"]) == (True, "the first one")
    assert f"tracking/run/{run_id}" in {edge["source"] for edge in traced["lineage"]["upstream"]}
    said = holdfast(home, "trace", "bikes")
    assert (said.returncode, run_id in said.stdout) == (0, True)
    status = holdfast(home, "status", "bikes")
    assert (status.returncode, "bikes" in status.stdout) == (0, True)
    loaded = mlflow.pyfunc.load_model("models:/bikes@champion")
    np.testing.assert_allclose(loaded.predict(X.head(5)), model.predict(X.head(5)))


def test_a_lightgbm_model_of_a_plain_script_is_deployed_and_traced_to_its_run(home, tmp_path):
    (tmp_path / "train.py").write_text(PLAIN_SCRIPT)
    X.assign(label=(Y > 0).astype(int)).to_csv(tmp_path / "churn.csv", index=False)
    # Nothing of holdfast is on the script's path: it knows an address, and MLflow.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = subprocess.run(
        [sys.executable, "train.py", "churn.csv"],
        env=environment | {"MLFLOW_TRACKING_URI": home.server().url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert script.returncode == 0, script.stderr
    run_id = script.stdout.split()[-1]
    done = holdfast(home, "deploy", "churn")
    assert (done.returncode, done.stderr) == (0, "")
    _, answer = eventually(lambda: predict(home, "churn", X.iloc[0].to_dict()), lambda found: found[0] == 200)
    booster = mlflow.lightgbm.load_model("models:/churn@champion")
    assert answer["predictions"][0]["value"] == pytest.approx(booster.predict(X.head(1))[0])
    traced = json.loads(holdfast(home, "trace", "churn", "--json").stdout)
    assert (traced["run"]["run_id"], traced["run"]["name"]) == (run_id, "nightly")
    assert traced["run"]["parameters"]["n_estimators"] in (10, "10")


def test_champion_asked_for_by_the_client_is_granted_by_deploying_it(home):
    client = mlflow.MlflowClient()
    for _ in range(2):
        log("asked", LinearRegression().fit(X, Y), serialization_format="skops")
    assert holdfast(home, "deploy", "asked", "--version", "1").returncode == 0
    with pytest.raises(mlflow.MlflowException, match="deploy it with `holdfast deploy asked --version 2`"):
        client.set_registered_model_alias("asked", "champion", "2")
    assert int(client.get_model_version_by_alias("asked", "champion").version) == 1
    assert holdfast(home, "deploy", "asked", "--version", "2").returncode == 0
    client.set_registered_model_alias("asked", "champion", "2")
    assert int(client.get_model_version_by_alias("asked", "champion").version) == 2
    for call in (
        lambda: client.delete_registered_model("asked"),
        lambda: client.delete_model_version("asked", "1"),
        lambda: client.rename_registered_model("asked", "other"),
        lambda: client.delete_registered_model_alias("asked", "champion"),
    ):
        with pytest.raises(mlflow.MlflowException):
            call()
    assert holdfast(home, "rollback", "asked").returncode == 0
    assert int(client.get_model_version_by_alias("asked", "champion").version) == 1


def test_a_cloudpickle_is_refused_with_the_reason_and_deployed_with_an_audited_trust(home):
    model = RandomForestRegressor(n_estimators=5, max_depth=4, random_state=0).fit(X, Y)
    log("forest", model, serialization_format="cloudpickle")
    refused = holdfast(home, "deploy", "forest")
    assert refused.returncode == 1
    assert "stored as cloudpickle, which runs whatever code its writer put in it" in refused.stderr
    assert "--trust" in refused.stderr
    trusted = holdfast(home, "deploy", "forest", "--trust")
    assert (trusted.returncode, trusted.stderr) == (0, "")
    _, answer = eventually(
        lambda: predict(home, "forest", X.iloc[0].to_dict()), lambda found: found[0] == 200
    )
    assert answer["predictions"][0]["value"] == pytest.approx(model.predict(X.head(1))[0], rel=1e-4)
    audited = json.loads(holdfast(home, "audit", "list", "--json").stdout)
    (trust,) = [entry for entry in audited if entry["action"] == "registry.trust"]
    assert (trust["actor"], "forest" in trust["subject"]) == (getpass.getuser(), True)
    verified = holdfast(home, "audit", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")


def test_labels_of_an_outside_champion_count_and_a_challenger_stands_beside_it(home):
    client, model = mlflow.MlflowClient(), LinearRegression().fit(X, Y)
    with mlflow.start_run():
        mlflow.log_input(mlflow.data.from_pandas(X, name="weather"), context="training")
        for _ in range(2):
            mlflow.sklearn.log_model(
                model,
                name="model",
                registered_model_name="judged",
                input_example=X.head(3),
                pip_requirements=[],
                serialization_format="skops",
            )
    assert holdfast(home, "deploy", "judged", "--version", "1").returncode == 0
    _, answer = eventually(lambda: ask(home, "judged", X.head(150)), lambda found: found[0] == 200)
    labels = [
        {"id": item["id"], "value": float(label)}
        for item, label in zip(answer["predictions"], Y, strict=False)
    ]
    assert post(home, "/v1/labels/judged", {"labels": labels}) == (200, {"accepted": 150})

    def status():
        return json.loads(holdfast(home, "status", "judged", "--json").stdout)["models"][0]

    judged = eventually(status, lambda found: found["labelled"] == 150)
    assert (judged["metric"], judged["has_baseline"]) == ("mae", False)
    assert judged["interval"][0] < judged["quality"] < judged["interval"][1]
    assert "hf.monitor" not in judged["message"]
    with pytest.raises(mlflow.MlflowException, match="--version 2 --challenger"):
        client.set_registered_model_alias("judged", "challenger", "2")
    (wish,) = json.loads(holdfast(home, "requests", "list", "judged", "--json").stdout)
    approved = holdfast(home, "requests", "approve", str(wish["number"]))
    assert (approved.returncode, "tried beside the champion" in approved.stdout) == (0, True)
    assert int(client.get_model_version_by_alias("judged", "champion").version) == 1
    assert int(client.get_model_version_by_alias("judged", "challenger").version) == 2
    said = holdfast(home, "trace", "judged").stdout
    assert "weather (digest" in said and "logged by the client for training" in said


def eventually(ask, enough, seconds=20.0):
    until = time.monotonic() + seconds
    while not enough(found := ask()) and time.monotonic() < until:
        time.sleep(0.1)
    assert enough(found), found
    return found
