"""What may be logged, checked where it is logged, so that the line at fault is the one that raises."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from holdfast.base.errors import InvalidError
from holdfast.tracking.policy import check_key, check_parameters, check_tags

_STEP_MOST = 2**63 - 1


def number(key: str, value: Any) -> float:
    """A value of a metric as a float: any number, also of numpy, or a tensor with one element.

    Raises:
        InvalidError: it is none.
    """
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InvalidError(
            f"the metric {key!r} is {_shown(value)}, which is not a number",
            hint="log numbers; texts go to log_parameters or set_tags",
            field=key,
        ) from None


def step_of(value: Any) -> int:
    """A step as an integer.

    Raises:
        InvalidError: it is none, or does not fit 64 bits.
    """
    try:
        step = operator.index(value)
    except TypeError:
        raise InvalidError(
            f"the step is {_shown(value)}, which is not a whole number", field="step"
        ) from None
    if abs(step) > _STEP_MOST:
        raise InvalidError(f"the step {step} does not fit 64 bits", field="step")
    return step


def metric_name(key: Any) -> str:
    """A legal name of a metric.

    Raises:
        InvalidError: it is not one.
    """
    if not isinstance(key, str):
        raise InvalidError(f"{key!r} is not a name for a metric", hint="names are texts")
    check_key(key, "metric")
    return key


def parameters_of(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Parameters as texts; a mapping in a mapping becomes `outer.inner`.

    Raises:
        InvalidError: a name or value is not legal.

    Example:
        >>> parameters_of({"depth": 6, "optimizer": {"lr": 0.1}})
        {'depth': '6', 'optimizer.lr': '0.1'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.update(parameters_of(value, f"{name}."))
        else:
            found[name] = str(value)
    return check_parameters(tuple(found.items()))


def tags_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Tags as texts.

    Raises:
        InvalidError: a name or value is not legal.
    """
    return check_tags((str(key), str(value)) for key, value in values.items())


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
