"""The verbs of data: record a version that a job has built, list and show versions."""

from __future__ import annotations

import msgspec

from holdfast.base import audit, events, lineage, urn
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock, Micros, format_time
from holdfast.base.context import Context
from holdfast.base.encoding import from_msgpack
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.data import store
from holdfast.data.diff_records import DatasetDiff, DiffRequest
from holdfast.data.errors import DatasetMovedError, DatasetNotFoundError, TableError
from holdfast.data.records import (
    AddDatasetRequest,
    AddedDataset,
    Contract,
    DatasetDraft,
    DatasetList,
    DatasetVersion,
    DatasetVersionPage,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
)
from holdfast.data.shifts import field_changes, shifts
from holdfast.profiles.records import Profile

_PAGE_MOST = 500
LATEST = "latest"


class DataService:
    """Tables and their immutable dataset versions in one ledger. The rows themselves are blobs."""

    def __init__(self, ledger: Ledger, blobs: Blobs, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock

    @operation(
        "POST", "/datasets/{table}/versions", "Register a dataset version whose parts are stored already."
    )
    def add_dataset(self, context: Context, request: AddDatasetRequest) -> AddedDataset:
        """Registers what `holdfast data add` has built; the same rows again are the version that they were before.

        Raises:
            TableError: the draft is of another dataset, or its parts or its profile are not stored here.
            DatasetMovedError: rows were appended to a version that is no longer the newest.
        """
        draft = request.draft
        self._check_draft(request.table, draft)
        at = self._clock.now()
        draft = msgspec.structs.replace(draft, as_of_at=draft.as_of_at or at)

        def add(transaction: Transaction) -> AddedDataset:
            newest = self.latest(transaction, context, draft.table)
            if draft.parent is not None and (newest is None or newest.version != draft.parent):
                known = self._same_rows(transaction, context, draft, newest)
                if known is not None:
                    return AddedDataset(known, False)
                number = newest.version if newest is not None else 0
                raise DatasetMovedError(
                    f"rows were appended to {draft.table}@{draft.parent}, but its newest version is {number} by now",
                    hint="append again",
                )
            version = self.record_dataset(transaction, context, draft, at)
            created = newest is None or version.version > newest.version
            if created:
                told = {"rows": version.rows, "message": version.message}
                audit.record(transaction, context, "data.add", version.urn, told, at)
            return AddedDataset(version, created)

        return self._ledger.write(add)

    @operation("GET", "/datasets", "List the tables of the project with their newest versions.")
    def list_datasets(self, context: Context, request: ListDatasetsRequest) -> DatasetList:
        with self._ledger.read() as reader:
            return DatasetList(tuple(store.list_latest(reader, context.project)))

    @operation("GET", "/datasets/{table}/versions", "List a table's versions, newest first.")
    def list_versions(self, context: Context, request: ListDatasetVersionsRequest) -> DatasetVersionPage:
        limit = max(1, min(request.limit, _PAGE_MOST))
        with self._ledger.read() as reader:
            if self.latest(reader, context, request.table) is None:
                raise self._no_table(reader, context, request.table)
            found = store.list_versions(reader, context.project, request.table, request.before, limit + 1)
        more = len(found) > limit
        return DatasetVersionPage(tuple(found[:limit]), found[limit - 1].version if more else None)

    @operation(
        "GET", "/datasets/{table}/versions/{version}", "Show one dataset version, by number, latest or tag."
    )
    def get_dataset(self, context: Context, request: GetDatasetRequest) -> DatasetVersion:
        with self._ledger.read() as reader:
            return self.resolve(reader, context, request)

    @operation(
        "GET", "/datasets/{table}/diff", "Compare two versions of a dataset by schema and distribution."
    )
    def diff(self, context: Context, request: DiffRequest) -> DatasetDiff:
        """What changes between two versions, from their contracts and profiles; no row is read.

        Raises:
            DatasetNotFoundError: there is no such dataset or version.
        """
        with self._ledger.read() as reader:
            before, after = (
                self.resolve(reader, context, GetDatasetRequest(request.table, version))
                for version in (request.before, request.after)
            )
        old, new = (from_msgpack(self._blobs.read(version.profile), Profile) for version in (before, after))
        shared = {part.digest for part in before.parts} & {part.digest for part in after.parts}
        return DatasetDiff(
            table=request.table,
            before=before.version,
            after=after.version,
            same_rows=before.fingerprint == after.fingerprint,
            rows_before=before.rows,
            rows_after=after.rows,
            parts_shared=len(shared),
            fields=tuple(field_changes(before.contract.fields, after.contract.fields)),
            shifts=tuple(shifts(old, new)),
        )

    def resolve(self, reader: Reader, context: Context, request: GetDatasetRequest) -> DatasetVersion:
        """The version that a number, `latest` or a tag names.

        Raises:
            DatasetNotFoundError: there is none; says which there are.
        """
        tags = store.list_tags(reader, context.project, request.table)
        tagged = next((tag.version for tag in tags if tag.tag == request.version), None)
        if request.version == LATEST:
            number = store.latest_number(reader, context.project, request.table)
        elif tagged is not None:
            number = tagged
        else:
            number = int(request.version) if request.version.isdecimal() else -1
        return self.dataset(reader, context, request.table, number)

    def dataset(self, reader: Reader, context: Context, table: str, version: int) -> DatasetVersion:
        """One version.

        Raises:
            DatasetNotFoundError: there is no such table or version; says which there are.
        """
        found = store.find_version(reader, context.project, table, version)
        if found is not None:
            return found
        newest = store.highest_number(reader, context.project, table)
        if newest == 0:
            raise self._no_table(reader, context, table)
        deleted = store.find_deleted(reader, context.project, table, version)
        if deleted is not None:
            raise DatasetNotFoundError(
                f"{table}@{version} was deleted by {deleted.deleted_by} at {format_time(deleted.deleted_at)}",
                hint=f"list what is left with `holdfast data list {table}`",
            )
        tags = ", ".join(tag.tag for tag in store.list_tags(reader, context.project, table))
        raise DatasetNotFoundError(
            f"the table {table!r} has no such version",
            hint=f"its versions are 1 to {newest}" + (f", its tags {tags}" if tags else ""),
        )

    def find(self, reader: Reader, context: Context, table: str, version: int) -> DatasetVersion | None:
        """One version, or None where there is none."""
        return store.find_version(reader, context.project, table, version)

    def latest(self, reader: Reader, context: Context, table: str) -> DatasetVersion | None:
        """The newest version of a table, or None."""
        number = store.latest_number(reader, context.project, table)
        return store.find_version(reader, context.project, table, number) if number else None

    def record_dataset(
        self, transaction: Transaction, context: Context, draft: DatasetDraft, at: Micros
    ) -> DatasetVersion:
        """Registers what a job has built; the same rows again are the version that they were before.

        Raises:
            InvalidError: the table's name is not a name.
        """
        urn.check_name(draft.table, "table")
        newest = self.latest(transaction, context, draft.table)
        known = self._same_rows(transaction, context, draft, newest)
        if known is not None:
            return known
        number = store.highest_number(transaction, context.project, draft.table) + 1
        version = _version(draft, number, context, at)
        store.insert_version(transaction, context.project, version)
        if draft.parent is not None:
            parent = urn.dataset(draft.table, draft.parent)
            lineage.record_edge(transaction, context, parent, "grew into", version.urn, at)
        if draft.source is not None and (draft.parent is None or draft.provenance is not None):
            lineage.record_edge(transaction, context, urn.source(draft.source), "read into", version.urn, at)
        told = {"table": version.table, "version": version.version, "rows": version.rows}
        events.emit(transaction, context, "data.versioned", told, at)
        return version

    def _same_rows(
        self, reader: Reader, context: Context, draft: DatasetDraft, newest: DatasetVersion | None
    ) -> DatasetVersion | None:
        """The version that has the rows of a draft already.

        One that an early release recorded has a fingerprint of another format; the same files are the same rows.
        """
        known = store.find_fingerprint(reader, context.project, draft.table, draft.fingerprint)
        if known is None and newest is not None and newest.fingerprint_format != draft.fingerprint_format:
            same = [part.digest for part in newest.parts] == [part.digest for part in draft.parts]
            return newest if same else None
        return known

    def _check_draft(self, table: str, draft: DatasetDraft) -> None:
        urn.check_name(table, "dataset")
        if draft.table != table:
            raise TableError(f"the draft is of {draft.table!r}, not of {table!r}")
        if not draft.parts or draft.rows != sum(part.rows for part in draft.parts):
            raise TableError("the rows of the draft's parts do not add up to its rows", hint="build it again")
        for digest in (*(part.digest for part in draft.parts), draft.profile):
            if not self._blobs.renew(digest):
                raise TableError(
                    f"blob {digest[:16]} of the draft is not stored here",
                    hint="add the data with `holdfast data add`, which stores it first",
                )

    def _no_table(self, reader: Reader, context: Context, table: str) -> DatasetNotFoundError:
        names = ", ".join(summary.table for summary in store.list_latest(reader, context.project))
        return DatasetNotFoundError(
            f"there is no dataset of a table {table!r}",
            hint=f"there are datasets of: {names}"
            if names
            else "add one with `holdfast data add NAME FILE`, or train a model with `holdfast train FILE`",
        )


def _version(draft: DatasetDraft, number: int, context: Context, at: Micros) -> DatasetVersion:
    """The draft's facts under their number; the contract gets the same number as the rows that it describes."""
    facts = {name: getattr(draft, name) for name in draft.__struct_fields__ if name != "fields"}
    return DatasetVersion(
        version=number,
        contract=Contract(draft.table, number, draft.fields),
        created_at=at,
        created_by=context.actor.name,
        **facts,
    )
