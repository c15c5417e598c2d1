"""The verbs of data: record a version that a job has built, list and show versions."""

from __future__ import annotations

from holdfast.base import events, lineage, urn
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.data import store
from holdfast.data.errors import DatasetNotFoundError
from holdfast.data.records import (
    Contract,
    DatasetDraft,
    DatasetList,
    DatasetVersion,
    DatasetVersionPage,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
)

_PAGE_MOST = 500
_LATEST = "latest"


class DataService:
    """Tables and their immutable dataset versions in one ledger. The rows themselves are blobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

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
        "GET", "/datasets/{table}/versions/{version}", "Show one dataset version, by number or latest."
    )
    def get_dataset(self, context: Context, request: GetDatasetRequest) -> DatasetVersion:
        with self._ledger.read() as reader:
            number = store.latest_number(reader, context.project, request.table)
            if request.version != _LATEST:
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
        newest = store.latest_number(reader, context.project, table)
        if newest == 0:
            raise self._no_table(reader, context, table)
        raise DatasetNotFoundError(
            f"the table {table!r} has no such version", hint=f"its versions are 1 to {newest}"
        )

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
        known = store.find_fingerprint(transaction, context.project, draft.table, draft.fingerprint)
        if known is not None:
            return known
        number = store.latest_number(transaction, context.project, draft.table) + 1
        version = _version(draft, number, context, at)
        store.insert_version(transaction, context.project, version)
        if draft.parent is not None:
            parent = urn.dataset(draft.table, draft.parent)
            lineage.record_edge(transaction, context, parent, "grew into", version.urn, at)
        elif draft.source is not None:
            lineage.record_edge(transaction, context, urn.source(draft.source), "read into", version.urn, at)
        told = {"table": version.table, "version": version.version, "rows": version.rows}
        events.emit(transaction, context, "data.versioned", told, at)
        return version

    def _no_table(self, reader: Reader, context: Context, table: str) -> DatasetNotFoundError:
        names = ", ".join(summary.table for summary in store.list_latest(reader, context.project))
        return DatasetNotFoundError(
            f"there is no dataset of a table {table!r}",
            hint=f"there are datasets of: {names}" if names else "train a model first: `holdfast train FILE`",
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
