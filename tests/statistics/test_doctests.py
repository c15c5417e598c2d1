"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

import holdfast.statistics

MODULES = [module.name for module in pkgutil.iter_modules(holdfast.statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"holdfast.statistics.{name}"))
    assert outcome.failed == 0


def test_the_package_lists_its_modules() -> None:
    assert set(holdfast.statistics.__all__) == set(MODULES)
