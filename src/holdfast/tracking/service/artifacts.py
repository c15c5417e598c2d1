"""The verbs of artifacts: write a file as it comes in, read it, list, delete, upload in parts.

A path shows a file only once all of its bytes are in a blob and the blob is durable. A path is a key of a table, not a
place on the disk, so it can lead nowhere else.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from random import Random

import msgspec

from holdfast.base.blobs import Blobs, IncomingBlob, replace_file
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import ConflictError, InvalidError, NotFoundError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.tracking.ids import new_run_id
from holdfast.tracking.policy import check_artifact_path
from holdfast.tracking.records import StoredArtifact
from holdfast.tracking.store import artifacts as store

PARTS_MOST = 10_000
_CHUNK_BYTES = 1 << 20
_PLAN = "upload.json"
_ABANDONED_AFTER_S = 24 * 3600


class Upload(msgspec.Struct, frozen=True):
    """An upload in parts that has begun."""

    project: str
    path: str
    parts: int


class ArtifactService:
    """Artifacts of one ledger and its blobs.

    Args:
        uploads: the folder for parts; what is left in it by uploads that were never finished goes at the start.
    """

    def __init__(self, ledger: Ledger, blobs: Blobs, clock: Clock, uploads: Path, rng: Random) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._uploads = uploads
        self._rng = rng

    def clear_uploads(self) -> None:
        """Removes the parts of uploads that nobody will finish, when a server starts."""
        shutil.rmtree(self._uploads, ignore_errors=True)

    def uploads_under_way(self, project: str) -> list[str]:
        """The paths that uploads in parts have begun for and not finished, on this server."""
        found = []
        for file in self._uploads.glob(f"*/{_PLAN}"):
            with contextlib.suppress(OSError):
                plan = from_json(file.read_bytes(), Upload)
                found += [plan.path] if plan.project == project else []
        return found

    def receive(self) -> IncomingBlob:
        """Begins to take bytes in; `keep` then gives them a path."""
        return self._blobs.incoming()

    def check_free(self, context: Context, path: str) -> str:
        """The path as it is stored, when a file may stand there.

        Raises:
            InvalidError: it is not legal, or a folder, or below a file.
        """
        path = check_artifact_path(path)
        if not path:
            raise InvalidError("Invalid path '': a file needs a name")
        with self._ledger.read() as reader:
            _refuse_clash(reader, context.project, path)
        return path

    def keep(self, context: Context, path: str, incoming: IncomingBlob) -> StoredArtifact:
        """Makes the bytes durable and shows them at a path, in place of what was there.

        Raises:
            InvalidError: the path is not legal, or a folder, or below a file.
        """
        path = self.check_free(context, path)
        digest, size_bytes = incoming.keep()
        at = self._clock.now()

        def change(transaction: Transaction) -> None:
            _refuse_clash(transaction, context.project, path)
            store.put(transaction, context.project, path, digest, size_bytes, at)

        self._ledger.write(change)
        return StoredArtifact(path, False, size_bytes, digest)

    def open(self, context: Context, path: str) -> tuple[StoredArtifact, Path]:
        """A file and where its bytes are, to be read only.

        Raises:
            NotFoundError: there is no such file.
        """
        path = check_artifact_path(path)
        with self._ledger.read() as reader:
            found = store.find(reader, context.project, path)
        if found is None:
            raise NotFoundError(f"No such artifact: {path[:300]!r}")
        return found, self._blobs.path(found.digest)

    def children(self, context: Context, path: str) -> list[StoredArtifact]:
        """Files and folders directly in a folder; of a file or of nothing, none."""
        path = check_artifact_path(path)
        with self._ledger.read() as reader:
            return store.children(reader, context.project, path)

    def delete(self, context: Context, path: str) -> int:
        """Removes a file, or a folder with everything in it; how many files went."""
        path = check_artifact_path(path)
        if not path:
            raise InvalidError("Invalid path '': everything at once is not deleted")
        return self._ledger.write(lambda transaction: store.delete(transaction, context.project, path))

    def begin_upload(self, context: Context, path: str, parts: int) -> str:
        """Begins an upload in parts and returns its id.

        It outlives neither the server nor a day without a part.
        """
        path = self.check_free(context, path)
        if not 1 <= parts <= PARTS_MOST:
            raise InvalidError(
                f"Invalid value {parts} for parameter 'num_parts'", hint=f"use 1 to {PARTS_MOST}"
            )
        upload_id = new_run_id(self._rng)
        plan = Upload(context.project, path, parts)
        replace_file(self._uploads / upload_id / _PLAN, to_json(plan).encode())
        self._clear_abandoned(upload_id)
        return upload_id

    def _clear_abandoned(self, newest: str) -> None:
        """Removes uploads of which no part has come for a day: their clients will not say goodbye."""
        now = (self._uploads / newest).stat().st_mtime
        for folder in self._uploads.iterdir():
            with contextlib.suppress(FileNotFoundError):  # it may have been finished just now
                if now - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def part_file(self, context: Context, upload_id: str, number: int) -> Path:
        """Where part `number` (from 1) belongs; write beside it and rename."""
        plan = self._plan(context, upload_id)
        if not 1 <= number <= plan.parts:
            raise InvalidError(f"Invalid part {number}: the upload has {plan.parts}")
        return self._uploads / upload_id / f"{number:05d}"

    def finish_upload(self, context: Context, path: str, upload_id: str, parts: list[int]) -> StoredArtifact:
        """Puts the parts together and shows them at the path.

        Raises:
            InvalidError: the path is another one, or parts are missing.
        """
        plan = self._plan(context, upload_id)
        if check_artifact_path(path) != plan.path:
            raise InvalidError("Invalid path: the upload began for another one")
        files = [self.part_file(context, upload_id, number) for number in sorted(set(parts))]
        missing = [file.name for file in files if not file.exists()]
        if missing or not files:
            raise InvalidError(f"Invalid parts: {', '.join(missing[:5]) or 'none were named'} did not arrive")
        with self.receive() as incoming:
            for file in files:
                with file.open("rb") as source:
                    while chunk := source.read(_CHUNK_BYTES):
                        incoming.write(chunk)
            kept = self.keep(context, plan.path, incoming)
        shutil.rmtree(self._uploads / upload_id, ignore_errors=True)
        return kept

    def abort_upload(self, context: Context, upload_id: str) -> None:
        """Forgets an upload and its parts; one that is not there already does no harm."""
        with contextlib.suppress(NotFoundError):
            self._plan(context, upload_id)
            shutil.rmtree(self._uploads / upload_id, ignore_errors=True)

    def _plan(self, context: Context, upload_id: str) -> Upload:
        legal = len(upload_id) == 32 and upload_id.isalnum()
        try:
            plan = from_json((self._uploads / upload_id / _PLAN).read_bytes(), Upload) if legal else None
        except OSError:
            plan = None
        if plan is None or plan.project != context.project:
            raise NotFoundError(f"there is no upload {upload_id[:64]!r}", hint="begin it again")
        return plan


def _refuse_clash(reader: Reader, project: str, path: str) -> None:
    if store.is_folder(reader, project, path):
        raise PathTakenError(f"{path!r} is a folder")
    folder, _ = store.split(path)
    while folder:
        if store.find(reader, project, folder) is not None:
            raise PathTakenError(f"{folder!r} is a file, so nothing can be in it")
        folder, _ = store.split(folder)


class PathTakenError(InvalidError, ConflictError):
    """A folder is where a file should go, or a file where a folder should."""

    code = "path_taken"
    status = 400
