"""A script that logs: what arrives, how it ends, and what it captured by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

import holdfast as hf
from holdfast.base import lineage, urn
from holdfast.base.context import local_context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger.opening import open_read_only
from holdfast.sdk.runs.sending import RunRefusedError
from holdfast.server.compose import MIGRATIONS
from holdfast.tracking.errors import ParameterChangedError, RunEndedError
from tests.sdk.runs.conftest import Script, World, finished


def begin(world: World, experiment: str = "here", **given: object) -> hf.run:
    return hf.run(experiment, home=str(world.home.root), quiet=True, system_metrics=False, **given)


def test_a_run_is_what_the_script_logged_and_what_it_captured(world: World, script: Script) -> None:
    out = finished(
        script(
            world.home,
            """
            import polars as pl
            import holdfast as hf

            with hf.run("whole", name="baseline", parameters={"depth": 6, "optimizer": {"lr": 0.1}}, seed=7,
                        tags={"team": "risk"}, system_metrics=0.1) as run:
                for epoch in range(50):
                    run.log(loss=1 / (epoch + 1), accuracy=epoch / 50, step=epoch)
                run.log({"val/loss": float("nan")}, step=0)
                run.log_parameters({"late": True})
                run.set_tags({"team": "fraud"})
                frame = pl.DataFrame({"x": [1, 2, 3], "label": ["a", "b", None]})
                frame.write_csv("train.csv")
                run.log_dataset("train", frame)
                run.log_dataset("file", "train.csv", context="evaluation")
                run.log_artifact("train.csv", "data/train.csv")
                with run.child("fold-1", parameters={"fold": 1}) as fold:
                    fold.log(loss=0.5)
                    with hf.run("whole", name="inner") as inner:
                        inner.log(loss=0.25)
                run.flush()
                import time; time.sleep(0.3)
            print(run.run_id, fold.run_id, inner.run_id)
            """,
            "--api-key",
            "abcdef",
        )
    )  # fmt: skip
    run_id, fold_id, inner_id = out.split()
    found = world.describe(run_id)
    assert (found.run.name, found.run.status, found.seed) == ("baseline", "finished", 7)
    assert found.run.parameters == {"depth": "6", "optimizer.lr": "0.1", "late": "True"}
    assert found.run.tags["team"] == "fraud"
    assert found.run.tags["holdfast.command"].endswith("train.py --api-key ***")
    assert world.points(run_id, "loss") == [(epoch, 1 / (epoch + 1)) for epoch in range(50)]
    assert found.run.metrics["val/loss"] == "NaN"
    assert {"system/cpu_percent", "system/process_memory_bytes"} <= set(found.run.metrics)
    assert [(item.path, item.size_bytes) for item in found.artifacts] == [("data/train.csv", 19)]
    assert found.code is not None and found.code.entry == "train.py"
    assert found.environment is not None
    assert found.environment.packages["polars"] and int(found.environment.hardware["memory_bytes"]) > 0
    assert [(child.run_id, child.name) for child in found.children] == [(fold_id, "fold-1")]
    assert world.describe(inner_id).parent == fold_id
    inputs = {item.dataset.name: item for item in found.run.inputs}
    assert inputs["train"].tags == {"mlflow.data.context": "training"}
    assert json.loads(inputs["file"].dataset.profile or "") == {"num_bytes": 19, "num_rows": 3}
    _has_lineage(world, run_id, inputs["train"].dataset.digest)
    _looks_right_to_mlflow(world, run_id)


def _has_lineage(world: World, run_id: str, digest: str) -> None:
    ledger = open_read_only("", world.home.ledger, MIGRATIONS)
    try:
        with ledger.read() as reader:
            edges = lineage.graph(reader, local_context(), urn.run(run_id), depth=1).upstream
    finally:
        ledger.close()
    assert (urn.source(f"train@{digest}"), "trained") in [(edge.source, edge.relation) for edge in edges]
    assert "ran" in [edge.relation for edge in edges]


def _looks_right_to_mlflow(world: World, run_id: str) -> None:
    url = f"{world.url}/api/2.0/mlflow/runs/get?run_id={run_id}"
    with urllib.request.urlopen(url) as answer:
        run = json.load(answer)["run"]
    assert run["info"]["status"] == "FINISHED"
    assert {"key": "depth", "value": "6"} in run["data"]["params"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags["mlflow.runName"] == "baseline" and tags["mlflow.source.name"].endswith("train.py")
    with urllib.request.urlopen(f"{world.url}/runs/{run_id}") as page:
        assert "baseline" in page.read().decode()


ENDINGS = {
    "with-error": (
        'with hf.run("ends", name=NAME) as run:\n    run.log(x=1); {}["gone"]',
        "failed",
        "KeyError: 'gone'",
    ),
    "with-exit-0": ('with hf.run("ends", name=NAME) as run:\n    run.log(x=1); sys.exit(0)', "finished", None),
    "with-exit-3": (
        'with hf.run("ends", name=NAME) as run:\n    run.log(x=1); sys.exit(3)',
        "failed",
        "the script left with exit code 3",
    ),
    "bare": ('run = hf.run("ends", name=NAME); run.log(x=1)', "finished", None),
    "bare-error": (
        'run = hf.run("ends", name=NAME); run.log(x=1); 1 / 0',
        "failed",
        "ZeroDivisionError: division by zero",
    ),
    "bare-interrupted": (
        'run = hf.run("ends", name=NAME); run.log(x=1); raise KeyboardInterrupt',
        "killed",
        "interrupted from the keyboard",
    ),
    "finish": (
        'run = hf.run("ends", name=NAME); run.log(x=1); run.finish("failed", "diverged"); run.finish()',
        "failed",
        "diverged",
    ),
}  # fmt: skip


def test_a_run_ends_as_its_script_does(world: World, script: Script) -> None:
    text = "import sys\nimport holdfast as hf\nNAME = {name!r}\n{body}\n"
    started = [
        script(world.home, text.format(name=name, body=body), name=f"{name.replace('-', '_')}.py")
        for name, (body, _, _) in ENDINGS.items()
    ]
    for process in started:
        process.communicate(timeout=60)
    found = {run.name: run for run in world.runs("ends")}
    for name, (_, status, error) in ENDINGS.items():
        assert (found[name].status, world.describe(found[name].run_id).error) == (status, error), name
        assert found[name].metrics["x"] == 1
    assert not list(world.home.runs.glob("*/*.log"))


@pytest.mark.parametrize("block", ["with-block", "without"])
def test_a_script_that_is_told_to_end_ends_its_run(world: World, script: Script, block: str) -> None:
    body = (
        'with hf.run("told", name=NAME) as run:\n    run.log(x=1); print("on", flush=True); time.sleep(60)'
        if block == "with-block"
        else 'run = hf.run("told", name=NAME); run.log(x=1); print("on", flush=True); time.sleep(60)'
    )
    process = script(world.home, f"import time\nimport holdfast as hf\nNAME = {block!r}\n{body}\n")
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    (run,) = [run for run in world.runs("told") if run.name == block]
    assert (run.status, run.metrics["x"]) == ("killed", 1)
    assert world.describe(run.run_id).error == "the process was told to end (SIGTERM)"


def test_code_carries_its_commit_and_what_changed_since(world: World, script: Script, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "helper.py").write_text("VALUE = 1\n")
    for words in (
        ["init", "-q"],
        ["add", "helper.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
        ["remote", "add", "origin", "https://ann:sesame@example.org/team/models.git"],
    ):
        subprocess.run(["git", *words], cwd=work, check=True)
    (work / "helper.py").write_text("VALUE = 2\n")
    finished(script(world.home, 'import helper\nimport holdfast as hf\nhf.run("code").log(x=helper.VALUE)\n'))
    (run,) = world.runs("code")
    code = world.describe(run.run_id).code
    assert code is not None and code.git_commit is not None and code.git_diff is not None
    assert "+VALUE = 2" in code.git_diff
    assert code.git_remote == "https://example.org/team/models.git"
    assert run.tags["mlflow.source.git.commit"] == code.git_commit


def test_mistakes_are_told_where_they_are_made(world: World) -> None:
    with begin(world, parameters={"depth": 6}) as run:
        for wrong in ({"loss": "low"}, {"loss": None}, {"loss": [1, 2]}, {"a\nb": 1}, {7: 1}):
            with pytest.raises(InvalidError):
                run.log(wrong)
        with pytest.raises(InvalidError, match="whole number"):
            run.log(loss=1, step=0.5)  # type: ignore[arg-type]
        with pytest.raises(InvalidError, match="64 bits"):
            run.log(loss=1, step=2**63)
        with pytest.raises(ParameterChangedError, match="'depth' is '6' already"):
            run.log_parameters({"depth": 7})
        with pytest.raises(InvalidError, match="there is no file"):
            run.log_artifact("nowhere.bin")
        with pytest.raises(InvalidError, match="Invalid path"):
            run.log_artifact(__file__, "../up.py")
        with pytest.raises(InvalidError, match="is a int"):
            run.log_dataset("train", 7)
        run.log(loss=0.5)
    with pytest.raises(RunEndedError, match="has ended"):
        run.log(loss=0.1)
    (found,) = [item for item in world.runs("here") if item.run_id == run.run_id]
    assert (found.metrics, found.parameters) == ({"loss": 0.5}, {"depth": "6"})


def test_what_the_server_refuses_is_told_at_the_beginning(world: World) -> None:
    with pytest.raises(InvalidError, match="it is empty"):
        begin(world, "  ")
    with pytest.raises(NotFoundError, match="cannot go on"):
        begin(world, run_id="0" * 32)
    begin(world, "doomed").finish()
    experiment = world.runs("doomed")[0].experiment_id
    request = urllib.request.Request(
        f"{world.url}/api/2.0/mlflow/experiments/delete",
        json.dumps({"experiment_id": experiment}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()
    with pytest.raises(RunRefusedError, match="deleted"):
        begin(world, "doomed")
    assert [item.name for item in world.home.runs.iterdir()] == [".lock"]


def test_a_run_that_is_deleted_meanwhile_stops_nothing(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    from holdfast.tracking.run_records import RunRequest
    from holdfast.tracking.service import RunCatalog

    run = begin(world, "vanishing")
    world.call(RunCatalog.delete, RunRequest(run.run_id))
    run.log(x=1)
    assert run.flush(10)
    run.log(x=2)
    run.finish(timeout_s=10)
    assert "what was logged is kept in" in capfd.readouterr().err


def test_steps_count_by_themselves_and_values_may_be_any_numbers(world: World) -> None:
    import numpy as np

    with begin(world, "counted") as run:
        run.log(x=np.float32(0.5))
        run.log(x=True, y=np.array([3]))
        run.log(x=2, step=10)
        run.log(x=3)
    assert world.points(run.run_id, "x") == [(0, 0.5), (1, 1.0), (10, 2.0), (11, 3.0)]


def test_many_parameters_and_one_call_with_many_metrics(world: World) -> None:
    with begin(world, "wide", parameters={f"p{i}": i for i in range(250)}) as run:
        run.log({f"m{i}": i for i in range(2500)})
    found = world.describe(run.run_id).run
    assert (len(found.parameters), len(found.metrics)) == (250, 2500)
