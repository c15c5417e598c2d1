"""Carries artifact folders over: what is there already stays, and what was sent is compared by its digest."""

from __future__ import annotations

import time

from blake3 import blake3

from holdfast.base.errors import RemoteError, UnavailableError
from holdfast.sdk.imports.mlflow.errors import ElsewhereError, SourceError
from holdfast.sdk.imports.mlflow.records import Folder, Source, SourceFile
from holdfast.sdk.imports.mlflow.report import Report
from holdfast.sdk.imports.mlflow.target import Target, UploadRefusedError
from holdfast.tracking.import_records import ListStoredRequest, StoredFile
from holdfast.tracking.service import ImportService

_CHUNK_BYTES = 1 << 20
_TRIES = 4


class Carrier:
    """Brings artifact folders of one source to one server, and counts files and bytes in the report."""

    def __init__(self, source: Source, target: Target, report: Report) -> None:
        self._source = source
        self._target = target
        self._report = report

    def listed(self, folder: Folder) -> list[SourceFile] | None:
        """The files of a folder; None where they cannot be reached and stay where they are, which is noted."""
        try:
            return self._source.files(folder)
        except ElsewhereError as error:
            note = f"artifacts stay where they are: {error}"
            if not any(known.startswith("artifacts stay") for known in self._report.notes):
                self._report.notes.append(note)
        except SourceError as error:
            self._report.problems.append(f"the artifacts of {folder.owner} cannot be listed: {error}")
        return None

    def bring(self, folder: Folder, files: list[SourceFile], root: str) -> bool:
        """Makes a folder of the artifact store hold the files; whether all of them are there.

        Args:
            root: the folder in our artifact store.
        """
        if not files:
            return True
        present = self._stored(root)
        sent: dict[str, str] = {}
        whole = True
        for file in files:
            if self._is_present(folder, file, present.get(file.path)):
                continue
            try:
                sent[file.path] = self._send(folder, file, f"{root}/{file.path}")
            except (SourceError, ElsewhereError, UploadRefusedError, FileNotFoundError) as error:
                self._report.problems.append(f"{file.path} of {folder.owner} was not brought: {error}")
                whole = False
        return self._agree(folder, root, sent) and whole

    def _stored(self, root: str) -> dict[str, StoredFile]:
        found = self._target.call(ImportService.stored, ListStoredRequest(root))
        return {file.path: file for file in found.files}

    def _is_present(self, folder: Folder, file: SourceFile, known: StoredFile | None) -> bool:
        if known is None or known.size_bytes != file.size_bytes:
            return False
        # Reading a file of another machine again costs as much as bringing it, so there its size decides.
        return not self._source.is_local or self._digest(folder, file) == known.digest

    def _digest(self, folder: Folder, file: SourceFile) -> str:
        hasher = blake3()
        with self._source.open(folder, file) as content:
            while chunk := content.read(_CHUNK_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()

    def _send(self, folder: Folder, file: SourceFile, path: str) -> str:
        wait = 0.2
        for attempt in range(_TRIES):
            try:
                with self._source.open(folder, file) as content:
                    digest = self._target.upload(path, content, file.size_bytes)
                self._report.files += 1
                self._report.bytes += file.size_bytes
                return digest
            except (UnavailableError, OSError) as error:
                # SourceAwayError is one of these: either side may have been away for a moment.
                if isinstance(error, (RemoteError, FileNotFoundError)) or attempt == _TRIES - 1:
                    raise
            time.sleep(wait)
            wait *= 3
        raise AssertionError("unreachable")

    def _agree(self, folder: Folder, root: str, sent: dict[str, str]) -> bool:
        """Whether the server keeps what was sent, byte for byte."""
        if not sent:
            return True
        present = self._stored(root)
        wrong = [
            path for path, digest in sent.items() if path not in present or present[path].digest != digest
        ]
        for path in wrong:
            self._report.problems.append(f"{path} of {folder.owner} arrived with other bytes than were sent")
        return not wrong
