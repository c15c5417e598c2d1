"""What an import hands over of a registry: models, versions under their own numbers, and aliases.

Times are microseconds since 1970.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

AliasOutcome = Literal["set", "kept", "requested"]


class ImportModelRequest(msgspec.Struct, frozen=True):
    """A registered model of another store; one of the same name here takes it up."""

    source: str
    name: str
    created_at: Micros
    updated_at: Micros
    description: str = ""
    tags: dict[str, str] = {}


class ImportedModel(msgspec.Struct, frozen=True):
    """Whether the model is new here."""

    name: str
    created: bool


class ImportVersionRequest(msgspec.Struct, frozen=True):
    """A version of another store, which keeps its number unless another version has it here.

    `located` is where its files lie, as `runs:/RUN/PATH`, `models:/m-…` or an address in our artifact store; empty
    where they stayed behind. `original` is the address in the other store. `label` is MLflow's stage.
    """

    source: str
    name: str
    version: int
    original: str
    created_at: Micros
    updated_at: Micros
    located: str = ""
    run_id: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    label: str = "None"
    logged_model: str = ""
    run_link: str = ""
    created_by: str = ""


class ImportedVersion(msgspec.Struct, frozen=True):
    """The number that the version has here, and whether it is new."""

    name: str
    version: int
    created: bool


class ImportAliasRequest(msgspec.Struct, frozen=True):
    """An alias of another store and the version, by its number here, that it should point at."""

    name: str
    alias: str
    version: int


class ImportedAlias(msgspec.Struct, frozen=True):
    """What became of an alias: `set`, `kept` (it was there), or `requested`, as champion and challenger are."""

    name: str
    alias: str
    version: int
    outcome: AliasOutcome
    message: str = ""
