"""Models and versions as MLflow writes them, and the requests that name them."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.registry.catalog.records import Entry, Search
from holdfast.registry.records import Model
from holdfast.wire.mlflow.messages import Int64, Pair

_SEARCH_MODELS_MOST = 1_000
_SEARCH_VERSIONS_MOST = 200_000


class Named(msgspec.Struct, frozen=True):
    """A model by name."""

    name: str


class CreateModel(msgspec.Struct, frozen=True):
    """A new model."""

    name: str
    tags: tuple[Pair, ...] = ()
    description: str = ""


class Described(msgspec.Struct, frozen=True):
    """A model's new description."""

    name: str
    description: str = ""


class Renamed(msgspec.Struct, frozen=True):
    """A model's new name; MLflow allows to leave it out, and then nothing changes."""

    name: str
    new_name: str = ""


class SearchRequest(msgspec.Struct, frozen=True):
    """A page of models or versions."""

    filter: str = ""
    max_results: Int64 | None = None
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class LatestVersions(msgspec.Struct, frozen=True):
    """The newest version of each stage."""

    name: str
    stages: tuple[str, ...] = ()


class ModelTag(msgspec.Struct, frozen=True):
    """A tag of a model."""

    name: str
    key: str
    value: str = ""


class Aliased(msgspec.Struct, frozen=True):
    """An alias of a model, and the version it points at."""

    name: str
    alias: str
    version: str = ""


class CreateVersion(msgspec.Struct, frozen=True):
    """A new version of a model."""

    name: str
    source: str
    run_id: str = ""
    tags: tuple[Pair, ...] = ()
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class Numbered(msgspec.Struct, frozen=True):
    """A version by name and number."""

    name: str
    version: str


class DescribedVersion(msgspec.Struct, frozen=True):
    """A version's new description."""

    name: str
    version: str
    description: str = ""


class Staged(msgspec.Struct, frozen=True):
    """A version's new stage."""

    name: str
    version: str
    stage: str
    archive_existing_versions: bool = False


class VersionTag(msgspec.Struct, frozen=True):
    """A tag of a version."""

    name: str
    version: str
    key: str
    value: str = ""


def version_number(text: str) -> int:
    """The number of a version.

    Raises:
        InvalidError: the text is not a whole number.

    Example:
        >>> version_number("3")
        3
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise InvalidError(f"Model version must be an integer, got {text!r}", field="version")
    return int(text)


def tags_of(pairs: tuple[Pair, ...]) -> dict[str, str]:
    """Tags by key; of one key given twice the last counts, as with MLflow."""
    return {pair.key: pair.value for pair in pairs}


def search_models_of(request: SearchRequest) -> Search:
    """The search for models that a request asks for."""
    return _search(request, 100, _SEARCH_MODELS_MOST)


def search_versions_of(request: SearchRequest) -> Search:
    """The search for versions that a request asks for."""
    return _search(request, _SEARCH_VERSIONS_MOST, _SEARCH_VERSIONS_MOST)


def model_message(model: Model, latest: list[Entry]) -> dict[str, Any]:
    """MLflow's RegisteredModel."""
    return {
        "name": model.name,
        "creation_timestamp": model.created_at // 1000,
        "last_updated_timestamp": model.updated_at // 1000,
        "user_id": model.created_by,
        "description": model.description,
        "latest_versions": [version_message(item) for item in latest],
        "tags": _pairs(model.tags),
        "aliases": [
            {"alias": name, "version": str(number)} for name, number in sorted(model.aliases.items())
        ],
    }


def version_message(item: Entry) -> dict[str, Any]:
    """MLflow's ModelVersion. A version that holdfast trained has its own address as the source."""
    return {
        "name": item.name,
        "version": str(item.version),
        "creation_timestamp": item.created_at // 1000,
        "last_updated_timestamp": item.updated_at // 1000,
        "user_id": item.created_by,
        "current_stage": item.label,
        "description": item.description,
        "source": item.source or f"holdfast:/{item.urn}",
        "run_id": item.run_id,
        "status": "READY",
        "tags": _pairs(item.tags),
        "run_link": item.run_link,
        "aliases": list(item.aliases),
        **({"model_id": item.logged_model} if item.logged_model else {}),
    }


def page_message(field: str, messages: list[dict[str, Any]], token: str) -> dict[str, Any]:
    """A page of messages, with the token of the next one where there is one."""
    return {field: messages} | ({"next_page_token": token} if token else {})


def _search(request: SearchRequest, usual: int, most: int) -> Search:
    limit = usual if request.max_results is None else request.max_results
    if not 0 < limit <= most:
        raise InvalidError(
            f"Invalid value for max_results. It must be a positive integer of at most {most}, but got {limit}",
            field="max_results",
        )
    return Search(request.filter, request.order_by, limit, request.page_token)


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]
