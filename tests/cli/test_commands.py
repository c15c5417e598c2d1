"""The command line as a user meets it: answers, errors of one sentence, exit codes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from holdfast.base.home import Home
from tests.server.conftest import holdfast

MODEL = """
import holdfast as hf
from sklearn.linear_model import LinearRegression

sales = hf.Table("sales", source="sales.csv", time="at", label="sold", label_delay="1h")

@hf.model("shop", table=sales, task="regression", gates=[hf.at_most("mae", 5)], rollout=hf.direct())
def train(data, params):
    return LinearRegression().fit(data.X, data.y)
"""


def rows(count: int = 400) -> pl.DataFrame:
    start = pl.datetime(2026, 1, 1)
    return pl.select(pl.int_range(count).alias("i")).select(
        (start + pl.duration(hours="i")).dt.strftime("%Y-%m-%dT%H:%M:%S").alias("at"),
        (pl.col("i") % 7 * 1.5).alias("price"),
        (pl.col("i") % 7 * 3.0 + pl.col("i") % 3).alias("sold"),
    )


@pytest.fixture
def folder(tmp_path):
    """A folder with a model file and its data."""
    (tmp_path / "shop.py").write_text(MODEL)
    rows().write_csv(tmp_path / "sales.csv")
    return tmp_path


@pytest.fixture
def shop(folder):
    """The folder, and a home of its own whose processes are ended afterwards."""
    home = Home(folder / "home")
    yield folder, home
    end(home)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """One home with one background server, for what must leave nothing behind."""
    home = Home(tmp_path_factory.mktemp("shared") / "home")
    yield home
    end(home)


def end(home: Home) -> None:
    for info in (home.serving(), home.server()):
        if info is not None:
            os.kill(info.pid, signal.SIGTERM)


def refused(done, says: str, code: int = 1) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_train_status_trace_deploy_and_json(shop):
    folder, home = shop
    trained = holdfast(home, "train", str(folder / "shop.py"))
    assert trained.returncode == 0, trained.stderr
    assert "shop version 1 is gated" in trained.stdout
    deployed = json.loads(holdfast(home, "deploy", "shop", "--json").stdout)
    assert (deployed["kind"], deployed["subject"]) == ("deploy", "registry/shop@1")
    status = json.loads(holdfast(home, "status", "--json").stdout)
    assert status["models"][0]["champion"] == 1
    traced = holdfast(home, "trace", "shop")
    for said in ("data/sales@1, 400 rows", "shop.py, bundle", "mae", "scikit-learn", "Python 3."):
        assert said in traced.stdout
    assert json.loads(holdfast(home, "trace", "shop", "--json").stdout)["in_production"] is True
    assert "the chain is intact" in holdfast(home, "audit", "verify").stdout
    refused(holdfast(home, "rollback", "shop"), "no earlier version of shop is warm")
    refused(holdfast(home, "rollback", "cars"), "there is no model 'cars'; declared here: shop")


def test_reading_works_without_a_server(shop):
    folder, home = shop
    assert holdfast(home, "train", str(folder / "shop.py")).returncode == 0
    os.kill(home.server().pid, signal.SIGTERM)
    while home.server():
        pass
    assert "shop" in holdfast(home, "status").stdout
    assert "registry/shop@1" in holdfast(home, "trace", "shop", "--version", "1").stdout
    assert home.server() is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "shop.py").unlink(), "shop.py cannot be read (No such file or directory)"),
        (lambda folder: (folder / "shop.py").write_text("def f(:\n"), "shop.py, line 1 is not valid Python"),
        (lambda folder: (folder / "shop.py").write_text("x = 1\n"), "declares no model; put @hf.model"),
        (
            lambda folder: (folder / "shop.py").write_text("1 / 0\n"),
            "ZeroDivisionError: division by zero (shop.py, line 1)",
        ),
        (lambda folder: (folder / "sales.csv").unlink(), "sales.csv, which is not a file"),
        (lambda folder: (folder / "sales.csv").write_text(""), "sales.csv"),
        (lambda folder: (folder / "sales.csv").write_text("at,price,sold\n"), "sales"),
        (lambda folder: rows().drop("sold").write_csv(folder / "sales.csv"), "sold"),
        (lambda folder: rows().rename({"at": "when"}).write_csv(folder / "sales.csv"), "at"),
        (
            lambda folder: (
                rows().with_columns(sold=pl.lit(None, dtype=pl.Float64)).write_csv(folder / "sales.csv")
            ),
            "sold",
        ),
        (lambda folder: pl.concat([rows(), rows(2)]).write_csv(folder / "sales.csv"), "2026-01-01"),
        (
            lambda folder: (folder / "shop.py").write_text(
                MODEL.replace("return Lin", "raise KeyError('oh')\n    return Lin")
            ),
            "KeyError: 'oh' (shop.py, line 9)",
        ),
        (lambda folder: (folder / "shop.py").write_text(MODEL.replace("return Lin", "Lin")), "None"),
        (
            lambda folder: (folder / "shop.py").write_text(MODEL.replace('"1h"', '"soon"')),
            "label_delay: 'soon'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_sentence_and_leaves_nothing_half_written(folder, shared_home, change, says):
    home = shared_home
    change(folder)
    refused(holdfast(home, "train", str(folder / "shop.py")), says)
    status = json.loads(holdfast(home, "status", "--json").stdout) if home.ledger.exists() else {"models": []}
    assert [model["champion"] for model in status["models"]] in ([], [None])
    if home.ledger.exists():
        with sqlite3.connect(f"file:{home.ledger}?mode=ro", uri=True) as ledger:
            for table in ("dataset_version", "model_version", "revision"):
                assert ledger.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)
            assert ledger.execute(
                "SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running')"
            ).fetchone() == (0,)


def test_debug_shows_the_traceback(shop):
    folder, home = shop
    done = holdfast(home, "--debug", "train", str(folder / "missing.py"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["server", "--port", "many"], ["rollback"]])
def test_wrong_usage_exits_with_two(tmp_path, arguments):
    refused(holdfast(Home(tmp_path / "home"), *arguments), "holdfast: ", code=2)


def test_a_home_without_a_ledger_says_how_to_begin(tmp_path):
    refused(
        holdfast(Home(tmp_path / "home"), "status"), "start one with `holdfast up FILE` or `holdfast demo`"
    )


def test_json_errors_are_json_too(tmp_path):
    done = holdfast(Home(tmp_path / "home"), "status", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "home"


def test_up_serves_the_model_and_predicts(shop):
    import http.client
    from urllib.parse import urlsplit

    folder, home = shop
    done = holdfast(
        home, "up", str(folder / "shop.py"), "--port", "0", "--serve-port", "0", "--detach", "--json"
    )
    assert done.returncode == 0, done.stderr
    address = urlsplit(json.loads(done.stdout)["predict"])
    connection = http.client.HTTPConnection(address.hostname, address.port)
    connection.request("POST", address.path, b'{"rows": [{"at": "2026-02-01T00:00:00", "price": 3.0}]}')
    answer = json.loads(connection.getresponse().read())
    assert answer["version"] == "1"
    assert answer["predictions"][0]["value"] == pytest.approx(7.0, abs=1.5)


def test_every_command_has_help(tmp_path):
    from holdfast.cli.main import _COMMANDS

    for command in _COMMANDS:
        done = holdfast(Home(tmp_path), command, "--help")
        assert done.returncode == 0
        assert len(Path(done.stdout).name) > 40


def test_a_version_whose_gates_failed_is_an_exit_code_of_its_own(shop):
    folder, home = shop
    (folder / "shop.py").write_text(MODEL.replace('"mae", 5', '"mae", 0.0001'))
    done = holdfast(home, "train", str(folder / "shop.py"))
    assert done.returncode == 3
    assert "shop version 1 is rejected" in done.stdout


def test_down_ends_what_runs_in_the_home(shop):
    folder, home = shop
    assert holdfast(home, "train", str(folder / "shop.py")).returncode == 0
    assert "stopped: server" in holdfast(home, "down").stdout
    assert home.server() is None
    assert "nothing runs in this home" in holdfast(home, "down").stdout


@pytest.mark.slow
def test_up_starts_a_killed_server_again_while_serving_goes_on(shop):
    import subprocess
    import sys
    import time

    folder, home = shop
    command = ["-m", "holdfast.cli.main", "--home", str(home.root), "up", str(folder / "shop.py")]
    up = subprocess.Popen(
        [sys.executable, *command, "--port", "0", "--serve-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert up.stdout is not None
        while "the loop runs" not in up.stdout.readline():
            assert up.poll() is None
        serving, killed = home.serving(), home.server()
        os.kill(killed.pid, signal.SIGKILL)
        assert "the server process ended with code -9; it is started again" in up.stdout.readline()
        deadline = time.monotonic() + 30
        while (again := home.server()) is None or again.pid == killed.pid:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert home.serving() == serving
    finally:
        up.terminate()
        up.wait(30)
    assert home.server() is None and home.serving() is None
