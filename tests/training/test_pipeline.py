"""The pipeline on real files: what comes out, and what each mistake of a user says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from holdfast.base.clock import DAY_US, HOUR_US
from holdfast.base.encoding import from_msgpack
from holdfast.base.errors import HoldfastError
from holdfast.data.build import read_parts
from holdfast.data.records import Contract, DatasetVersion
from holdfast.registry.baseline import Baseline
from holdfast.registry.encode import encode_frame
from holdfast.registry.formats import load_predictor
from holdfast.training.pipeline import run_pipeline
from holdfast.training.records import ProductionModel, TrainingOutcome, TrainingTask
from tests.training.worlds import MODEL, blobs_of, end_at, make_task, write_sales


@pytest.fixture
def task(tmp_path: Path) -> TrainingTask:
    write_sales(tmp_path)
    return make_task(tmp_path)


def grown(task: TrainingTask, outcome: TrainingOutcome) -> DatasetVersion:
    """The dataset version that the server would have registered."""
    draft = outcome.dataset
    facts = {name: getattr(draft, name) for name in draft.__struct_fields__ if name != "fields"}
    contract = Contract(draft.table, 1, draft.fields)
    return DatasetVersion(version=1, contract=contract, created_at=0, created_by="ann", **facts)


def write_feed(path: Path, frame: pl.DataFrame, first: int, **changes: Any) -> str:
    """Logged rows as the server writes them: inputs, label, when it became known, row id."""
    at = end_at(first) + np.arange(frame.height) * HOUR_US
    feed = frame.drop("sold", "sold_twice").with_columns(
        pl.Series("_label", frame["sold"]),
        pl.Series("_known_at", at + HOUR_US),
        pl.Series("_row_id", [f"p_{number}.0" for number in range(frame.height)]),
        pl.Series("_at", at),
        **{name: pl.lit(value) for name, value in changes.items()},
    )
    feed.write_parquet(path)
    return str(path)


def test_outcome_has_everything_a_version_needs(task: TrainingTask) -> None:
    outcome = run_pipeline(task)
    blobs = blobs_of(task)
    assert [(c.name, c.type, c.view) for c in outcome.signature.columns] == [
        ("temperature", "float", None),
        ("weather", "string", None),
        ("holiday", "boolean", None),
        ("sold_before", "float", "last_sold"),
    ]
    assert outcome.warnings == ("note was left out: a string column with 600 different values",)
    assert [gate.state for gate in outcome.gates] == ["passed"] * 3
    assert outcome.metrics["mae"] < 12
    assert (outcome.rows_train, outcome.rows_holdout) == (479, 120)
    assert outcome.parameters["alpha"] == outcome.parameters["Ridge.alpha"] == "0.5"
    assert outcome.environment.packages["numpy"]
    rows = read_parts(outcome.dataset.parts, blobs).collect()
    assert "sold_twice" not in rows.columns
    baseline = from_msgpack(blobs.read(outcome.profile), Baseline)
    assert baseline.losses.metric == "mae"
    assert baseline.losses.mean == pytest.approx(outcome.metrics["mae"])
    assert baseline.inputs.row_count == 600
    assert baseline.inputs.column("weather").counts.keys() == {"clear", "rain"}
    assert baseline.prediction.row_count == 120
    assert outcome.history is not None
    history = pl.read_parquet(io.BytesIO(blobs.read(outcome.history)))
    assert history.height == 4 * 24 + 1  # ttl and lookback are two days each


def test_the_same_task_gives_the_same_model(task: TrainingTask) -> None:
    first, second = run_pipeline(task), run_pipeline(task)
    assert first.dataset.fingerprint == second.dataset.fingerprint
    assert first.files[1].digest == second.files[1].digest
    assert first.metrics == second.metrics


def test_labels_that_were_not_known_at_the_cut_are_not_trained_on(tmp_path: Path) -> None:
    write_sales(tmp_path)
    late = MODEL.replace('label_delay="1h"', 'label_delay="10h"').replace("hours=1)", "hours=10)")
    outcome = run_pipeline(make_task(tmp_path, late, as_of_at=end_at() + 10 * HOUR_US))
    assert (outcome.rows_train, outcome.rows_holdout) == (470, 120)


def test_features_of_the_training_rows_are_the_labels_one_hour_before(tmp_path: Path) -> None:
    frame = write_sales(tmp_path)
    probe = MODEL.replace(
        "    return make_pipeline",
        "    data.frame.write_parquet(__file__ + f'.{len(data)}')\n    return make_pipeline",
    )
    run_pipeline(make_task(tmp_path, probe))
    seen = pl.read_parquet(tmp_path / "code" / "model.py.600")
    assert seen["sold_before"][0] is None
    assert seen["sold_before"][1:].to_list() == frame["sold"][:-1].to_list()
    assert not {"_available_at", "_row_id"} & set(seen.columns)


def test_a_version_grows_by_the_feed_and_is_compared_on_rows_new_to_production(
    task: TrainingTask, tmp_path: Path
) -> None:
    first = run_pipeline(task)
    base = grown(task, first)
    later = write_sales(tmp_path / "code", rows=200, seed=2, start=600)
    feed = write_feed(tmp_path / "feed.parquet", later, 600)
    production = ProductionModel(1, first.signature, first.files, base.as_of_at)
    again = msgspec.structs.replace(
        task,
        run_id="b" * 32,
        base=base,
        feed=(feed,),
        production=production,
        as_of_at=end_at(802) + HOUR_US,
        spec=msgspec.structs.replace(task.spec, holdout_us=10 * DAY_US),
    )
    second = run_pipeline(again)
    assert second.dataset.rows == 800
    assert [part.origin for part in second.dataset.parts] == ["source", "feed"]
    compared = second.gates[1]
    assert compared.reference is not None
    assert compared.rows == 200
    assert "40 held-out rows that production was fitted on are left out" in compared.message
    unseen = msgspec.structs.replace(
        again, production=msgspec.structs.replace(production, trained_until_at=again.as_of_at)
    )
    assert run_pipeline(unseen).gates[1].state == "insufficient data"


def test_rows_that_break_the_contract_stop_the_training(task: TrainingTask, tmp_path: Path) -> None:
    base = grown(task, run_pipeline(task))
    later = write_sales(tmp_path / "code", rows=50, seed=2, start=600)
    bad = write_feed(tmp_path / "bad.parquet", later.drop("temperature"), 600)
    with pytest.raises(HoldfastError, match="temperature"):
        run_pipeline(msgspec.structs.replace(task, base=base, feed=(bad,), as_of_at=end_at(660)))
    strange = write_feed(tmp_path / "strange.parquet", later.with_columns(temperature=pl.lit(99.5)), 600)
    outcome = run_pipeline(msgspec.structs.replace(task, base=base, feed=(strange,), as_of_at=end_at(660)))
    assert any("temperature" in warning for warning in outcome.warnings)


def test_a_binary_model_gives_probabilities(tmp_path: Path) -> None:
    frame = write_sales(tmp_path)
    frame.with_columns(pl.col("sold") > 280).write_csv(tmp_path / "sales.csv")
    source = (
        MODEL.replace("Ridge(**params)", "LogisticRegression(C=params.alpha)")
        .replace("import Ridge", "import LogisticRegression")
        .replace('"regression"', '"binary"')
        .replace('"mae", 60', '"log_loss", 0.6')
        .replace('"mae"', '"log_loss"')
    )
    task = make_task(tmp_path, source)
    outcome = run_pipeline(task)
    assert 0.5 < outcome.metrics["roc_auc"] <= 1
    assert from_msgpack(blobs_of(task).read(outcome.profile), Baseline).losses.metric == "log_loss"
    rows = read_parts(outcome.dataset.parts, blobs_of(task)).collect().with_columns(sold_before=pl.lit(0.0))
    outputs = load_predictor(outcome.files, "binary", blobs_of(task)).predict(
        encode_frame(rows, outcome.signature)
    )
    assert ((outputs >= 0) & (outputs <= 1)).all()


BODY = "    return make_pipeline(SimpleImputer(), Ridge(**params)).fit(data.X.to_numpy(), data.y)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "    raise ValueError('no luck')",
            r"training function train raised ValueError: no luck \(model.py, line 19\)",
        ),
        (
            "    import sys; sys.exit(3)",
            r"training function train raised SystemExit: 3 \(model.py, line 19\)",
        ),
        ("    pass", "the training function returned None; end it with `return model`"),
        ("    return Ridge", "returned the class Ridge, not a fitted model"),
        ("    return Ridge()", "the model Ridge cannot predict 120 rows of 4 columns"),
        ("    return Ridge().fit(data.X.fill_nan(0), data.y)", "pipeline with SimpleImputer"),
        ("    return params.beta", "there is no parameter 'beta'; declared with params=: alpha"),
    ],
)
def test_mistakes_in_the_training_function_are_one_sentence(body: str, message: str, tmp_path: Path) -> None:
    write_sales(tmp_path)
    with pytest.raises(HoldfastError, match=message) as caught:
        run_pipeline(make_task(tmp_path, MODEL.replace(BODY, body)))
    assert "\n" not in str(caught.value)


def test_a_feature_function_that_sees_the_future_is_refused(tmp_path: Path) -> None:
    write_sales(tmp_path)
    with pytest.raises(HoldfastError, match=r"last_sold: 'sold_before' at .* serving"):
        run_pipeline(make_task(tmp_path, MODEL.replace("hours=1)", "hours=0)")))


def test_too_few_rows_and_wrong_labels_are_refused(tmp_path: Path) -> None:
    write_sales(tmp_path, rows=60)
    with pytest.raises(
        HoldfastError, match="12 rows are left to evaluate on when the last fifth of the rows"
    ):
        run_pipeline(make_task(tmp_path))
    frame = write_sales(tmp_path)
    binary = MODEL.replace('"regression"', '"binary"').replace('"mae"', '"log_loss"')
    with pytest.raises(HoldfastError, match="the label 'sold' has other values than 0 and 1"):
        run_pipeline(make_task(tmp_path, binary))
    frame.with_columns(sold=pl.lit(1.0)).write_csv(tmp_path / "sales.csv")
    with pytest.raises(HoldfastError, match="the label 'sold' is 1 in every row to train on"):
        run_pipeline(make_task(tmp_path, binary))


def declared(task: TrainingTask, **changes: Any) -> TrainingTask:
    """The same training of a table whose contract people keep: as inferred, with changes of some fields."""
    fields = {field.name: field for field in run_pipeline(task).dataset.fields}
    for name, changed in changes.items():
        fields[name] = msgspec.structs.replace(fields[name], **changed)
    table = msgspec.structs.replace(task.spec.table, contract=Contract("sales", 1, tuple(fields.values())))
    return msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, table=table))


def test_a_contract_that_people_keep_is_the_versions_own(task: TrainingTask) -> None:
    kept = declared(task, weather={"hard": True, "description": "seen from the window"})
    outcome = run_pipeline(kept)
    weather = next(field for field in outcome.contract.fields if field.name == "weather")
    assert (weather.hard, weather.categories, weather.description) == (
        True,
        ("clear", "rain"),
        "seen from the window",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weather": {"hard": True, "categories": ("rain",)}}, "weather: 'clear' is an unknown category"),
        (
            {"weather": {"type": "integer", "categories": None}},
            "weather is string in the table and integer in",
        ),
        ({"weather": {"name": "sky"}}, "the column 'weather' is not in the contract of sales; add it there"),
    ],
)
def test_rows_that_break_a_kept_contract_are_not_trained_on(
    task: TrainingTask, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(HoldfastError) as caught:
        run_pipeline(declared(task, **changes))
    assert message in str(caught.value)
