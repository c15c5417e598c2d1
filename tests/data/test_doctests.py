"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

import holdfast.data

MODULES = [module.name for module in pkgutil.iter_modules(holdfast.data.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"holdfast.data.{name}"))
    assert outcome.failed == 0
