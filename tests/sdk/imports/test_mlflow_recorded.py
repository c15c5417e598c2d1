"""Imports of recorded MLflow stores, compared figure by figure with what MLflow's client said of them."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest

from holdfast.base.home import Home
from holdfast.cli.session import start_server
from tests.sdk.imports.sources import (
    Faults,
    failed_import,
    make_database,
    make_folder,
    recorded_server,
    recorded_told,
    run_import,
)
from tests.sdk.imports.told import told_by_rest, without_gated
from tests.wire.mlflow.tracking_server import Raw, server_arguments


@pytest.fixture
def home(tmp_path):
    """A home with a running server."""
    found = Home(tmp_path / "home")
    process = start_server(found, ["--port", "0"], detached=True)
    yield found
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(params=["database", "folder", "server"])
def source(request, tmp_path):
    """Where a recorded store is, and the name of what was said of it."""
    if request.param == "server":
        with recorded_server() as url:
            yield url, "store"
    else:
        make = {"database": make_database, "folder": make_folder}[request.param]
        yield make(tmp_path), "mlruns" if request.param == "folder" else "store"


def told(home):
    return told_by_rest(Raw(home.server().url))


def expected(name):
    """What was said of a store; Default is as old here as this project is."""
    found = without_gated(recorded_told(name))
    found["experiments"]["Default"]["created"] = None
    if name == "mlruns":
        # MLflow wrote step 1 to the file, and reads 0 from lines about a dataset.
        (curve,) = [
            run["curves"]["accuracy"] for run in found["runs"].values() if "accuracy" in run["curves"]
        ]
        assert curve[0][0] == 0
        curve[0][0] = 1
    return found


def found_here(home):
    found = without_gated(told(home))
    found["experiments"]["Default"]["created"] = None
    return found


def test_everything_is_here_as_the_client_said_and_a_second_import_changes_nothing(home, source):
    where, name = source
    report = run_import(home, where)
    assert found_here(home) == expected(name)
    assert report["runs"] == {"new": 10, "changed": 0, "known": 0}
    assert report["problems"] == []
    # Both aliases that say what is deployed are asked for, and neither is set.
    assert sorted(text.partition(" of ")[0] for text in report["requests"]) == ["challenger", "champion"]
    assert told(home)["models"]["bike-demand"]["aliases"] == {"best": 3}
    assert any("Production" in note for note in report["notes"])

    again = run_import(home, where)
    assert again["runs"] == {"new": 0, "changed": 0, "known": 10}
    assert (again["points"], again["files"]) == (0, 0)
    assert again["versions"]["new"] == again["aliases"]["new"] == again["logged_models"]["new"] == 0
    assert found_here(home) == expected(name)


@pytest.mark.postgresql
def test_a_ledger_on_postgresql_takes_it_up_too(tmp_path, postgresql_url):
    home = Home(tmp_path / "home")
    process = start_server(home, server_arguments(postgresql_url), detached=True)
    try:
        path = make_database(tmp_path)
        assert run_import(home, path)["problems"] == []
        assert found_here(home) == expected("store")
        again = run_import(home, path)
        assert (again["runs"]["known"], again["points"], again["files"]) == (10, 0, 0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_one_home_can_be_brought_into_another(home, tmp_path):
    """Our server speaks MLflow's API, so it is a source too."""
    run_import(home, make_database(tmp_path))
    second = Home(tmp_path / "second")
    report = run_import(second, home.server().url)
    assert report["problems"] == []
    try:
        assert found_here(second) == expected("store")
    finally:
        os.kill(second.server().pid, signal.SIGKILL)


def test_every_point_is_kept_once(home, tmp_path):
    path = make_database(tmp_path)
    report = run_import(home, path)
    points = sqlite3.connect(path).execute("SELECT count(*) FROM metrics").fetchone()[0]
    assert report["points"] == points
    # What was forgotten of the marks is sent again, and adds nothing.
    ledger = sqlite3.connect(home.ledger)
    ledger.execute("DELETE FROM import_mark WHERE kind = 'run'")
    ledger.commit()
    again = run_import(home, path)
    assert (again["points"], again["files"]) == (0, 0)
    assert _stored_points(home) == points


def test_a_second_import_brings_what_is_new(home, tmp_path):
    path = make_database(tmp_path)
    run_import(home, path)
    database = sqlite3.connect(path)
    run_id = database.execute("SELECT run_uuid FROM runs WHERE name = 'still running'").fetchone()[0]
    database.execute(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('late', 2.5, 7, ?, 1, 0)",
        (run_id,),
    )
    database.execute("UPDATE runs SET status = 'FINISHED', end_time = 8 WHERE run_uuid = ?", (run_id,))
    database.commit()
    report = run_import(home, path)
    assert report["runs"] == {"new": 0, "changed": 1, "known": 9}
    assert report["points"] == 1
    run = told(home)["runs"][run_id]
    assert (run["status"], run["ended"], run["curves"]["late"]) == ("FINISHED", 8, [[1, 7, (2.5).hex()]])


