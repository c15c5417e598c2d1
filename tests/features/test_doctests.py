"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

# `holdfast.features` as an attribute is the decorator that users write; the package is found by its name.
PACKAGE = importlib.import_module("holdfast.features")
MODULES = [module.name for module in pkgutil.walk_packages(PACKAGE.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"holdfast.features.{name}"))
    assert outcome.failed == 0
