"""Who acts, and in which project. Every service verb receives a `Context` as its first argument."""

from __future__ import annotations

import getpass
from typing import Literal

import msgspec

from holdfast.base import urn

ActorKind = Literal["person", "loop", "system"]

DEFAULT_PROJECT = "default"


class Actor(msgspec.Struct, frozen=True):
    """A person, the closed loop, or holdfast itself (recovery, reconciliation)."""

    name: str
    kind: ActorKind = "person"


class Context(msgspec.Struct, frozen=True):
    """The actor and the project of one call. Roles and tokens attach here, so no signature will change."""

    actor: Actor
    project: str = DEFAULT_PROJECT

    def as_loop(self) -> Context:
        """The same project, acted upon by the closed loop."""
        return Context(Actor("loop", "loop"), self.project)


def local_context(project: str = DEFAULT_PROJECT) -> Context:
    """The context of local single-user mode: the user of the operating system."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return Context(Actor(name, "person"), project)


def context_from(actor: str | None, project: str | None) -> Context:
    """The context that a request names: without an actor the user of the operating system acts.

    Raises:
        InvalidError: the project's or the actor's name is not a legal one.

    Example:
        >>> context_from("ada", None)
        Context(actor=Actor(name='ada', kind='person'), project='default')
    """
    project = urn.check_name(project or DEFAULT_PROJECT, "project")
    return (
        Context(Actor(urn.check_name(actor, "person"), "person"), project)
        if actor
        else local_context(project)
    )


def system_context(project: str = DEFAULT_PROJECT) -> Context:
    """The context in which holdfast itself repairs or reconciles."""
    return Context(Actor("holdfast", "system"), project)
