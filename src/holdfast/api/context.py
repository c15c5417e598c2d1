"""Who acts, as a request says it. In local single-user mode the OS user acts, under the name the client gives."""

from __future__ import annotations

from starlette.requests import Request

from holdfast.base import urn
from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER
from holdfast.base.context import DEFAULT_PROJECT, Actor, Context, local_context


def context_of(request: Request) -> Context:
    """The context of a request.

    Raises:
        InvalidError: the project's or actor's name is not a legal one.
    """
    actor = request.headers.get(ACTOR_HEADER)
    project = request.headers.get(PROJECT_HEADER) or DEFAULT_PROJECT
    urn.check_name(project, "project")
    if not actor:
        return local_context(project)
    return Context(Actor(urn.check_name(actor, "person"), "person"), project)
