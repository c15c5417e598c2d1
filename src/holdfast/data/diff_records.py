"""The nouns of comparing and verifying dataset versions."""

from __future__ import annotations

from typing import Literal

import msgspec


class DiffRequest(msgspec.Struct, frozen=True):
    """What changes from one version of a dataset to another: numbers, `latest` or tags."""

    table: str
    before: str
    after: str = "latest"


class FieldChange(msgspec.Struct, frozen=True):
    """A column that was added, removed, or whose `type` or `role` changed."""

    field: str
    kind: Literal["added", "removed", "type", "role"]
    before: str = ""
    after: str = ""


class ColumnShift(msgspec.Struct, frozen=True):
    """How the distribution of a column moved.

    `distance` is from 0 to 1: for numbers the largest gap between the two cumulative distributions
    (Kolmogorov-Smirnov), for categories the share of rows that would have to change category (total variation).
    `exact` says that both versions were counted in the same cells; else the gap is read between them.
    """

    field: str
    distance: float
    exact: bool
    null_share_before: float
    null_share_after: float
    mean_before: float | None = None
    mean_after: float | None = None
    categories_added: tuple[str, ...] = ()
    categories_removed: tuple[str, ...] = ()


class DatasetDiff(msgspec.Struct, frozen=True):
    """Schema and distributions of two versions compared; `shifts` come with the greatest distance first."""

    table: str
    before: int
    after: int
    same_rows: bool
    rows_before: int
    rows_after: int
    parts_shared: int
    fields: tuple[FieldChange, ...]
    shifts: tuple[ColumnShift, ...]


class RowExample(msgspec.Struct, frozen=True):
    """One row that differs: its key, and its values before and after (None where it is not there)."""

    key: dict[str, str]
    before: dict[str, str] | None = None
    after: dict[str, str] | None = None


class RowDiff(msgspec.Struct, frozen=True):
    """The rows of two versions compared, exactly.

    With a key (`key`) rows are added, removed or changed, and `columns` counts in how many rows each column changed.
    Without one, a row is what its values are: `added` and `removed` count rows, and none is `changed`.
    """

    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    unchanged: int
    columns: dict[str, int] = {}
    examples_added: tuple[RowExample, ...] = ()
    examples_removed: tuple[RowExample, ...] = ()
    examples_changed: tuple[RowExample, ...] = ()
    note: str = ""


class PartCheck(msgspec.Struct, frozen=True):
    """Whether the file of a part is there and still holds the bytes that its name says."""

    part: int
    digest: str
    state: Literal["ok", "missing", "damaged"]


class Verification(msgspec.Struct, frozen=True):
    """What `holdfast data verify` found.

    `fingerprint` is None where damaged parts left nothing to take it of. `source` is what became of the files that the
    version was read from: they are no part of it, but a change under a pinned version is worth knowing.
    """

    urn: str
    ok: bool
    parts: tuple[PartCheck, ...]
    fingerprint: Literal["ok", "differs"] | None
    source: Literal["unchanged", "changed", "gone", "not a file"] | None = None
    source_path: str = ""
