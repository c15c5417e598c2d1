"""What a function is made of: its source, what it refers to in its own file, and the project modules it uses."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from blake3 import blake3

from holdfast.base.bundle import pack
from holdfast.base.encoding import to_msgpack
from holdfast.base.errors import HoldfastError

_PLAIN = (bool, int, float, str, bytes, type(None))


def code_digest(function: Callable[..., object]) -> str:
    """Changes with the function's source, with the functions, classes and constants of its file that it refers to
    (and theirs), and with every project module that it imports or that one of these comes from.

    Installed packages belong to the environment, which a model version records anyway.
    """
    parts: dict[str, str] = {}
    _collect(inspect.unwrap(function), parts)
    own = parts.pop("", "")
    if not parts:
        return blake3(own.encode()).hexdigest()
    return blake3(to_msgpack([own, sorted(parts.items())])).hexdigest()


def _collect(function: Any, parts: dict[str, str], name: str = "") -> None:
    """Adds the source of a function under its name, and then what it refers to, each once."""
    if name in parts:
        return
    parts[name] = _source(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return
    module = function.__module__
    for reference in sorted(set(_names(code))):
        value = function.__globals__.get(reference, parts)
        if value is parts or reference == function.__name__:
            continue
        _refer(value, reference, module, parts)


def _refer(value: Any, reference: str, module: str, parts: dict[str, str]) -> None:
    if isinstance(value, _PLAIN) or (
        isinstance(value, tuple) and all(isinstance(one, _PLAIN) for one in value)
    ):
        parts[f"constant {reference}"] = repr(value)
    elif isinstance(value, ModuleType):
        _add_module(value, module, parts)
    elif isinstance(value, FunctionType | type):
        if value.__module__ == module:
            _collect(inspect.unwrap(value), parts, reference)
        else:
            _add_module(sys.modules.get(value.__module__), module, parts)


def _add_module(found: ModuleType | None, module: str, parts: dict[str, str]) -> None:
    """Adds a module of the project and those it imports; one outside the folder of the declaring file is none."""
    file, own = (getattr(one, "__file__", None) for one in (found, sys.modules.get(module)))
    if file is None or own is None or not file.endswith(".py"):
        return
    folder, path = Path(own).absolute().parent, Path(file).absolute()
    if not path.is_relative_to(folder) or "site-packages" in path.relative_to(folder).parts:
        return
    try:
        files = pack(path, folder).files
    except HoldfastError:
        return
    for name, content in files.items():
        parts[f"module {name}"] = blake3(content).hexdigest()


def _names(code: CodeType) -> Iterator[str]:
    """Every global name in a function's code and in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return code.co_code.hex() if code is not None else repr(function)  # as in an interactive session
