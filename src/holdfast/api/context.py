"""Who acts, as a request says it. In local single-user mode the OS user acts, under the name the client gives."""

from __future__ import annotations

from starlette.requests import Request

from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER
from holdfast.base.context import Context, context_from


def context_of(request: Request) -> Context:
    """The context of a request.

    Raises:
        InvalidError: the project's or actor's name is not a legal one.
    """
    return context_from(request.headers.get(ACTOR_HEADER), request.headers.get(PROJECT_HEADER))
