"""`holdfast runs`: lists, shows, compares, deletes and restores, with and without a server."""

from __future__ import annotations

import json
import math
import random
import resource
import shlex

import pytest

from holdfast.base.clock import SystemClock
from holdfast.base.context import local_context
from holdfast.base.home import Home
from holdfast.base.ledger import SqliteLedger
from holdfast.cli import plots, run_views
from holdfast.cli.plots import chart, sparkline
from holdfast.server.compose import MIGRATIONS, compose
from holdfast.tracking.records import DatasetUsed, LoggedPoint, RunInput
from tests.cli.test_commands import end, refused
from tests.server.conftest import holdfast

CONTEXT = local_context()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[str]]:
    """A home with five runs of two experiments that no server serves."""
    home = Home(tmp_path_factory.mktemp("runs") / "home")
    home.prepare()
    ledger = SqliteLedger(home.ledger, MIGRATIONS)
    logging = compose(home, ledger, SystemClock(), settle=lambda: True, wake=lambda: None).logging
    rides = logging.experiments.create(CONTEXT, "rides")
    ids = []
    for number in range(5):
        started_at = 1_700_000_000_000_000 + number * 1_000_000
        run = logging.runs.create(
            CONTEXT, rides if number else "0", name=f"try-{number}", started_at=started_at
        ).run_id
        points = [LoggedPoint("loss", 1 / (step + number + 1), started_at, step) for step in range(50)]
        parameters = [("depth", str(number % 2)), ("seed", "7")]
        logging.runs.log_batch(CONTEXT, run, points, parameters, [("team", "a b")])
        given = RunInput(DatasetUsed("hours", f"d{number % 2}"), {"mlflow.data.context": "train"})
        logging.runs.log_inputs(CONTEXT, run, [given])
        ids.append(run)
    ledger.close()
    return home, ids


@pytest.fixture(scope="module")
def served(logged: tuple[Home, list[str]]):
    """The same home with a server in the background."""
    home, ids = logged
    assert holdfast(home, "runs", "restore", ids[0]).returncode == 0
    yield home, ids
    end(home)


def test_runs_are_listed_page_by_page_without_a_server(logged: tuple[Home, list[str]]) -> None:
    home, ids = logged
    first = holdfast(home, "runs", "list", "--limit", "2", "--experiment", "rides")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split()[0] for line in lines if line[:32] in ids] == [ids[4], ids[3]]
    assert all(name in lines[0] for name in ("run_id", "name", "status", "metrics.loss", "params.depth"))
    assert "params.seed" not in lines[0], "it is the same in all runs"
    # The last line is the command of the next page.
    command = shlex.split(lines[-1].removeprefix("there are more: "))
    second = holdfast(home, *command[1:])
    assert [line.split()[0] for line in second.stdout.splitlines() if line[:32] in ids] == [ids[2], ids[1]]
    assert "there are more" not in second.stdout
    assert home.server() is None


