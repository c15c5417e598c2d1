"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

import holdfast.profiles

MODULES = [module.name for module in pkgutil.iter_modules(holdfast.profiles.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"holdfast.profiles.{name}"))
    assert outcome.failed == 0
