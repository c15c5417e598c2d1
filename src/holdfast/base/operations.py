"""An operation is written once: a service verb with a request and a response Struct and its HTTP address.

The API routes, the OpenAPI page and the client all read this declaration; nothing is written twice.

    class DeploymentService:
        @operation("POST", "/deployments/{name}/rollback", "Put the version before back into production.")
        def rollback(self, context: Context, request: RollbackRequest) -> Revision: ...

Fields of the request that stand in the path are taken from it; the others travel as the query of a GET (a field of
several values is repeated) and as the JSON body of everything else.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import msgspec

Method = Literal["GET", "POST", "PUT", "DELETE"]
F = TypeVar("F", bound=Callable[..., Any])

PREFIX = "/api/v1"
_ATTRIBUTE = "__holdfast_operation__"
_PATH_FIELD = re.compile(r"\{(\w+)(?::\w+)?\}")


class Operation(msgspec.Struct, frozen=True):
    """The declaration of one verb; `path` is below `/api/v1`."""

    name: str
    method: Method
    path: str
    summary: str
    request: type[msgspec.Struct]
    response: Any

    @property
    def path_fields(self) -> tuple[str, ...]:
        """The request fields that stand in the path."""
        return tuple(_PATH_FIELD.findall(self.path))

    @property
    def repeated_fields(self) -> frozenset[str]:
        """The request fields that hold several values, which a query repeats."""
        return _repeated_fields(self.request)

    def url(self, request: msgspec.Struct) -> str:
        """The path of a call, with the request's fields filled in and quoted."""
        from urllib.parse import quote

        return PREFIX + _PATH_FIELD.sub(
            lambda match: quote(str(getattr(request, match[1])), safe="/" if ":path" in match[0] else ""),
            self.path,
        )


@functools.cache
def _repeated_fields(request: type[msgspec.Struct]) -> frozenset[str]:
    hints = typing.get_type_hints(request)
    return frozenset(name for name, kind in hints.items() if typing.get_origin(kind) in (tuple, list))


class Empty(msgspec.Struct, frozen=True):
    """A request without fields, or a response without content."""


def operation(method: Method, path: str, summary: str) -> Callable[[F], F]:
    """Declares a service verb `(self, context, request) -> response` as an operation."""

    def declare(verb: F) -> F:
        setattr(verb, _ATTRIBUTE, (method, path, summary))
        return verb

    return declare


def operation_of(verb: Callable[..., Any]) -> Operation:
    """The operation of a service verb.

    Raises:
        TypeError: when the verb was not declared with `@operation`.
    """
    declared = getattr(verb, _ATTRIBUTE, None)
    if declared is None:
        raise TypeError(f"{verb.__qualname__} is not declared with @operation")
    cached = getattr(verb, "__holdfast_resolved__", None)
    if cached is None:
        hints = typing.get_type_hints(verb)
        method, path, summary = declared
        cached = Operation(verb.__qualname__, method, path, summary, hints["request"], hints["return"])
        setattr(getattr(verb, "__func__", verb), "__holdfast_resolved__", cached)  # noqa: B010
    return typing.cast("Operation", cached)


def operations_of(service: Any) -> Iterator[tuple[Operation, Callable[..., Any]]]:
    """Every operation of a service object with its bound verb, by name."""
    for name in sorted(dir(type(service))):
        verb = getattr(type(service), name)
        if callable(verb) and hasattr(verb, _ATTRIBUTE):
            yield operation_of(verb), getattr(service, name)
