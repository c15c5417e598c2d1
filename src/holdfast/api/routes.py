"""One route an operation, made from its declaration.

A request's fields come from the path, then from the query (GET) or the JSON body; the verb runs in a worker
thread, so that a slow one keeps nobody else waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.api.context import context_of
from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.base.operations import PREFIX, Operation, operations_of

logger = logging.getLogger(__name__)

_JSON = "application/json"
_encoder = msgspec.json.Encoder()


def routes(services: Iterable[Any]) -> list[Route]:
    """The routes of every operation of the services.

    Raises:
        ValueError: two operations share a method and a path.
    """
    found: dict[tuple[str, str], Route] = {}
    for service in services:
        for operation, verb in operations_of(service):
            address = (operation.method, operation.path)
            if address in found:
                raise ValueError(f"{operation.name}: {address} is taken")
            found[address] = Route(
                PREFIX + operation.path,
                _endpoint(operation, verb),
                methods=[operation.method],
                name=operation.name,
            )
    # Fixed paths go before those with fields, so that /models/x/versions is not taken for a version.
    return sorted(found.values(), key=lambda route: (route.path.count("{"), route.path))


def error_response(error: Exception) -> Response:
    """The one error shape; a mistake of ours is logged whole and answered without its inside."""
    if not isinstance(error, HoldfastError):
        logger.exception("unexpected error", exc_info=error)
        error = HoldfastError("something went wrong inside holdfast", hint="its log has the details")
    headers = {"Retry-After": "1"} if error.status == 503 else None
    return Response(_encoder.encode(error.envelope()), error.status, headers, _JSON)


def _endpoint(operation: Operation, verb: Callable[..., Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await request.body() if operation.method != "GET" else b""
            arguments = _arguments(operation, request, body)
            result = await run_in_threadpool(verb, context_of(request), arguments)
            return Response(_encoder.encode(result), media_type=_JSON)
        except Exception as error:
            return error_response(error)

    return endpoint


def _arguments(operation: Operation, request: Request, body: bytes) -> msgspec.Struct:
    values = _query(operation, request) if operation.method == "GET" else _object(body)
    unknown = sorted(set(values) - set(operation.request.__struct_fields__))
    if unknown:
        valid = ", ".join(operation.request.__struct_fields__) or "none"
        raise InvalidError(
            f"{unknown[0]!r} is not a parameter of {operation.summary!r}",
            hint=f"valid are: {valid}",
            field=unknown[0],
        )
    values.update(request.path_params)
    try:
        # Paths and queries are text, so "7" must do for a number there.
        return msgspec.convert(values, operation.request, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(str(error).replace("`$.", "`"), field=_field(str(error))) from None


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    """The query of a call; a field of many values is repeated (`?runs=a&runs=b`)."""
    query, many = request.query_params, operation.repeated_fields
    return {name: query.getlist(name) if name in many else query[name] for name in query}


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"the body is not a JSON object: {error}") from None


def _field(message: str) -> str | None:
    _, found, rest = message.partition("`$.")
    return rest.partition("`")[0] if found else None
