"""The nouns of data: table, dataset version, part, contract."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.base.clock import Micros

FieldType = Literal["float", "integer", "string", "boolean", "datetime"]
FieldRole = Literal["feature", "time", "key", "label"]
PartOrigin = Literal["source", "feed"]
SourceKind = Literal["file", "files", "s3", "sql", "delta", "frame"]
ViolationKind = Literal[
    "missing_field",
    "unknown_field",
    "invalid_field",
    "range",
    "category",
    "format",
    "null_share",
    "duplicate",
    "stale",
    "expectation",
]


class TableSpec(msgspec.Struct, frozen=True):
    """What a user declares of a table.

    `contract_file` is where people keep its contract; `contract` is what stood there when the file was read.

    `time` is a column name, or the readable form of the expression that the bundle's code evaluates
    (`time_is_expression`). Without `key` the table is one series. `source` is a path; None where the table is
    fed only by what serving logs. `available` and `created`, where declared, say when a row became known and
    when it was written; features over the table heed them.
    """

    name: str
    source: str | None
    time: str
    time_is_expression: bool = False
    time_roots: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    label: str | None = None
    label_delay_us: int = 0
    drop: tuple[str, ...] = ()
    available: str = ""
    created: str = ""
    contract_file: str | None = None
    contract: Contract | None = None


class FieldContract(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one column promises.

    Type and presence reject. Range, categories, format and null share reject only where the field is `hard`;
    inferred ones only flag, because rejecting them would hide the drift that monitoring looks for. The time of a
    row must have its format always: without it nothing can be joined or learned.

    `null_share` is the tolerated share of nulls where the field is not required; 0 there tolerates any share.
    `format` is a name of `data.formats.FORMATS`, or `pattern` a regular expression of Python's that the whole
    string must match.
    """

    name: str
    type: FieldType
    role: FieldRole = "feature"
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    null_share: float = 0.0
    hard: bool = False
    format: str | None = None
    pattern: str | None = None
    description: str = ""


