"""What the catalog allows: names, tags, aliases, labels, and what may be renamed or deleted. Pure.

Names, aliases and limits are MLflow's, so that whatever its client may write can be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from holdfast.base.errors import InvalidError
from holdfast.registry.catalog.records import Entry
from holdfast.registry.errors import InUseError

LABELS = ("None", "Staging", "Production", "Archived")
NAME_CHARACTERS_MOST = 256
KEY_CHARACTERS_MOST = 250
VALUE_CHARACTERS_MOST = 100_000
ALIAS_CHARACTERS_MOST = 255

_ALIAS = re.compile(r"^[\w\-]+$")
_VERSION_ALIAS = re.compile(r"^[vV]\d+$")
_KEY = re.compile(r"^[/\w.\- :]+$")
_NEVER_DEPLOYED = frozenset({"trained", "gated", "rejected", "approved"})


def check_model_name(name: str) -> None:
    """Raises `InvalidError` unless a model may have the name.

    Example:
        >>> check_model_name("bike demand (v2)")
    """
    if not name.strip():
        raise InvalidError("a registered model needs a name", field="name")
    if len(name) > NAME_CHARACTERS_MOST:
        raise InvalidError(f"the name is longer than {NAME_CHARACTERS_MOST} characters", field="name")
    if "/" in name or ":" in name or name in (".", "..") or any(ord(char) < 32 for char in name):
        raise InvalidError(
            f"{name!r} is not a name for a model",
            hint="it cannot hold '/', ':' or control characters",
            field="name",
        )


def check_tags(tags: Mapping[str, str]) -> None:
    """Raises `InvalidError` for a key or a value that a tag cannot have."""
    for key, value in tags.items():
        if not _KEY.match(key) or len(key) > KEY_CHARACTERS_MOST:
            raise InvalidError(
                f"{key[:80]!r} is not a tag key",
                hint=f"use up to {KEY_CHARACTERS_MOST} letters, digits, '_', '-', '.', ':', '/' and spaces",
                field="key",
            )
        if len(value) > VALUE_CHARACTERS_MOST:
            raise InvalidError(
                f"the value of the tag {key!r} has {len(value)} characters; {VALUE_CHARACTERS_MOST} are allowed",
                field="value",
            )


def check_description(description: str) -> None:
    """Raises `InvalidError` for a description that is too long."""
    if len(description) > VALUE_CHARACTERS_MOST:
        raise InvalidError(
            f"the description has {len(description)} characters; {VALUE_CHARACTERS_MOST} are allowed",
            field="description",
        )


def check_alias(alias: str) -> None:
    """Raises `InvalidError` unless an alias may have the name.

    Example:
        >>> check_alias("best-so-far")
    """
    if not _ALIAS.match(alias) or len(alias) > ALIAS_CHARACTERS_MOST:
        raise InvalidError(
            f"{alias[:80]!r} is not an alias",
            hint=f"use up to {ALIAS_CHARACTERS_MOST} letters, digits, '_' and '-'",
            field="alias",
        )
    if alias.lower() == "latest" or _VERSION_ALIAS.match(alias):
        raise InvalidError(f"the alias {alias!r} is reserved", field="alias")


def label(text: str) -> str:
    """A stage in the spelling of outside clients, whatever case it is given in.

    Raises:
        InvalidError: there is no such stage.

    Example:
        >>> label("production")
        'Production'
    """
    for known in LABELS:
        if known.lower() == text.lower():
            return known
    raise InvalidError(f"{text!r} is not a stage", hint=f"valid stages: {', '.join(LABELS)}", field="stage")


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether a model or version is a prompt, as MLflow's client marks it."""
    return tags.get("mlflow.prompt.is_prompt", "false").lower() == "true"


def check_unused(done: str, what: str, entries: Iterable[Entry]) -> None:
    """Raises `InUseError` when a version is deployed or was: a rollback or a trace may need it."""
    used = [item for item in entries if item.stage not in _NEVER_DEPLOYED]
    if used:
        named = ", ".join(f"{item.version} ({item.stage})" for item in used)
        raise InUseError(
            f"{what} cannot be {done}: version {named} is or was deployed, and a rollback or a trace may need it"
        )


def trained_here(name: str) -> InUseError:
    """Why a model that holdfast trains keeps its name."""
    return InUseError(
        f"{name} is trained by holdfast and cannot be renamed from outside",
        hint="rename it in its declaration and train it there",
    )
