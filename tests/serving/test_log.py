"""The prediction log: the same rows, however they are read and wherever they lie."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from holdfast.base.home import Home
from holdfast.serving.entity_labels import entity_id
from holdfast.serving.log import DeploymentKey, PredictionLog
from holdfast.serving.log_reader import LogBatch
from holdfast.serving.records import Frame, LabelFrame, PredictionFrame, RejectionFrame, SchemaFrame
from holdfast.serving.spool import SpoolWriter, deployment_folder

KEY = DeploymentKey("default", "production", "bikes")
SCHEMAS = (
    SchemaFrame(1, ["store", "temp"], ["temp", "lag"], ["store"]),
    SchemaFrame(2, ["store", "temp", "wind"], ["temp"], ["store"]),
)


def prediction(request: str, at: int, version: int = 1, rows: int = 1, **rest: object) -> PredictionFrame:
    width = len(SCHEMAS[version - 1].features)
    inputs: list[list[object]] = [[f"s{row}" for row in range(rows)], [at + row / 2 for row in range(rows)]]
    if version == 2:
        inputs.append([1] * rows)
    values: dict[str, object] = {
        "request_id": request, "at": at, "received_at": at + 1, "revision": 3, "version": version,
        "role": "champion", "propensity": 1.0, "inputs": inputs, "features": [[0.5, math.nan][:width]] * rows,
        "outputs": [float(at + row) for row in range(rows)], "latency_us": 10,
    } | rest  # fmt: skip
    return PredictionFrame(**values)  # type: ignore[arg-type]


def label(prediction_id: str, value: float, known_at: int) -> LabelFrame:
    return LabelFrame(known_at, known_at, [prediction_id], [value], [known_at])


def spool(home: Home, worker: str = "w1", **options: object) -> SpoolWriter:
    made = SpoolWriter(deployment_folder(home.spool, KEY), worker, 1_000, **options)  # type: ignore[arg-type]
    for schema in SCHEMAS:
        made.declare(schema)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    return made


def test_rows_have_the_promised_columns(home: Home) -> None:
    log = spool(home)
    log.append([prediction("a", 5, rows=2, flags=["temp: above 1"]), prediction("b", 4, 2, shadow=True)])
    log.append([RejectionFrame("c", 6, 6, "invalid_field", "temp: no", "rows[0].temp")])
    batch = PredictionLog(home).read_since(KEY, None)
    assert batch.predictions.columns == [
        "prediction_id", "request_id", "row", "at", "received_at", "revision", "version", "role", "shadow",
        "propensity", "latency_us", "output", "error", "flags",
        "input.store", "input.temp", "input.wind", "feature.temp", "feature.lag",
    ]  # fmt: skip
    assert batch.predictions.select("prediction_id", "at", "output", "input.temp", "feature.lag").rows() == [
        ("p_b.0", 4, 4.0, 4.0, None),
        ("p_a.0", 5, 5.0, 5.0, None),
        ("p_a.1", 5, 6.0, 5.5, None),
    ]
    assert batch.predictions["flags"].to_list() == [[], ["temp: above 1"], ["temp: above 1"]]
    assert batch.rejections.rows() == [("c", 6, 6, "invalid_field", "temp: no", "rows[0].temp")]
    assert (
        PredictionLog(home).read_since(KEY, batch.cursor).predictions.columns
        == batch.predictions.columns[:14]
    )


def test_the_first_answer_of_a_repeated_request_counts_and_an_answer_beats_a_failure(home: Home) -> None:
    log = spool(home)
    log.append([prediction("a", 1, outputs=[None], features=[], error="ValueError: no")])
    log.append([prediction("a", 2, outputs=[7.0]), prediction("a", 3, outputs=[8.0])])
    log.append([prediction("a", 2, outputs=[9.0], shadow=True)])
    found = PredictionLog(home).predictions(KEY)
    assert found.select("prediction_id", "shadow", "output", "error").rows() == [
        ("p_a.0", False, 7.0, None),
        ("p_a.0", True, 9.0, None),
    ]


def test_the_feed_holds_answered_rows_whose_last_label_became_known_in_the_interval(home: Home) -> None:
    log = spool(home)
    log.append([prediction(name, at) for at, name in enumerate("abcd")])
    log.append([prediction("a", 0, 2, shadow=True), prediction("e", 9, outputs=[None], error="broke")])
    log.append(
        [label("p_a.0", 1.0, 10), label("p_b.0", 2.0, 20), label("p_b.0", 2.5, 25), label("p_c.0", 3.0, 30)]
    )
    log.append([label("p_a.0", 1.5, 22), label("p_e.0", 5.0, 20), label("p_unknown.0", 5.0, 20)])
    reader = PredictionLog(home)
    columns = ["_row_id", "_label", "_known_at", "_at", "temp"]
    assert reader.feed(KEY, 0, 10).select(columns).rows() == [("p_a.0", 1.0, 10, 0, 0.0)]
    assert reader.feed(KEY, 10, 25).select(columns).rows() == [
        ("p_a.0", 1.5, 22, 0, 0.0),
        ("p_b.0", 2.5, 25, 1, 1.0),
    ]
    assert reader.feed(KEY, 25, 99).get_column("_row_id").to_list() == ["p_c.0"]
    assert reader.labels(KEY).filter(prediction_id="p_b.0").get_column("value").to_list() == [2.5]


def test_labels_by_entity_and_time_find_their_predictions_across_reads_and_shipping(home: Home) -> None:
    log = spool(home, segment_bytes=1)
    log.append([prediction("a", 100, rows=2, times=[50, 60]), prediction("b", 70)])
    reader = PredictionLog(home)
    first = reader.read_since(KEY, None)
    reader.ship(KEY)
    log.append([LabelFrame(90, 90, [entity_id(60, ["s1"]), entity_id(70, ["s0"])], [1.0, 2.0], [90, 91])])
    log.append([label(entity_id(70, ["s9"]), 5.0, 92)])
    later = reader.read_since(KEY, first.cursor)
    assert later.labels.select("prediction_id", "value").rows() == [("p_a.1", 1.0), ("p_b.0", 2.0)]
    assert PredictionLog(home).labels(KEY).select("prediction_id", "value").rows() == [
        ("p_a.1", 1.0),
        ("p_b.0", 2.0),
    ]


def test_shipping_can_stop_anywhere_and_be_repeated(home: Home) -> None:
    log = spool(home)
    log.append([prediction("a", 1), prediction("b", 2, 2), label("p_a.0", 3.0, 5)])
    log.close()
    reader = PredictionLog(home)
    before = reader.read_since(KEY, None)
    (raw,) = deployment_folder(home.spool, KEY).iterdir()
    copy = raw.read_bytes()
    (manifest,) = reader.ship(KEY)
    assert (manifest.predictions, manifest.labels, manifest.raw_bytes) == (2, 1, len(copy))
    raw.write_bytes(copy)  # As if the process had died between the rename and the removal.
    assert_same(PredictionLog(home).read_since(KEY, None), before)
    assert PredictionLog(home).ship(KEY) == [manifest]
    assert not raw.exists()
    assert PredictionLog(home).ship(KEY) == []
    assert_same(PredictionLog(home).read_since(KEY, None), before)
    folder = home.segments / "default" / "production" / "bikes"
    assert [path.name for path in folder.iterdir()] == [manifest.segment]
    assert pl.read_parquet(folder / "*" / "predictions.parquet").height == 2


def test_a_following_reader_pays_nothing_when_nothing_is_new(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = spool(home)
    log.append([prediction("a", 1)])
    reader = PredictionLog(home)
    cursor = reader.read_since(KEY, None).cursor
    monkeypatch.setattr(
        "holdfast.serving.log_reader.iterate_segment", lambda *_: pytest.fail("it read the segment again")
    )
    assert reader.read_since(KEY, cursor).cursor == cursor


frames = st.one_of(
    st.builds(
        prediction,
        st.sampled_from("abcdef"),
        st.integers(0, 9),
        st.sampled_from([1, 2]),
        st.integers(1, 3),
        shadow=st.booleans(),
    ),
    st.builds(label, st.sampled_from(["p_a.0", "p_b.0", "p_c.1"]), st.floats(0, 9), st.integers(0, 9)),
    st.builds(
        RejectionFrame, st.just("x"), st.integers(0, 9), st.integers(0, 9), st.just("code"), st.just("m")
    ),
)
steps = st.lists(
    st.one_of(
        st.lists(frames, min_size=1, max_size=4),
        st.sampled_from(["read", "ship", "close", "restart", "other worker"]),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_following_the_log_by_cursor_gives_what_reading_it_whole_gives(
    steps: list[list[Frame] | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    writers = [spool(home, "w1", segment_bytes=600), spool(home, "w2", segment_bytes=600)]
    reader, cursor, followed, count = PredictionLog(home), None, [], [0, 0, 0]
    unique = 0
    for step in [*steps, "read"]:
        if step == "read":
            batch = reader.read_since(KEY, cursor)
            followed.append(batch)
            cursor = batch.cursor
        elif step == "ship":
            PredictionLog(home).ship(KEY)
        elif step == "close":
            writers[0].close()
        elif step == "restart":
            reader = PredictionLog(home)
        elif step == "other worker":
            writers.reverse()
        else:
            assert isinstance(step, list)
            renamed: list[Frame] = []
            for frame in step:
                if isinstance(frame, PredictionFrame):
                    unique += 1
                    frame = prediction(
                        f"{frame.request_id}{unique}", frame.at, frame.version, len(frame.outputs)
                    )
                    count[0] += len(frame.outputs)
                count[1] += isinstance(frame, LabelFrame)
                count[2] += isinstance(frame, RejectionFrame)
                renamed.append(frame)
            writers[0].append(renamed)
    whole = PredictionLog(home).read_since(KEY, None)
    assert [whole.predictions.height, whole.labels.height, whole.rejections.height] == count
    order = ["at", "request_id", "row"]
    joined = LogBatch(
        pl.concat([batch.predictions for batch in followed], how="diagonal_relaxed"),
        pl.concat([batch.labels for batch in followed]),
        pl.concat([batch.rejections for batch in followed]),
        followed[-1].cursor,
    )
    assert_frame_equal(
        joined.predictions.sort(order), whole.predictions.sort(order), check_column_order=False
    )
    labels = ["prediction_id", "known_at", "value"]
    assert_frame_equal(joined.labels.sort(labels), whole.labels.sort(labels))


def assert_same(one: LogBatch, other: LogBatch) -> None:
    assert_frame_equal(one.predictions, other.predictions)
    assert_frame_equal(one.labels, other.labels)
    assert_frame_equal(one.rejections, other.rejections)
