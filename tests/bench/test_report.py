"""The lines of `make bench` hold what they promise, and the quick benchmarks run."""

from __future__ import annotations

import json

import pytest
from bench.report import as_json, as_text, figure

from bench import __main__ as runner
from bench import ledger, startup

PROMISED = {"name", "value", "unit", "floor", "ratio"}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_json_line_has_the_promised_fields() -> None:
    line = as_json(figure("import holdfast", 30.04, "ms", 20.0, aim="≤ floor + 30 ms"))
    assert "\n" not in line
    found = json.loads(line)
    assert found.keys() == PROMISED | {"aim", "limit"}
    assert (found["value"], found["floor"], found["ratio"]) == (30.0, 20.0, 1.5)


def test_without_a_floor_there_is_no_ratio() -> None:
    found = json.loads(as_json(figure("failed requests", 0, "requests")))
    assert found["floor"] is None
    assert found["ratio"] is None


def test_large_values_keep_their_digits() -> None:
    assert figure("rate", 43577.6, "requests/s").value == 43578


def test_people_read_value_floor_ratio_aim_and_limit() -> None:
    text = as_text(figure("start", 50, "ms", 25, aim="≤ 30 ms", limit="Imports."))
    for said in ("start", "50 ms", "floor 25 ms", "ratio 2", "aim ≤ 30 ms", "Imports."):
        assert said in text


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        runner.main(["speed"])
    assert left.value.code == 2
    assert "there is no benchmark 'speed'; there are startup, ledger" in capsys.readouterr().err


def test_a_failing_benchmark_hides_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*, quick: bool):
        yield figure("before", 1, "s")
        raise RuntimeError("no disk")

    monkeypatch.setattr(startup, "figures", broken)
    monkeypatch.setattr(ledger, "figures", lambda *, quick: [figure("after", 2, "s")])
    assert runner.main(["startup", "ledger", "--json"]) == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["name"] for line in captured.out.splitlines()] == ["before", "after"]
    assert "failed: startup" in captured.err


def test_the_ledger_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["ledger", "--json"]) == 0
    found = lines(capsys)
    assert len(found) == 2
    assert all(line["value"] > 0 and line["floor"] > 0 and line["limit"] for line in found)


@pytest.mark.slow
def test_the_startup_benchmark_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "QUICK", (1, 1))
    assert runner.main(["startup", "--json"]) == 0
    found = {line["name"]: line for line in lines(capsys)}
    assert all(line["ratio"] > 0 for line in found.values())
    alone, whole = found["server memory"], found["server memory with the warm training child"]
    assert 0 < alone["value"] < 150
    assert whole["value"] > alone["value"]
