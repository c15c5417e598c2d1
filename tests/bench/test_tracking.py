"""`make bench ARGS=tracking` measures what it says, small here, on SQLite and without its peer."""

from __future__ import annotations

import json

import pytest

from bench import __main__ as runner
from bench import tracking, tracking_data, tracking_servers

pytestmark = pytest.mark.slow


def test_the_tracking_benchmark_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    amounts = tracking.Amounts(1, 0.05, 1, few=150, many=300, points=20_000, questions=True)
    monkeypatch.setattr(tracking, "QUICK", amounts)
    monkeypatch.setattr(tracking_servers, "peer_python", lambda: None)
    monkeypatch.setattr(tracking_data, "postgresql", lambda: "")
    assert runner.main(["tracking", "--json"]) == 0
    captured = capsys.readouterr()
    assert "MLflow is left out" in captured.err
    found = {line["name"]: line for line in map(json.loads, captured.out.splitlines())}
    assert all(line["value"] > 0 and line["limit"] for line in found.values())
    assert found["log_metric, raw HTTP"]["floor"] > 0
    assert "search over 300 runs, a parameter by LIKE" in found
    assert found["bytes a metric point"]["value"] > 1
    assert found["server ready after"]["value"] < 30
