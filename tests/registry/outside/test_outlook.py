"""What an MLmodel file lets expect of a deployment, without parsing it."""

from __future__ import annotations

import pytest

from holdfast.registry.outside.outlook import outlook


def mlmodel(*flavors: str) -> str:
    return (
        "artifact_path: model\nflavors:\n" + "".join(flavors) + "signature:\n  inputs: '[]'\n  sklearn: no\n"
    )


PYFUNC = "  python_function:\n    loader_module: x\n    env:\n      conda: conda.yaml\n"


@pytest.mark.parametrize(
    ("flavor", "verdict", "stored_as"),
    [
        ("  sklearn:\n    serialization_format: skops\n", "deployable", "skops"),
        ("  sklearn:\n    serialization_format: cloudpickle\n", "needs trust", "cloudpickle"),
        ("  sklearn:\n    code: null\n", "needs trust", "pickle"),
        (
            "  lightgbm:\n    data: model.lgb\n    model_class: lightgbm.basic.Booster\n",
            "deployable",
            "lightgbm text",
        ),
        ("  lightgbm:\n    data: model.lgb\n", "deployable", "lightgbm text"),
        (
            "  lightgbm:\n    model_class: lightgbm.sklearn.LGBMRegressor\n    serialization_format: cloudpickle\n",
            "needs trust",
            "cloudpickle",
        ),
        ("  onnx:\n    onnx_version: 1\n", "deployable", "onnx"),
        ("  pytorch:\n    model_data: data\n", "not servable", ""),
    ],
)
def test_flavors_decide(flavor: str, verdict: str, stored_as: str) -> None:
    found = outlook(mlmodel(flavor, PYFUNC))
    assert (found.verdict, found.stored_as) == (verdict, stored_as)
    assert "python_function" not in found.flavors


@pytest.mark.parametrize("text", ["", "nonsense", "flavors:", "\0\0", "flavors:\n" + "  " * 9000])
def test_anything_else_is_unknown(text: str) -> None:
    assert outlook(text).verdict == "unknown"


def test_a_model_of_plain_functions_is_not_servable() -> None:
    assert outlook(mlmodel(PYFUNC)).verdict == "not servable"
    assert outlook(mlmodel(PYFUNC)).flavors == ("python_function",)
