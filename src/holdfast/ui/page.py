"""What every page module works with: the request, the view it returns, and the head of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from holdfast.base.context import Context
from holdfast.ui import urls
from holdfast.ui.kit import Crumb, Page
from holdfast.ui.services import PageServices

REFRESH_S = 3.0


@dataclass(frozen=True)
class PageRequest:
    """What was asked for: the path without `.json`, its parameters, and the query; `pairs` has what comes twice.

    With `as_data` a program asks, for whom nothing needs to be thinned.
    """

    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    as_data: bool = False

    def values(self, name: str) -> list[str]:
        """Every value of a parameter that may come more than once or hold several, with commas between them."""
        found = [part.strip() for key, value in self.pairs if key == name for part in value.split(",")]
        return list(dict.fromkeys(part for part in found if part))

    def number(self, name: str) -> int:
        """A number of the path; one that no object can have where it is not a number."""
        text = self.parameters[name]
        return int(text) if text.isdecimal() and len(text) < 18 else -1


@dataclass(frozen=True)
class View:
    """One page: a template with its parts for people, and the same facts as `data` for programs."""

    template: str
    page: Page
    data: Any
    parts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


Show = Callable[[PageServices, Context, PageRequest], View]


def head(
    services: PageServices,
    request: PageRequest,
    title: str,
    *,
    tab: str,
    kind: str = "",
    subtitle: str = "",
    status: str = "",
    urn: str = "",
    command: str = "",
    crumbs: tuple[tuple[str, str], ...] = (),
    live: bool = True,
    stateful: bool = False,
) -> Page:
    """The head of a page: domain time, the command that prints the same, its JSON, and the way to it.

    With `stateful` the JSON says what the query asks for too.
    """
    json_url = urls.json_of(request.path)
    if stateful and request.pairs:
        json_url = f"{json_url}?{urlencode(request.pairs)}"
    return Page(
        title=title,
        now_at=services.clock.now(),
        tab=tab,
        kind=kind,
        subtitle=subtitle,
        status=status,
        urn=urn,
        command=command,
        json_url=json_url,
        crumbs=tuple(Crumb(name, url) for name, url in crumbs),
        refresh_s=REFRESH_S if live else 0.0,
    )
