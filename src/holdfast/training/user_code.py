"""The user's declarations in a loaded bundle, and calls into the user's functions that fail with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.base import bundle
from holdfast.base.errors import HoldfastError, UserCodeError
from holdfast.training.records import TrainingTask


class UserCode(NamedTuple):
    """What a training needs of a bundle: the table object, the training function, feature functions by name."""

    folder: Path
    table: Any
    train: Callable[..., Any]
    features: dict[str, Callable[..., Any]]


def load_user_code(task: TrainingTask) -> UserCode:
    """Imports the bundle and finds the declared objects: this runs user code.

    Raises:
        UserCodeError: the file raises, or no longer declares what the task names.
    """
    folder = Path(task.bundle_folder)
    module = bundle.load(folder, task.entry)
    spec = task.spec
    tables = bundle.declared(module, "__holdfast_table__")
    trainers = bundle.declared(module, "__holdfast_model__")
    views = bundle.declared(module, "__holdfast_features__")
    return UserCode(
        folder,
        _find(tables, spec.table.name, "table", task.entry),
        _find(trainers, spec.name, "model", task.entry),
        {view.name: _find(views, view.name, "feature view", task.entry) for view in spec.features},
    )


def call(what: str, folder: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function of the user.

    Raises:
        UserCodeError: it raised; the message has the error, the file and the line.
    """
    try:
        return function(*arguments)
    except HoldfastError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{what} raised {bundle.describe(error, folder)}") from error


def _find(found: dict[str, Any], name: str, noun: str, entry: str) -> Any:
    if name not in found:
        names = ", ".join(sorted(found)) or "none"
        raise UserCodeError(
            f"{entry} declares no {noun} {name!r}", hint=f"at the top level of the file it has: {names}"
        )
    return found[name]
