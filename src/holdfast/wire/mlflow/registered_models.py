"""MLflow's endpoints for registered models and their aliases."""

from __future__ import annotations

from typing import Any

from holdfast.base.context import Context
from holdfast.registry.catalog.service.aliases import AliasCatalog
from holdfast.registry.catalog.service.models import ModelCatalog
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.records import Model
from holdfast.wire.mlflow.registry_messages import (
    Aliased,
    CreateModel,
    Described,
    LatestVersions,
    ModelTag,
    Named,
    Renamed,
    SearchRequest,
    model_message,
    page_message,
    search_models_of,
    tags_of,
    version_message,
    version_number,
)
from holdfast.wire.mlflow.routing import Call, Route

_PREFIX = "/mlflow/registered-models"


class RegisteredModels:
    """Registered models, by the catalog."""

    def __init__(self, models: ModelCatalog, versions: VersionCatalog, aliases: AliasCatalog) -> None:
        self._models = models
        self._versions = versions
        self._aliases = aliases

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_PREFIX}/create", self._create),
            Route("GET", f"{_PREFIX}/get", self._get),
            Route("GET", f"{_PREFIX}/search", self._search),
            Route("POST", f"{_PREFIX}/rename", self._rename),
            Route("PATCH", f"{_PREFIX}/update", self._update),
            Route("DELETE", f"{_PREFIX}/delete", self._delete),
            Route("POST", f"{_PREFIX}/get-latest-versions", self._latest),
            Route("GET", f"{_PREFIX}/get-latest-versions", self._latest),
            Route("POST", f"{_PREFIX}/set-tag", self._set_tag),
            Route("DELETE", f"{_PREFIX}/delete-tag", self._delete_tag),
            Route("POST", f"{_PREFIX}/alias", self._set_alias),
            Route("DELETE", f"{_PREFIX}/alias", self._delete_alias),
            Route("GET", f"{_PREFIX}/alias", self._by_alias),
        ]

    def _create(self, call: Call) -> Any:
        asked = call.read(CreateModel)
        made = self._models.create(call.context, asked.name, asked.description, tags_of(asked.tags))
        return {"registered_model": model_message(made, [])}

    def _get(self, call: Call) -> Any:
        return self._shown(call.context, self._models.get(call.context, call.read(Named).name))

    def _search(self, call: Call) -> Any:
        found, token = self._models.search(call.context, search_models_of(call.read(SearchRequest)))
        messages = [self._message(call.context, model) for model in found]
        return page_message("registered_models", messages, token)

    def _rename(self, call: Call) -> Any:
        asked = call.read(Renamed)
        if not asked.new_name or asked.new_name == asked.name:
            return self._shown(call.context, self._models.get(call.context, asked.name))
        return self._shown(call.context, self._models.rename(call.context, asked.name, asked.new_name))

    def _update(self, call: Call) -> Any:
        asked = call.read(Described)
        return self._shown(call.context, self._models.describe(call.context, asked.name, asked.description))

    def _delete(self, call: Call) -> Any:
        self._models.delete(call.context, call.read(Named).name)

    def _latest(self, call: Call) -> Any:
        asked = call.read(LatestVersions)
        found = self._versions.latest(call.context, asked.name, asked.stages)
        return {"model_versions": [version_message(item) for item in found]}

    def _set_tag(self, call: Call) -> Any:
        asked = call.read(ModelTag)
        self._models.tag(call.context, asked.name, asked.key, asked.value)

    def _delete_tag(self, call: Call) -> Any:
        asked = call.read(ModelTag)
        self._models.tag(call.context, asked.name, asked.key, None)

    def _set_alias(self, call: Call) -> Any:
        asked = call.read(Aliased)
        self._aliases.set(call.context, asked.name, asked.alias, version_number(asked.version))

    def _delete_alias(self, call: Call) -> Any:
        asked = call.read(Aliased)
        self._aliases.delete(call.context, asked.name, asked.alias)

    def _by_alias(self, call: Call) -> Any:
        asked = call.read(Aliased)
        return {
            "model_version": version_message(self._versions.by_alias(call.context, asked.name, asked.alias))
        }

    def _shown(self, context: Context, model: Model) -> Any:
        return {"registered_model": self._message(context, model)}

    def _message(self, context: Context, model: Model) -> dict[str, Any]:
        return model_message(model, self._versions.latest(context, model.name))
