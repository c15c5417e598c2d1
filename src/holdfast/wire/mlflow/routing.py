"""One endpoint, one call, and how a call finds its endpoint."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from holdfast.base.context import Context
from holdfast.wire.mlflow.messages import convert, decode, parse_object

T = TypeVar("T")

_FIELD = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(slots=True)
class Call:
    """One request: who acts where, the fields of the path, the query, and the body."""

    context: Context
    method: str
    query_string: str
    body: bytes = b""
    path: dict[str, str] = field(default_factory=dict)
    base_url: str = ""

    def read(self, kind: type[T]) -> T:
        """The request's message, from body or query, with the fields of the path.

        Raises:
            InvalidError: a field is missing or has another type.
        """
        if self.method != "GET" and not self.path:
            return decode(self.body, kind)
        if self.method == "GET":
            return convert({**self._query_fields(kind), **self.path}, kind)
        return convert({**parse_object(self.body), **self.path}, kind)

    def query(self, name: str) -> str | None:
        """One parameter of the query."""
        return (self.queries().get(name) or [None])[0]  # type: ignore[list-item]

    def queries(self) -> dict[str, list[str]]:
        """All parameters of the query."""
        return parse_qs(self.query_string, keep_blank_values=True)

    def _query_fields(self, kind: Any) -> dict[str, Any]:
        lists = {
            item.name
            for item in msgspec.structs.fields(kind)
            if getattr(item.type, "__origin__", item.type) in (list, tuple)
        }
        return {name: values if name in lists else values[0] for name, values in self.queries().items()}


Answer = Callable[[Call], Any]
Submitter = Callable[[Call], "Future[Any]"]
Streamer = Callable[[Call, Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Route:
    """One endpoint.

    `path` is what follows `/api/2.0` (e.g. `/mlflow/runs/create`), or the whole path where `version` is empty;
    `{name}` takes one segment, `{name:path}` the rest. `answer` gets the call, in a worker thread, and returns
    what is sent as JSON. An endpoint that reads or writes more than fits in memory has `stream` instead, which
    runs in the event loop and talks ASGI itself. An endpoint whose work is one write to the ledger has `submit`
    instead, which returns a future: small requests then need no thread that waits.
    """

    method: str
    path: str
    answer: Answer | None = None
    stream: Streamer | None = None
    submit: Submitter | None = None
    version: str = "2.0"

    @property
    def address(self) -> str:
        return f"/api/{self.version}{self.path}" if self.version else self.path


class Router:
    """Finds the route of a method and a path: fixed paths by one lookup, the others by pattern."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Route]] = []
        for route in routes:
            if "{" in route.path:
                self._patterns.append((route.method, _pattern(route.address), route))
                continue
            if (route.method, route.address) in self._fixed:
                raise ValueError(f"{route.method} {route.address} is taken")
            self._fixed[route.method, route.address] = route

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the fields of its path, or None."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        for wanted, pattern, route in self._patterns:
            if wanted == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None


def _pattern(address: str) -> re.Pattern[str]:
    parts = _FIELD.split(address)
    text = re.escape(parts[0])
    for name, rest, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        text += f"(?P<{name}>{'.*' if rest else '[^/]+'})" + re.escape(literal)
    return re.compile(text, re.DOTALL)
