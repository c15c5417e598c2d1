"""A glance at a version from outside: what it is stored as, and whether deploying it will need trust or be refused.

It scans the text of the MLmodel file for the few words that `convert` decides by. The child process that reads the
model at deployment is the judge; this only tells a reader what to expect, and so never parses what others wrote.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Verdict = Literal["deployable", "needs trust", "not servable", "unknown"]

TEXT_BYTES_MOST = 64 << 10
_FLAVOR = re.compile(r"^  ([\w.]+):")
_SETTING = re.compile(r"^    (serialization_format|model_class): *([\w.]+)")
_SERVABLE = ("lightgbm", "sklearn", "onnx")


class Outlook(msgspec.Struct, frozen=True):
    """What to expect of a deployment: the flavors but pyfunc, how the model is stored, and what follows."""

    flavors: tuple[str, ...]
    stored_as: str
    verdict: Verdict


def outlook(mlmodel: str) -> Outlook:
    """What an MLmodel file says of itself.

    Example:
        >>> text = "flavors:\\n  sklearn:\\n    serialization_format: cloudpickle\\nrun_id: 1\\n"
        >>> outlook(text)
        Outlook(flavors=('sklearn',), stored_as='cloudpickle', verdict='needs trust')
    """
    flavors = _flavors(mlmodel)
    named = tuple(name for name in flavors if name != "python_function")
    flavor = next((name for name in _SERVABLE if name in flavors), None)
    if flavor is None:
        return Outlook(named or tuple(flavors), "", "not servable" if flavors else "unknown")
    if flavor == "onnx":
        return Outlook(named, "onnx", "deployable")
    settings = flavors[flavor]
    if flavor == "lightgbm" and settings.get("model_class", "Booster").endswith("Booster"):
        return Outlook(named, "lightgbm text", "deployable")
    stored_as = settings.get("serialization_format", "pickle")
    return Outlook(named, stored_as, "deployable" if stored_as == "skops" else "needs trust")


def _flavors(mlmodel: str) -> dict[str, dict[str, str]]:
    """The flavors and the two settings that matter, as MLflow indents them."""
    found: dict[str, dict[str, str]] = {}
    within, current = False, ""
    for line in mlmodel[:TEXT_BYTES_MOST].splitlines():
        if not line.startswith(" "):
            within = line.startswith("flavors:")
        elif within and (flavor := _FLAVOR.match(line)):
            current = flavor[1]
            found[current] = {}
        elif within and current and (setting := _SETTING.match(line)):
            found[current][setting[1]] = setting[2]
    return found
