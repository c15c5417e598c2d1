"""The endpoints of the registry, all together."""

from __future__ import annotations

from holdfast.registry.catalog.service.aliases import AliasCatalog
from holdfast.registry.catalog.service.models import ModelCatalog
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.outside.source import SourceFiles
from holdfast.registry.webhooks.service import WebhookService
from holdfast.tracking.service import LoggedModelService
from holdfast.wire.mlflow.model_versions import ModelVersions
from holdfast.wire.mlflow.registered_models import RegisteredModels
from holdfast.wire.mlflow.routing import Route
from holdfast.wire.mlflow.webhooks import Webhooks


def registry_routes(
    models: ModelCatalog,
    versions: VersionCatalog,
    aliases: AliasCatalog,
    webhooks: WebhookService,
    sources: SourceFiles,
    logged_models: LoggedModelService,
) -> list[Route]:
    """Models, versions, aliases and webhooks."""
    return [
        *RegisteredModels(models, versions, aliases).routes(),
        *ModelVersions(versions, sources, logged_models).routes(),
        *Webhooks(webhooks).routes(),
    ]
