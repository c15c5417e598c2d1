"""The small pure parts of the pages: addresses of ids, words, evidence, bins, what happens next."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.loop.records import Decision
from holdfast.monitoring.records import QualityPoint
from holdfast.profiles.records import NumericColumn
from holdfast.rollout.records import Rollout, RolloutPolicy, Verdict
from holdfast.ui import bins, evidence, quality, urls, words
from holdfast.ui.outlook import rollout_next


@pytest.mark.parametrize("module", [urls, words, bins, quality])
def test_examples_in_docstrings_hold(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    ("urn", "page"),
    [
        ("registry/bike-demand", "/models/bike-demand"),
        ("tracking/run/abc", "/runs/abc"),
        ("loop/decision/31", "/decisions/31"),
        ("rollout/4", "/rollouts/4"),
        ("serving/production/bikes", "/deployments/production/bikes"),
        ("features/history@1", ""),
        ("code/9f31c07be2a84d55", ""),
        ("monitoring/alert/x", ""),
        ("", ""),
    ],
)
def test_every_id_with_a_page_has_its_address(urn: str, page: str) -> None:
    assert urls.of_urn(urn) == page


def decision(kind: str, **changes: object) -> Decision:
    fields = {"subject": "registry/bikes@3", "rule": "canary", "reason": "no worse", "evidence": {}} | changes
    return Decision(
        1, "bikes", "production", kind, reversal="", actor="loop", actor_kind="loop", decided_at=0, **fields
    )  # type: ignore[arg-type]


def test_titles_name_the_version() -> None:
    assert words.decision_title(decision("promote")) == "Version 3 promoted"
    assert words.decision_title(decision("start rollout")) == "Rollout of version 3 started"
    assert words.decision_title(decision("retrain", subject="tracking/run/ab")) == "Training requested"


def test_the_reason_of_an_alert_keeps_the_name_of_its_column() -> None:
    assert words.reason(decision("retrain", rule="on drift", reason="temp is drifting")) == "temp is drifting"
    assert words.reason(decision("promote", reason="no worse")) == "No worse"


def test_a_change_knows_which_way_is_better() -> None:
    assert words.change("mae", 40.0, 50.0) == "20% better"
    assert words.change("roc_auc", 0.8, 0.9) == "11% worse"
    assert words.change("mae", None, 50.0) == ""
    assert words.change("mae", 50.01, 50.0) == "unchanged"


def test_evidence_of_any_shape_is_told() -> None:
    told = evidence.facts(
        {
            "verdict": {"estimate": -0.1, "interval": [-0.2, 0.01], "rows": 400},
            "gates": [{"gate": "mae ≤ 60", "state": "passed", "spec": {"metric": "mae"}}],
            "metrics": {"accuracy": 1.0, "mae": 44.0},
            "custom": {"inner": 3},
            "nothing": None,
            "many": [1, 2],
        }
    )
    assert [(fact.name, fact.value) for fact in told] == [
        ("loss against the champion", "−10% (−20% to +1%)"),
        ("labelled rows", "400"),
        ("mae ≤ 60", "passed"),
        ("held-out mae", "44.0"),
        ("custom.inner", "3"),
        ("many", "2 entries"),
    ]


@given(
    st.lists(st.integers(0, 1000), min_size=30, max_size=66).filter(lambda counts: sum(counts) > 0),
    st.lists(st.integers(0, 1000), min_size=66, max_size=66),
)
def test_bins_lose_no_row_and_ascend(counts: list[int], others: list[int]) -> None:
    edges = tuple(float(place**2) for place in range(len(counts) - 1))
    reference = NumericColumn("x", edges, tuple(counts), count=sum(counts))
    current = NumericColumn("x", edges, tuple(others[: len(counts)]), count=sum(others[: len(counts)]))
    found = bins.readable_bins(reference, current)
    assert len(found.edges) == len(found.reference) + 1 == len(found.current) + 1
    assert list(found.edges) == sorted(set(found.edges))
    assert math.isclose(sum(found.reference), sum(counts), abs_tol=1e-6)
    assert math.isclose(sum(found.current), current.count, abs_tol=1e-6)


def test_days_without_predictions_are_gaps_and_zeros() -> None:
    points = [QualityPoint(day * DAY_US, 10, 10, 0.5, (0.4, 0.6)) for day in (0, 1, 5)]
    assert quality.rows_by_day(points, 6 * DAY_US + 1) == [
        (day * DAY_US, 10 if day in (0, 1, 5) else 0) for day in range(6)
    ]
    assert "no predictions" in quality.quality_chart(points, "mae", 0.5)


def test_recent_quality_ends_with_the_last_label_and_is_weighted() -> None:
    points = [
        QualityPoint(0, 100, 100, 9.0),
        QualityPoint(10 * DAY_US, 10, 10, 1.0),
        QualityPoint(11 * DAY_US, 30, 30, 2.0),
        QualityPoint(12 * DAY_US, 50, 0),
    ]
    assert quality.recent(points) == (1.75, 40, 40)
    assert quality.recent([]) == (None, 0, 0)


def test_an_open_rollout_says_what_it_waits_for() -> None:
    policy = RolloutPolicy("canary", steps=(5, 25, 100), hold_us=2 * HOUR_US)
    rollout = Rollout(
        1, "bikes", "production", 2, 1, policy, "canary", 0, 0, 0, verdict=Verdict("hold", "too few rows")
    )
    assert rollout_next(rollout, HOUR_US) == "25% of traffic in 1 h at the earliest"
    assert rollout_next(rollout, 3 * HOUR_US) == "waits: too few rows"
