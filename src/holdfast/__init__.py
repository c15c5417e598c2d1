"""holdfast keeps machine-learning models working in the real world.

The public names load on first use, so that `import holdfast` costs next to nothing:

    import holdfast as hf

    rides = hf.Table("rides", source="hour.csv", time="at", label="cnt", label_delay="1h")

    @hf.model("bike-demand", table=rides, task="regression", gates=[hf.at_most("mae", 60)])
    def train(data, params): ...
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from holdfast.base.version import VERSION as __version__  # noqa: F401

# ONNX Runtime (1.29 and later) tells Microsoft about models and machine unless this is set before it is loaded. What a
# model is made of stays here; whoever wants to report sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# A constant of our own, which type checkers know: importing `typing` would double the time of `import holdfast`.
TYPE_CHECKING = False

_PUBLIC = {
    "Entity": "holdfast.sdk.feature_views",
    "FeatureService": "holdfast.sdk.feature_views",
    "Params": "holdfast.training.training_set",
    "Table": "holdfast.sdk.table",
    "TrainingSet": "holdfast.training.training_set",
    "aggregate": "holdfast.sdk.aggregate",
    "at_least": "holdfast.sdk.gates",
    "at_most": "holdfast.sdk.gates",
    "canary": "holdfast.sdk.rollouts",
    "connect": "holdfast.sdk.connection",
    "datasets": "holdfast.sdk.datasets",
    "direct": "holdfast.sdk.rollouts",
    "features": "holdfast.sdk.feature_views",
    "model": "holdfast.sdk.models",
    "monitor": "holdfast.sdk.policies",
    "no_worse_than_production": "holdfast.sdk.gates",
    "request_features": "holdfast.sdk.feature_views",
    "retrain": "holdfast.sdk.policies",
    "run": "holdfast.sdk.runs.start",
    "shadow_then_switch": "holdfast.sdk.rollouts",
    "training_frame": "holdfast.sdk.offline_features",
}

__all__ = [
    "Entity",
    "FeatureService",
    "Params",
    "Table",
    "TrainingSet",
    "aggregate",
    "at_least",
    "at_most",
    "canary",
    "connect",
    "datasets",
    "direct",
    "features",
    "model",
    "monitor",
    "no_worse_than_production",
    "request_features",
    "retrain",
    "run",
    "shadow_then_switch",
    "training_frame",
]

if TYPE_CHECKING:
    from holdfast.sdk import aggregate, datasets
    from holdfast.sdk.connection import connect
    from holdfast.sdk.feature_views import Entity, FeatureService, features, request_features
    from holdfast.sdk.gates import at_least, at_most, no_worse_than_production
    from holdfast.sdk.models import model
    from holdfast.sdk.offline_features import training_frame
    from holdfast.sdk.policies import monitor, retrain
    from holdfast.sdk.rollouts import canary, direct, shadow_then_switch
    from holdfast.sdk.runs.start import run
    from holdfast.sdk.table import Table
    from holdfast.training.training_set import Params, TrainingSet


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    module = import_module(_PUBLIC[name])
    value: object = module if _PUBLIC[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Keeps `hf.features` the decorator: importing the subpackage of that name would put itself in its place."""

    @property
    def features(self) -> object:
        return __getattr__("features")

    @features.setter
    def features(self, subpackage: ModuleType) -> None:
        """Called by the import system; the subpackage stays reachable by its full name."""


sys.modules[__name__].__class__ = _Package