class Contract(msgspec.Struct, frozen=True, omit_defaults=True):
    """The schema of a table's rows as callers must send them, plus key, time and label.

    `unique` are sets of columns whose values together may occur once in a frame. `freshness_us` is how old the
    newest row of a frame may be when it is checked. Both concern frames, not single requests.
    """

    table: str
    version: int
    fields: tuple[FieldContract, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    freshness_us: int | None = None

    @property
    def urn(self) -> str:
        return f"{self.table}@{self.version}"

    def request_fields(self) -> tuple[FieldContract, ...]:
        """The fields a prediction request carries: everything but the label."""
        return tuple(field for field in self.fields if field.role != "label")


class Part(msgspec.Struct, frozen=True):
    """One content-addressed Parquet file of a dataset version. Versions share parts.

    `digest` is of the file's bytes. `fingerprint` is of the version's rows up to the end of this part and `sealed`
    where an append goes on from (docs/fingerprint.md); in versions of fingerprint format 1 it is of the part's own
    rows and `sealed` is empty.
    """

    digest: str
    rows: int
    origin: PartOrigin
    time_first_at: Micros | None = None
    time_last_at: Micros | None = None
    fingerprint: str = ""
    sealed: str = ""
    size_bytes: int = 0


class RowsExcluded(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rows that were read for the newest part and left out, by reason.

    `unlabelled` have no label, `not_yet_available` become known after the cut, `without_time` are logged rows
    whose event time cannot be computed.
    """

    unlabelled: int = 0
    not_yet_available: int = 0
    without_time: int = 0


class SourceFile(msgspec.Struct, frozen=True):
    """A file as it was when it was read; `digest` is the blake3 of its bytes."""

    path: str
    digest: str
    size_bytes: int


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the rows that a version added came from; those before came with its parents.

    `address` is a path, a pattern, a URL (never with a password) or the kind of a frame; `query` is the SQL.
    `digest` identifies the source as it was read, `files` its first thousand files (`file_count` counts all), `code`
    the program that read it.
    """

    kind: SourceKind
    address: str
    query: str = ""
    digest: str = ""
    files: tuple[SourceFile, ...] = ()
    file_count: int = 0
    code: str = ""


class DatasetVersion(msgspec.Struct, frozen=True):
    """An immutable version of a dataset: the same rows give the same fingerprint and the same version.

    `as_of_at` is the availability cut: nothing that became known later is in it. The Parquet parts of a declared
    table carry its columns plus `time` (Datetime µs UTC), `_available_at` (Datetime µs UTC) and `_row_id` (string);
    those of plain data carry its columns alone.
    """

    table: str
    version: int
    fingerprint: str
    parts: tuple[Part, ...]
    rows: int
    contract: Contract
    profile: str
    as_of_at: Micros
    created_at: Micros
    created_by: str
    source: str | None = None
    source_digest: str | None = None
    parent: int | None = None
    columns_dropped: tuple[str, ...] = ()
    rows_excluded: RowsExcluded = RowsExcluded()
    fingerprint_format: int = 1
    provenance: Provenance | None = None
    message: str = ""

    @property
    def urn(self) -> str:
        return f"data/{self.table}@{self.version}"


class DatasetDraft(msgspec.Struct, frozen=True):
    """A dataset as a job has built it, its parts and profile already blobs, before it is registered."""

    table: str
    fingerprint: str
    parts: tuple[Part, ...]
    rows: int
    fields: tuple[FieldContract, ...]
    profile: str
    as_of_at: Micros
    source: str | None = None
    source_digest: str | None = None
    parent: int | None = None
    columns_dropped: tuple[str, ...] = ()
    rows_excluded: RowsExcluded = RowsExcluded()
    fingerprint_format: int = 2
    provenance: Provenance | None = None
    message: str = ""


class AddDatasetRequest(msgspec.Struct, frozen=True):
    """A version to register under the name of a dataset; its parts and profile are blobs already."""

    table: str
    draft: DatasetDraft


class AddedDataset(msgspec.Struct, frozen=True):
    """The version that has the rows; `created` is False where it was there before."""

    version: DatasetVersion
    created: bool


class Violation(msgspec.Struct, frozen=True):
    """Where a frame breaks its contract: how often, with a few examples.

    An `error` of a value means that the door would refuse the same rows one by one; a `warning` is only flagged
    there. Null shares, duplicates, age and expectations are judged on frames alone. `rows` are the first few of
    the `count` rows at fault, counted from 1 after the header.
    """

    kind: ViolationKind
    field: str
    count: int
    message: str
    severity: Literal["error", "warning"] = "error"
    examples: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()


class DataCheck(msgspec.Struct, frozen=True):
    """What checking one frame against its contract found. Warnings do not fail it."""

    source: str
    contract: str
    rows: int
    violations: tuple[Violation, ...]

    def count(self, severity: Literal["error", "warning"]) -> int:
        """How many violations are of a severity."""
        return sum(violation.severity == severity for violation in self.violations)


class ListDatasetsRequest(msgspec.Struct, frozen=True):
    """All tables of the project that have a dataset version."""


class DatasetSummary(msgspec.Struct, frozen=True):
    """A table with its newest version."""

    table: str
    latest_version: int
    rows: int
    as_of_at: Micros
    created_at: Micros


class DatasetList(msgspec.Struct, frozen=True):
    """Tables by name."""

    datasets: tuple[DatasetSummary, ...]


class ListDatasetVersionsRequest(msgspec.Struct, frozen=True):
    """The versions of a table, newest first; `before` continues below that version number."""

    table: str
    before: int | None = None
    limit: int = 50


class DatasetVersionPage(msgspec.Struct, frozen=True):
    """One page of versions; `next_before` is the `before` of the next page, None on the last."""

    versions: tuple[DatasetVersion, ...]
    next_before: int | None = None


class GetDatasetRequest(msgspec.Struct, frozen=True):
    """One version of a table, by number or `latest`."""

    table: str
    version: str


class DatasetTag(msgspec.Struct, frozen=True):
    """A name for one version of a dataset, which may be moved to another: `rides@gold`."""

    table: str
    tag: str
    version: int
    set_at: Micros
    set_by: str


class DatasetTagList(msgspec.Struct, frozen=True):
    """The tags of a dataset, by name."""

    tags: tuple[DatasetTag, ...]


class ListTagsRequest(msgspec.Struct, frozen=True):
    """The tags of a dataset."""

    table: str


class SetTagRequest(msgspec.Struct, frozen=True):
    """Puts `tag` on a version, by number, `latest` or another tag; a tag that is elsewhere moves."""

    table: str
    tag: str
    version: str = "latest"


class RemoveTagRequest(msgspec.Struct, frozen=True):
    """Takes a tag away; the version stays."""

    table: str
    tag: str


class DeletedVersion(msgspec.Struct, frozen=True):
    """A version that is gone, and who deleted it when."""

    version: int
    deleted_at: Micros
    deleted_by: str


class DeleteVersionRequest(msgspec.Struct, frozen=True):
    """Deletes a version that nothing refers to, by number."""

    table: str
    version: int


class RetainRequest(msgspec.Struct, frozen=True):
    """Which versions of a dataset may go: those that are older than `older_than` (such as `30d`) and not among the
    newest `keep_last`. Only what a tag, run, feature, model or deployment refers to stays besides."""

    table: str
    keep_last: int = 1
    older_than: str = "0d"
    dry_run: bool = False


class KeptVersion(msgspec.Struct, frozen=True):
    """A version that stays although it might have gone by age and number, and why."""

    version: int
    because: str


class RetainReport(msgspec.Struct, frozen=True):
    """What went, or would go; `bytes_freed` is the size of the files that no other version of the dataset has."""

    table: str
    dry_run: bool
    deleted: tuple[int, ...]
    kept: tuple[KeptVersion, ...]
    remaining: int
    bytes_freed: int
