"""Tags on dataset versions, and which versions may go.

Nothing that a tag, run, feature view, model or deployment refers to is ever deleted. What is deleted is the record; the
files go with the common collection of blobs, once no other version has them.
"""

from __future__ import annotations

from holdfast.base import audit, events, lineage, urn
from holdfast.base.clock import Clock, Micros, duration
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.data import store
from holdfast.data.errors import DatasetInUseError, DatasetNotFoundError
from holdfast.data.records import (
    DatasetTag,
    DatasetTagList,
    DatasetVersion,
    DeletedVersion,
    DeleteVersionRequest,
    GetDatasetRequest,
    KeptVersion,
    ListTagsRequest,
    RemoveTagRequest,
    RetainReport,
    RetainRequest,
    SetTagRequest,
)
from holdfast.data.service import LATEST, DataService

_GREW = "grew into"
_NAMED_MOST = 3


class RetentionService:
    """Tags, deletion and retention of dataset versions."""

    def __init__(self, ledger: Ledger, clock: Clock, data: DataService) -> None:
        self._ledger = ledger
        self._clock = clock
        self._data = data

    @operation("GET", "/datasets/{table}/tags", "List the tags on a dataset's versions.")
    def list_tags(self, context: Context, request: ListTagsRequest) -> DatasetTagList:
        with self._ledger.read() as reader:
            return DatasetTagList(tuple(store.list_tags(reader, context.project, request.table)))

    @operation("PUT", "/datasets/{table}/tags/{tag}", "Put a tag on a dataset version.")
    def set_tag(self, context: Context, request: SetTagRequest) -> DatasetTag:
        """Puts a tag on a version; one that is on another version moves.

        Raises:
            InvalidError: the tag is a number or `latest`, or no name.
            DatasetNotFoundError: there is no such version.
        """
        urn.check_name(request.tag, "tag")
        if request.tag == LATEST or request.tag.isdecimal():
            raise InvalidError(
                f"{request.tag!r} names a version already", hint="choose a word of your own as the tag"
            )
        at = self._clock.now()

        def put(transaction: Transaction) -> DatasetTag:
            wanted = GetDatasetRequest(request.table, request.version)
            version = self._data.resolve(transaction, context, wanted)
            tag = DatasetTag(request.table, request.tag, version.version, at, context.actor.name)
            store.set_tag(transaction, context.project, tag)
            audit.record(transaction, context, "data.tag", version.urn, {"tag": request.tag}, at)
            return tag

        return self._ledger.write(put)

    @operation("DELETE", "/datasets/{table}/tags/{tag}", "Take a tag away; the version stays.")
    def remove_tag(self, context: Context, request: RemoveTagRequest) -> DatasetTagList:
        """Takes a tag away and returns those that are left.

        Raises:
            DatasetNotFoundError: there is no such tag; says which there are.
        """
        at = self._clock.now()

        def remove(transaction: Transaction) -> DatasetTagList:
            tags = store.list_tags(transaction, context.project, request.table)
            found = next((tag for tag in tags if tag.tag == request.tag), None)
            if found is None:
                names = ", ".join(tag.tag for tag in tags) or "none"
                raise DatasetNotFoundError(
                    f"{request.table} has no tag {request.tag!r}", hint=f"its tags are: {names}"
                )
            store.remove_tag(transaction, context.project, request.table, request.tag)
            subject = urn.dataset(request.table, found.version)
            audit.record(transaction, context, "data.untag", subject, {"tag": request.tag}, at)
            return DatasetTagList(tuple(tag for tag in tags if tag != found))

        return self._ledger.write(remove)

    @operation(
        "DELETE", "/datasets/{table}/versions/{version}", "Delete a dataset version nothing refers to."
    )
    def delete_version(self, context: Context, request: DeleteVersionRequest) -> DeletedVersion:
        """Deletes a version; its number is not given again.

        Raises:
            DatasetNotFoundError: there is no such version.
            DatasetInUseError: something refers to it; says what.
        """
        at = self._clock.now()

        def delete(transaction: Transaction) -> DeletedVersion:
            version = self._data.dataset(transaction, context, request.table, request.version)
            because = self._kept_because(transaction, context, version)
            if because is not None:
                raise DatasetInUseError(f"{request.table}@{request.version} stays: {because}")
            self._delete(transaction, context, version, at)
            return DeletedVersion(version.version, at, context.actor.name)

        return self._ledger.write(delete)

    @operation("POST", "/datasets/{table}/retain", "Delete old versions of a dataset that nothing refers to.")
    def retain(self, context: Context, request: RetainRequest) -> RetainReport:
        """Deletes the versions that are old by number and by age, and says of each that stays why.

        Raises:
            InvalidError: `keep_last` is below 1, or `older_than` is no duration.
            DatasetNotFoundError: there is no such dataset.
        """
        if request.keep_last < 1:
            raise InvalidError(
                "keep_last is below 1: the newest version stays",
                hint="delete versions with `holdfast data delete`",
            )
        at = self._clock.now()
        before = at - duration(request.older_than)
        if request.dry_run:
            with self._ledger.read() as reader:
                return self._report(reader, context, request, before)

        def retain(transaction: Transaction) -> RetainReport:
            report = self._report(transaction, context, request, before)
            for number in report.deleted:
                version = self._data.dataset(transaction, context, request.table, number)
                self._delete(transaction, context, version, at)
            return report

        return self._ledger.write(retain)

    def _report(
        self, reader: Reader, context: Context, request: RetainRequest, before: Micros
    ) -> RetainReport:
        versions = store.all_versions(reader, context.project, request.table)
        if not versions:
            self._data.dataset(reader, context, request.table, 1)
        old = [version for version in versions[request.keep_last :] if version.created_at <= before]
        reasons = {version.version: self._kept_because(reader, context, version) for version in old}
        gone = [version for version in old if reasons[version.version] is None]
        left = {part.digest for version in versions if version not in gone for part in version.parts}
        freed = {p.digest: p.size_bytes for version in gone for p in version.parts if p.digest not in left}
        return RetainReport(
            table=request.table,
            dry_run=request.dry_run,
            deleted=tuple(version.version for version in gone),
            kept=tuple(KeptVersion(number, why) for number, why in reasons.items() if why is not None),
            remaining=len(versions) - len(gone),
            bytes_freed=sum(freed.values()),
        )

    def _kept_because(self, reader: Reader, context: Context, version: DatasetVersion) -> str | None:
        """What refers to a version besides its own later versions, which have all of its files; None: nothing."""
        tags = [
            tag
            for tag in store.list_tags(reader, context.project, version.table)
            if tag.version == version.version
        ]
        if tags:
            return f"it is tagged {tags[0].tag}; take the tag away first"
        edges = lineage.graph(reader, context, version.urn, depth=1).downstream
        users = [edge.target for edge in edges if edge.relation != _GREW]
        if not users:
            return None
        more = f" and {len(users) - _NAMED_MOST} more" if len(users) > _NAMED_MOST else ""
        return f"{', '.join(users[:_NAMED_MOST])}{more} {'was' if len(users) == 1 else 'were'} made of it"

    def _delete(
        self, transaction: Transaction, context: Context, version: DatasetVersion, at: Micros
    ) -> None:
        store.delete_version(
            transaction, context.project, version.table, version.version, at, context.actor.name
        )
        told = {"table": version.table, "version": version.version}
        audit.record(transaction, context, "data.delete", version.urn, {"rows": version.rows}, at)
        events.emit(transaction, context, "data.deleted", told, at)
