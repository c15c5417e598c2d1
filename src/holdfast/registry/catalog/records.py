"""The nouns of the catalog: entry (a version as a catalog shows it), draft from outside, alias request."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

Origin = Literal["trained", "outside"]
RequestState = Literal["open", "granted", "declined"]

# These two say what is deployed; whoever sets them from outside asks for a deployment.
GATED_ALIASES = ("champion", "challenger")


class Entry(msgspec.Struct, frozen=True):
    """One version as the catalog shows it.

    `source` is where its files lie, `label` the stage in the words of an outside client ("None", "Staging",
    "Production", "Archived": a label, which deploys nothing), `stage` where it stands with us, `ready` whether it
    can be served as it is. `logged_model` is the id of a logged model that it was made of.
    """

    name: str
    version: int
    origin: Origin
    stage: str
    ready: bool
    run_id: str
    source: str
    description: str
    tags: dict[str, str]
    label: str
    logged_model: str
    run_link: str
    created_by: str
    created_at: Micros
    updated_at: Micros
    aliases: tuple[str, ...] = ()

    @property
    def urn(self) -> str:
        return f"registry/{self.name}@{self.version}"


class EntryDraft(msgspec.Struct, frozen=True):
    """A version as an outside client registers it, before it has a number."""

    name: str
    source: str
    run_id: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    logged_model: str = ""
    run_link: str = ""


class Search(msgspec.Struct, frozen=True):
    """A page of models or versions: `filter` in the grammar of `search`, `order_by` columns with ASC or DESC."""

    filter: str = ""
    order_by: tuple[str, ...] = ()
    limit: int = 100
    page_token: str = ""


class AliasRequest(msgspec.Struct, frozen=True):
    """Someone outside wants `alias` on a version; granted by deploying it."""

    number: int
    name: str
    alias: str
    version: int
    state: RequestState
    requested_by: str
    requested_at: Micros
    decided_by: str = ""
    decided_at: Micros | None = None
    reason: str = ""


class ListEntriesRequest(msgspec.Struct, frozen=True):
    """All versions of a model, ready to be served or not, newest first."""

    name: str


class EntryList(msgspec.Struct, frozen=True):
    """Versions as the catalog shows them."""

    versions: tuple[Entry, ...]


class ListAliasRequestsRequest(msgspec.Struct, frozen=True):
    """Requests for champion or challenger, newest first, of one model or all, in one state or all."""

    name: str | None = None
    state: RequestState | None = "open"


class AliasRequestList(msgspec.Struct, frozen=True):
    """Requests, newest first."""

    requests: tuple[AliasRequest, ...]


class DeclineAliasRequest(msgspec.Struct, frozen=True):
    """Decline an open request, with a reason."""

    number: int
    reason: str = ""
