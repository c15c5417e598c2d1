"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

import holdfast.features

MODULES = [module.name for module in pkgutil.iter_modules(holdfast.features.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"holdfast.features.{name}"))
    assert outcome.failed == 0