def test_the_source_is_kept_in_tags_and_versions_find_their_files(home, tmp_path):
    path = make_database(tmp_path)
    run_import(home, path)
    raw = Raw(home.server().url)
    found = raw.ok("GET", "/experiments/get-by-name?experiment_name=bikes")["experiment"]
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert tags["holdfast.source"] == str(path)
    assert tags["holdfast.source.experiment_id"] == "1"
    version = raw.ok("GET", "/model-versions/get?name=bike-demand&version=3")["model_version"]
    assert version["source"].startswith(f"mlflow-artifacts:/{found['experiment_id']}/")
    status, content = raw.send(
        "GET", "/model-versions/get-artifact?name=bike-demand&version=1&path=data/weights.bin"
    )
    assert (status, content) == (200, bytes(range(256)) * 8)


def test_one_experiment_and_what_was_made_of_it(home, tmp_path):
    path = make_database(tmp_path)
    planned = run_import(home, path, "--experiment", "gone", "--dry-run")
    assert (planned["runs"]["new"], planned["models"]["new"]) == (1, 0)
    assert set(told(home)["experiments"]) == {"Default"}
    report = run_import(home, path, "--experiment", "gone")
    assert (report["runs"]["new"], report["models"]["new"]) == (1, 0)
    assert set(told(home)["experiments"]) == {"Default", "gone"}
    report = run_import(home, path)
    assert report["runs"] == {"new": 9, "changed": 0, "known": 1}


def test_a_number_that_is_taken_here_is_given_up(home, tmp_path):
    raw = Raw(home.server().url)
    raw.ok("POST", "/registered-models/create", {"name": "bike-demand"})
    source = "runs:/00000000000000000000000000000000/model"
    raw.ok("POST", "/model-versions/create", {"name": "bike-demand", "source": source})
    path = make_database(tmp_path)
    report = run_import(home, path)
    assert any("version 1 of bike-demand is version 2 here" in note for note in report["notes"])
    assert set(told(home)["models"]["bike-demand"]["versions"]) == {"1", "2", "3"}
    assert run_import(home, path)["versions"]["new"] == 0


def test_a_server_that_hangs_up_now_and_then_is_asked_again(home):
    with recorded_server(Faults(hang_up_every=4)) as url:
        run_import(home, url)
    assert found_here(home) == expected("store")


def test_a_token_is_sent_and_its_lack_is_explained(home):
    with recorded_server(Faults(token="sesame")) as url:
        refused = failed_import(home, url)
        assert refused.returncode == 1
        assert "401" in refused.stderr and "MLFLOW_TRACKING_TOKEN" in refused.stderr
        environ = {**os.environ, "MLFLOW_TRACKING_TOKEN": "sesame"}
        assert run_import(home, url, environ=environ)["runs"]["new"] == 10


def test_artifacts_that_nothing_leads_to_stay_and_are_brought_once_their_folder_is_named(home, tmp_path):
    path = make_database(tmp_path)
    (tmp_path / "mlartifacts").rename(tmp_path / "elsewhere")
    report = run_import(home, path)
    assert report["files"] == 0
    assert any("--artifacts" in note for note in report["notes"])
    report = run_import(home, path, "--artifacts", str(tmp_path / "elsewhere"))
    assert (report["files"], report["points"]) == (5, 0)
    assert found_here(home) == expected("store")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nothing-here", "there is nothing at"),
        ("postgresql://db/mlflow", "start `mlflow server --backend-store-uri postgresql://"),
        ("empty", "is not an mlruns folder"),
        ("text", "is not a SQLite file"),
        ("other.db", "is not an MLflow backend store"),
        ("http://127.0.0.1:1", "does not answer"),
    ],
)
def test_what_is_no_store_is_refused_in_one_sentence(tmp_path, monkeypatch, where, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.close()
    done = failed_import(Home(tmp_path / "home"), where, "--dry-run")
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_an_unknown_experiment_is_named(tmp_path):
    done = failed_import(
        Home(tmp_path / "home"), make_database(tmp_path), "--dry-run", "--experiment", "bike"
    )
    assert done.returncode == 1
    assert "no experiment 'bike'" in done.stderr and "bikes" in done.stderr


def _stored_points(home):
    """Points as they lie in the ledger, where one that was sent twice would lie twice."""
    ledger = sqlite3.connect(home.ledger)
    tables = ("metric_tail", "metric_block")
    return sum(
        ledger.execute(f"SELECT coalesce(sum(points), 0) FROM {table}").fetchone()[0] for table in tables
    )
