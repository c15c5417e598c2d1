"""URN ids: `domain/name@version`. Every object has one, and lineage edges are pairs of them.

data/rides@1 · features/demand_history@2 · tracking/run/<32 hex> · registry/bike-demand@3
serving/production/bike-demand@7 (revision) · monitoring/alert/12 · loop/decision/31 · code/<digest>
"""

from __future__ import annotations

import re

from holdfast.base.errors import InvalidError

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$")


def check_name(name: str, noun: str) -> str:
    """Returns the name, or raises `InvalidError` naming the rule.

    Example:
        >>> check_name("bike-demand", "model")
        'bike-demand'
    """
    if not isinstance(name, str) or not _NAME.match(name) or ".." in name:
        raise InvalidError(
            f"{name!r} is not a name for a {noun}",
            hint="use 1 to 100 letters, digits, '-', '_' or '.', beginning with a letter or digit",
        )
    return name


def dataset(table: str, version: int) -> str:
    return f"data/{table}@{version}"


def feature_view(name: str, version: int) -> str:
    return f"features/{name}@{version}"


def run(run_id: str) -> str:
    return f"tracking/run/{run_id}"


def logged_model(model_id: str) -> str:
    return f"tracking/model/{model_id}"


def model(name: str) -> str:
    return f"registry/{name}"


def model_version(name: str, version: int) -> str:
    return f"registry/{name}@{version}"


def deployment(environment: str, name: str) -> str:
    return f"serving/{environment}/{name}"


def revision(environment: str, name: str, number: int) -> str:
    return f"serving/{environment}/{name}@{number}"


def alert(number: int) -> str:
    return f"monitoring/alert/{number}"


def decision(number: int) -> str:
    return f"loop/decision/{number}"


def code(digest: str) -> str:
    return f"code/{digest[:16]}"


def source(path: str) -> str:
    return f"source/{path}"
