"""The `MLmodel` file: flavors, signature and input example, as MLflow writes them. Read in the child only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from holdfast.registry.errors import UnservableModelError

_NUMBERS = {
    "boolean": "boolean",
    "bool": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "float",
    "double": "float",
}


class Column(msgspec.Struct, frozen=True):
    """One input as the signature names it; `type` is a contract's word."""

    name: str
    type: str
    required: bool = True


class MlModel(msgspec.Struct, frozen=True):
    """What the folder says. `columns` are None where there is no signature; `width` is that of a tensor's rows."""

    flavors: dict[str, dict[str, Any]]
    columns: tuple[Column, ...] | None = None
    width: int | None = None
    example: tuple[tuple[float, ...], ...] = ()


def read_mlmodel(folder: Path) -> MlModel:
    """Reads the folder's MLmodel file and its input example.

    Raises:
        UnservableModelError: there is none, it cannot be read, or an input is of a type that cannot be served.
    """
    import yaml

    try:
        found = yaml.safe_load((folder / "MLmodel").read_text())
        flavors = {str(name): dict(settings or {}) for name, settings in found["flavors"].items()}
    except FileNotFoundError:
        raise UnservableModelError(
            "the version's source holds no MLmodel file, so it is no model that MLflow logged",
            hint="register what `mlflow.<library>.log_model` wrote",
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UnservableModelError(f"the version's MLmodel file cannot be read ({error})") from None
    columns, width = _inputs((found.get("signature") or {}).get("inputs"))
    return MlModel(flavors, columns, width, _example(folder, found.get("saved_input_example_info") or {}))


def _inputs(text: str | None) -> tuple[tuple[Column, ...] | None, int | None]:
    if not text:
        return None, None
    inputs = json.loads(text)
    if any(item.get("type") == "tensor" for item in inputs):
        return None, _tensor_width(inputs)
    return tuple(_column(item, position) for position, item in enumerate(inputs)), None


def _column(item: dict[str, Any], position: int) -> Column:
    name, type_ = str(item.get("name", f"x{position}")), str(item.get("type"))
    if type_ not in _NUMBERS:
        raise UnservableModelError(
            f"the input {name!r} is of type {type_}, and a model from outside is served with numbers only",
            hint="encode it before the model, or train with holdfast, which encodes categories itself",
        )
    return Column(name, _NUMBERS[type_], bool(item.get("required", True)))


def _tensor_width(inputs: list[dict[str, Any]]) -> int:
    shape = inputs[0]["tensor-spec"]["shape"] if len(inputs) == 1 else []
    if len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 1:
        raise UnservableModelError(
            f"the model's inputs are tensors of the shape {shape or 'several'}; rows of numbers can be served",
            hint="log it with a signature of one tensor of shape (-1, columns), or of named columns",
        )
    return int(shape[1])


def _example(folder: Path, info: dict[str, Any]) -> tuple[tuple[float, ...], ...]:
    """The rows of the input example, none where there is none or it is no table of numbers."""
    path = folder / str(info.get("artifact_path", ""))
    if not info.get("artifact_path") or not path.resolve().is_relative_to(folder.resolve()):
        return ()
    try:
        value = json.loads(path.read_text())
        rows = value.get("data") or value.get("inputs") or [] if isinstance(value, dict) else value
        return tuple(tuple(float(cell) for cell in row) for row in rows)
    except (OSError, ValueError, TypeError):
        return ()