def test_filter_order_and_columns(logged: tuple[Home, list[str]]) -> None:
    home, ids = logged
    done = holdfast(
        home, "runs", "list", "--filter", "params.depth = '0' OR run_name = 'try-3'", "--order-by", "metrics.loss",
        "--columns", "name,metrics.loss,tags.team,datasets,experiment,params.none",
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["try-4", "try-3", "try-2", "try-0"]
    assert rows[1] == ["try-3", "0.01887", "a", "b", "hours@d1", "rides", "–"]
    found = json.loads(holdfast(home, "runs", "list", "--order-by", "metrics.loss DESC", "--json").stdout)
    assert [run["run_id"] for run in found["runs"]] == ids
    shown = holdfast(home, "runs", "experiments").stdout.splitlines()
    assert [line.split()[:3] for line in shown[1:]] == [["1", "rides", "4"], ["0", "Default", "1"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--filter", "metrics.loss <"], "expected a number for metrics.loss but found the end"),
        (["list", "--filter", "metric.loss = 'x'"], "expected a number"),
        (["list", "--order-by", "datasets.name"], "nothing can be ordered by its datasets"),
        (["list", "--columns", "mae"], "'mae' is not a column; valid are run_id"),
        (["list", "--experiment", "ride"], "there is no experiment 'ride'; did you mean 'rides'?"),
        (["list", "--limit", "0"], "1 to 1000 runs, not 0; see the next ones with --after"),
        (["list", "--filter", "status = 'killled'"], "no status 'killled'; valid are running"),
        (["list", "--after", "x"], "what its last line gives as --after"),
        (["show", "nope"], "there is no run 'nope'"),
        (["show", "../../x"], "there is no run '../../x'"),
        (["compare", "nope"], "2 to 50 runs are compared, not 1"),
    ],
)
def test_a_mistake_is_one_sentence(logged: tuple[Home, list[str]], arguments: list[str], says: str) -> None:
    refused(holdfast(logged[0], "runs", *arguments), says)


def test_a_run_is_shown_whole(logged: tuple[Home, list[str]]) -> None:
    home, ids = logged
    shown = holdfast(home, "runs", "show", ids[1][:12]).stdout
    for said in (ids[1], "rides (1)", "depth", "team", "hours@d1", "loss", "█▆▄▃▃▂"):
        assert said in shown
    assert json.loads(holdfast(home, "runs", "show", ids[1], "--json").stdout)["run"]["name"] == "try-1"


def test_runs_are_compared_with_their_curves(logged: tuple[Home, list[str]]) -> None:
    home, ids = logged
    done = holdfast(home, "runs", "compare", ids[1][:10], ids[4])
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.index("parameters") < text.index("metrics") < text.index("loss  by step")
    assert "1 differ, 1 the same" in text
    assert next(line for line in text.splitlines() if line.startswith("loss ") and "●" in line).endswith("●")
    drawn = [line for line in text.splitlines() if "┤" in line]
    assert len(drawn) == 8 and "a" in drawn[0] and "b" in "".join(drawn)
    found = json.loads(holdfast(home, "runs", "compare", ids[1], ids[4], "--metric", "loss", "--json").stdout)
    assert [len(curve["steps"]) for curve in found["curves"]] == [50, 50]
    mistyped = holdfast(home, "runs", "compare", ids[1], ids[4], "--metric", "nope")
    refused(mistyped, "none of these runs has the metric 'nope'; valid are loss")


def test_runs_are_deleted_and_restored_all_or_none(served: tuple[Home, list[str]]) -> None:
    home, ids = served
    refused(holdfast(home, "runs", "delete", ids[0], "nope"), "there is no run 'nope'")
    deleted = holdfast(home, "runs", "delete", ids[0][:8], ids[1])
    assert deleted.returncode == 0, deleted.stderr
    assert f"`holdfast runs restore {ids[0][:8]} {ids[1][:8]}` brings them back" in deleted.stdout
    listed = holdfast(home, "runs", "list", "--deleted").stdout
    assert ids[0] in listed and ids[1] in listed and ids[2] not in listed
    assert "deleted, `holdfast runs restore" in holdfast(home, "runs", "show", ids[0]).stdout
    restored = holdfast(home, "runs", "restore", ids[0], ids[1])
    assert f"restored {ids[1]}" in restored.stdout
    assert "no run is deleted" in holdfast(home, "runs", "list", "--deleted").stdout
    trail = holdfast(home, "audit", "list", "--subject", f"tracking/run/{ids[1]}").stdout
    assert "tracking.delete" in trail and "tracking.restore" in trail


def test_garbage_is_collected_when_asked_twice(served: tuple[Home, list[str]]) -> None:
    home, ids = served
    assert holdfast(home, "runs", "delete", ids[4]).returncode == 0
    assert "would free 0 B: nothing" in holdfast(home, "runs", "gc", "--dry-run").stdout
    foreseen = holdfast(home, "runs", "gc", "--dry-run", "--older-than", "0d")
    assert "would free 0 B: 1 run (deleted before" in foreseen.stdout
    refused(
        holdfast(home, "runs", "gc", "--older-than", "0d"),
        "what goes cannot be restored; look with --dry-run",
    )
    refused(holdfast(home, "runs", "gc", "--older-than", "soon", "--yes"), "'soon' is not a duration")
    freed = holdfast(home, "runs", "gc", "--older-than", "0d", "--yes")
    assert "freed 0 B: 1 run (deleted before" in freed.stdout, freed.stderr
    refused(holdfast(home, "runs", "restore", ids[4]), "there is no run")
    report = json.loads(holdfast(home, "runs", "gc", "--yes", "--json").stdout)
    assert (report["runs"], report["dry_run"]) == (0, False)


def test_reading_commands_cost_little_beside_a_running_server(served: tuple[Home, list[str]]) -> None:
    """Processor time, as tests share their machine; 200 ms of waiting is promised on an idle one."""
    home, ids = served
    for arguments in (["list"], ["show", ids[2]], ["compare", ids[2], ids[3]]):
        best = math.inf
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert holdfast(home, "runs", *arguments).returncode == 0
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert best < 0.5, arguments


def test_a_table_fits_a_narrow_terminal() -> None:
    names = ("run_id", "name", "started", "took", "metrics.a", "metrics.b", "params.c")
    rows = [["f" * 32, "first", "2026-11-20 14:22", "1 s", "0.1", "0.2", "3"]]
    assert run_views._fitting(names, rows, 200)[0] == names
    kept, cells = run_views._fitting(names, rows, 80)
    assert kept == ("run_id", "name", "started", "took", "metrics.a")
    assert cells == [["f" * 32, "first", "2026-11-20 14:22", "1 s", "0.1"]]
    assert run_views._fitting(names, rows, 20)[0] == ("run_id", "name", "started")


def test_curves_as_text() -> None:
    assert sparkline([]) == ""
    assert sparkline([math.nan] * 3) == "   "
    assert sparkline([math.inf, 1.0, -math.inf]) == "█▄▁"
    assert len(sparkline([random.Random(1).random() for _ in range(999)])) == 40
    rising = chart([[(step, float(step)) for step in range(100)]], 60, 5)
    columns = [line.index("a") for line in rising[:5]]
    assert columns == sorted(columns, reverse=True)
    assert all(len(line) <= 60 for line in rising)
    assert rising[-1].split() == ["0", "99"]
    assert "*" in "".join(chart([[(0, 1.0)], [(0, 1.0)]], 40))
    assert chart([[(0, math.nan)], []], 40) == ["no value is a number"]


def test_the_examples_hold() -> None:
    import doctest

    for module in (plots, run_views):
        assert doctest.testmod(module).failed == 0
