"""The OpenAPI description of the API, made from the same declarations as its routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast.base.errors import ErrorEnvelope
from holdfast.base.operations import PREFIX, Operation, operations_of


def openapi(services: Iterable[Any], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    operations = [operation for service in services for operation, _ in operations_of(service)]
    types: list[Any] = [ErrorEnvelope]
    for operation in operations:
        types += [operation.request, operation.response]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for index, operation in enumerate(operations):
        request, response = schemas[1 + 2 * index], schemas[2 + 2 * index]
        entry = _describe(operation, _resolve(request, components), request, response, schemas[0])
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "holdfast", "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components},
    }


def _describe(
    operation: Operation, fields: dict[str, Any], request: Any, response: Any, error: Any
) -> dict[str, Any]:
    properties: dict[str, Any] = fields.get("properties", {})
    required = set(fields.get("required", ()))
    in_path = set(operation.path_fields)
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": [
            {
                "name": name,
                "in": "path" if name in in_path else "query",
                "required": name in in_path or name in required,
                "schema": schema,
            }
            for name, schema in properties.items()
            if name in in_path or operation.method == "GET"
        ],
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": response}}},
            "default": {"description": "refused", "content": {"application/json": {"schema": error}}},
        },
    }
    if operation.method != "GET" and set(properties) - in_path:
        entry["requestBody"] = {"content": {"application/json": {"schema": _body(fields, in_path)}}}
    return entry


def _body(fields: dict[str, Any], in_path: set[str]) -> dict[str, Any]:
    """The request's schema without the fields that the path carries."""
    return {
        "type": "object",
        "properties": {name: schema for name, schema in fields["properties"].items() if name not in in_path},
        "required": [name for name in fields.get("required", ()) if name not in in_path],
        "additionalProperties": False,
    }


def _resolve(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return components[reference.rsplit("/", 1)[1]] if reference else schema
