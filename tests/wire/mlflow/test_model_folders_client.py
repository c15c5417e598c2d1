"""Versions that holdfast trained, loaded and asked by MLflow's client."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from holdfast.base.home import Home
from tests.real_mlflow import mlflow, pd
from tests.wire.mlflow.trained import names, rows, served, train_and_serve

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    found = Home(folder / "home")
    started = train_and_serve(found, folder)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(found.server().url)
    mlflow.set_registry_uri(found.server().url)
    yield found
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("name", names())
def test_pyfunc_by_alias_and_by_number_agrees_with_the_data_plane(home, name):
    asked = rows()
    frame = pd.DataFrame(asked)
    expected = served(home, name, asked)
    for address in (f"models:/{name}@champion", f"models:/{name}/1"):
        model = mlflow.pyfunc.load_model(address)
        np.testing.assert_array_equal(model.predict(frame), expected)
    assert model.metadata.signature.inputs.input_names() == ["price", "count", "kind", "express", "weight"]
    with pytest.raises(mlflow.MlflowException, match="price"):
        model.predict(frame.drop(columns="price"))
    with pytest.raises(mlflow.MlflowException, match="count"):
        model.predict(frame.assign(count=0.5))


def test_the_bare_estimator_is_there_in_mlflows_own_flavors(home):
    if "boosted" in names():
        booster = mlflow.lightgbm.load_model("models:/boosted@champion")
        assert booster.num_trees() == 15
    bare = mlflow.sklearn.load_model("models:/trees/1")
    assert bare.predict_proba(np.zeros((2, 5))).shape == (2, 2)
