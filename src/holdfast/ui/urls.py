"""The addresses of all pages, built in one place; and the page of a URN."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

OVERVIEW = "/"
DEPLOYMENTS = "/deployments"
RUNS = "/runs"
COMPARE = "/runs/compare"
ALIAS_REQUESTS = "/alias-requests"
ALERTS = "/alerts"
DECISIONS = "/decisions"
ROLLOUTS = "/rollouts"
DATASETS = "/datasets"
JUMP = "/jump"


def model(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def version(name: str, number: int) -> str:
    return f"{model(name)}/versions/{number}"


def deployment(environment: str, name: str) -> str:
    return f"{DEPLOYMENTS}/{quote(environment, safe='')}/{quote(name, safe='')}"


def run(run_id: str) -> str:
    return f"{RUNS}/{quote(run_id, safe='')}"


def run_curves(run_id: str, metric: str = "", *, system: bool = False) -> str:
    """The curves of a run, or the large one of a metric. The metric is in the query, as its name may hold slashes."""
    path = f"{run(run_id)}/{'system' if system else 'curves'}"
    return with_query(path, metric=metric) if metric else path


def run_artifacts(run_id: str, path: str, model: str = "") -> str:
    """A folder or a file of a run, or of a model that it logged.

    The path is in the query, as a file may be named like a page of ours.
    """
    return with_query(f"{run(run_id)}/artifacts", **_given(model=model, path=path))


def run_file(run_id: str, path: str, *, shown: bool = False, model: str = "") -> str:
    """The bytes of a file of a run: a download, or an image for our own page where it is one."""
    return with_query(f"{run(run_id)}/file", **_given(model=model, path=path, shown="yes" if shown else ""))


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def runs_of(experiment: str) -> str:
    """The runs of an experiment, by its name."""
    return with_query(RUNS, experiment=experiment)


def compared(run_ids: Sequence[str]) -> str:
    """Some runs side by side."""
    return f"{COMPARE}?runs={','.join(run_ids)}"


def alias_request(number: int) -> str:
    return f"{ALIAS_REQUESTS}#request-{number}"


def alert(number: int) -> str:
    return f"{ALERTS}/{number}"


def decision(number: int) -> str:
    return f"{DECISIONS}/{number}"


def rollout(number: int) -> str:
    return f"{ROLLOUTS}/{number}"


def dataset(table: str, number: int) -> str:
    return f"{DATASETS}/{quote(table, safe='')}/versions/{number}"


def json_of(path: str) -> str:
    """The address of the same page as data."""
    return f"{path}.json"


def with_query(path: str, /, **values: object) -> str:
    query = urlencode({name: str(value) for name, value in values.items()})
    return f"{path}?{query}" if query else path


def of_urn(urn: str) -> str:
    """The page of a URN, empty where that kind of thing has none.

    Example:
        >>> of_urn("registry/bike-demand@3"), of_urn("source/hour.csv")
        ('/models/bike-demand/versions/3', '')
    """
    domain, _, rest = urn.partition("/")
    name, _, number = rest.rpartition("@") if "@" in rest else (rest, "", "")
    if domain == "registry":
        return version(name, int(number)) if number.isdecimal() else model(rest)
    if domain == "data" and number.isdecimal():
        return dataset(name, int(number))
    if domain == "serving" and "/" in name:
        environment, _, served = name.partition("/")
        return deployment(environment, served)
    if domain == "tracking" and rest.startswith("run/"):
        return run(rest.removeprefix("run/"))
    kinds = {"monitoring/alert": alert, "loop/decision": decision, "rollout": rollout}
    kind, _, tail = urn.rpartition("/")
    return kinds[kind](int(tail)) if kind in kinds and tail.isdecimal() else ""
