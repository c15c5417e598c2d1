"""MLflow's endpoints for model versions."""

from __future__ import annotations

import json
import logging
from typing import Any

from holdfast.base.context import Context
from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.registry.catalog.policy import is_prompt
from holdfast.registry.catalog.records import Entry, EntryDraft
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.outside.source import SourceFiles
from holdfast.tracking.service import LoggedModelService
from holdfast.wire.mlflow.model_folders import folder_of
from holdfast.wire.mlflow.registry_messages import (
    CreateVersion,
    DescribedVersion,
    Numbered,
    SearchRequest,
    Staged,
    VersionTag,
    page_message,
    search_versions_of,
    tags_of,
    version_message,
    version_number,
)
from holdfast.wire.mlflow.routing import Call, Route

logger = logging.getLogger(__name__)

_PREFIX = "/mlflow/model-versions"
_VERSIONS_TAG = "mlflow.modelVersions"


class ModelVersions:
    """Model versions, by the catalog."""

    def __init__(
        self, versions: VersionCatalog, sources: SourceFiles, logged_models: LoggedModelService
    ) -> None:
        self._versions = versions
        self._sources = sources
        self._logged_models = logged_models

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_PREFIX}/create", self._create),
            Route("GET", f"{_PREFIX}/get", self._get),
            Route("GET", f"{_PREFIX}/search", self._search),
            Route("PATCH", f"{_PREFIX}/update", self._update),
            Route("DELETE", f"{_PREFIX}/delete", self._delete),
            Route("POST", f"{_PREFIX}/transition-stage", self._transition),
            Route("GET", f"{_PREFIX}/get-download-uri", self._download_uri),
            Route("POST", f"{_PREFIX}/set-tag", self._set_tag),
            Route("DELETE", f"{_PREFIX}/delete-tag", self._delete_tag),
        ]

    def _create(self, call: Call) -> Any:
        asked = call.read(CreateVersion)
        tags = tags_of(asked.tags)
        if not is_prompt(tags):
            _check_source(asked.source)
        draft = EntryDraft(
            name=asked.name,
            source=asked.source,
            run_id=asked.run_id,
            description=asked.description,
            tags=tags,
            logged_model=asked.model_id,
            run_link=asked.run_link,
        )
        made = self._versions.register(call.context, self._sources.completed(call.context, draft))
        if made.logged_model:
            self._tell_logged_model(call.context, made)
        return {"model_version": version_message(made)}

    def _tell_logged_model(self, context: Context, made: Entry) -> None:
        """MLflow's pages read off a logged model's tag which versions it was registered as."""
        try:
            known = self._logged_models.get(context, made.logged_model).tags.get(_VERSIONS_TAG, "[]")
            listed = [*json.loads(known), {"name": made.name, "version": made.version}]
            self._logged_models.set_tags(context, made.logged_model, [(_VERSIONS_TAG, json.dumps(listed))])
        except (HoldfastError, ValueError):
            logger.info("the logged model %s was not told of %s", made.logged_model, made.urn)

    def _get(self, call: Call) -> Any:
        asked = call.read(Numbered)
        found = self._versions.get(call.context, asked.name, version_number(asked.version))
        return {"model_version": version_message(found)}

    def _search(self, call: Call) -> Any:
        found, token = self._versions.search(call.context, search_versions_of(call.read(SearchRequest)))
        return page_message("model_versions", [version_message(item) for item in found], token)

    def _update(self, call: Call) -> Any:
        asked = call.read(DescribedVersion)
        number = version_number(asked.version)
        changed = self._versions.describe(call.context, asked.name, number, asked.description)
        return {"model_version": version_message(changed)}

    def _delete(self, call: Call) -> Any:
        asked = call.read(Numbered)
        self._versions.delete(call.context, asked.name, version_number(asked.version))

    def _transition(self, call: Call) -> Any:
        asked = call.read(Staged)
        moved = self._versions.label(
            call.context,
            asked.name,
            version_number(asked.version),
            asked.stage,
            archive_others=asked.archive_existing_versions,
        )
        return {"model_version": version_message(moved)}

    def _download_uri(self, call: Call) -> Any:
        asked = call.read(Numbered)
        found = self._versions.get(call.context, asked.name, version_number(asked.version))
        if not found.source:
            return {"artifact_uri": f"mlflow-artifacts:/{folder_of(found.name, found.version)}"}
        return {"artifact_uri": found.source}

    def _set_tag(self, call: Call) -> Any:
        asked = call.read(VersionTag)
        number = version_number(asked.version)
        self._versions.tag(call.context, asked.name, number, asked.key, asked.value)

    def _delete_tag(self, call: Call) -> Any:
        asked = call.read(VersionTag)
        self._versions.tag(call.context, asked.name, version_number(asked.version), asked.key, None)


def _check_source(source: str) -> None:
    """Files of the server's own disk are no source: whoever may register a model could read them by it."""
    scheme, colon, rest = source.partition(":")
    if not colon or scheme.lower() == "file" or ".." in rest.split("?")[0].split("/"):
        raise InvalidError(
            f"Invalid model version source: {source!r}",
            hint="log the model to this server and register it as runs:/RUN/PATH or models:/ID",
            field="source",
        )
