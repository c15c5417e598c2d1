"""Makes a version from outside ready to be served: fetches its folder, runs the child, registers what it hands back."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from holdfast.base import audit, processes
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import ForbiddenError, InvalidError
from holdfast.base.home import Home
from holdfast.base.ledger.protocol import Ledger, Transaction
from holdfast.base.urn import check_name
from holdfast.data.records import Contract
from holdfast.registry.catalog.records import Entry
from holdfast.registry.errors import TrustNeededError, UnservableModelError
from holdfast.registry.outside.child import FAILURE, OUTCOME, TASK
from holdfast.registry.outside.records import Converted, ConvertTask, Refused
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService

_TIMEOUT_S = 300.0
_STDERR_CHARACTERS = 300

# The files under a version's source: path inside the folder -> digest of the blob.
FilesOf = Callable[[Context, Entry], Mapping[str, str]]


class OutsideService:
    """Turns what an outside client registered into what serving can load."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        home: Home,
        registry: RegistryService,
        files_of: FilesOf,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._home = home
        self._registry = registry
        self._files_of = files_of

    def make_ready(self, context: Context, entry: Entry, *, trust: bool = False) -> ModelVersion:
        """Reads the version's model folder in a child process and makes the version deployable.

        With `trust` a pickle is loaded in that child, once, which the audit trail keeps with who said so.

        Raises:
            TrustNeededError: it is a pickle, and `trust` was not given.
            UnservableModelError: it cannot be served, and why.
            ForbiddenError: somebody who is not a person trusts it.
        """
        check_name(entry.name, "deployed model")
        if trust and context.actor.kind != "person":
            raise ForbiddenError(f"{context.actor.name} is not a person and cannot trust a model file")
        files = self._files_of(context, entry)
        if trust:
            self._ledger.write(lambda tx: self._record_trust(tx, context, entry, files))
        found = self._convert(entry, files, trust=trust)
        contract = Contract(entry.name, entry.version, found.fields)
        digest = self._blobs.put(to_json(contract).encode())
        version = _version(entry, found, digest)
        return self._ledger.write(
            lambda tx: self._registry.make_ready(tx, context, version, _reason(found), self._clock.now())
        )

    def _record_trust(
        self, transaction: Transaction, context: Context, entry: Entry, files: Mapping[str, str]
    ) -> None:
        detail = {"source": entry.source, "files": dict(files)}
        audit.record(transaction, context, "registry.trust", entry.urn, detail, self._clock.now())

    def _convert(self, entry: Entry, files: Mapping[str, str], *, trust: bool) -> Converted:
        self._home.tmp.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._home.tmp, prefix="outside-") as name:
            folder = Path(name)
            model = folder / "model"
            self._fetch(model, files)
            task = ConvertTask(str(model), str(self._blobs.root), trust)
            (folder / TASK).write_bytes(to_json(task).encode())
            code, words = _run_child(folder)
            with contextlib.suppress(FileNotFoundError):
                return from_json((folder / OUTCOME).read_bytes(), Converted)
            raise _refusal(folder, entry, code, words)

    def _fetch(self, target: Path, files: Mapping[str, str]) -> None:
        """Copies, because what runs in the child must not be able to reach the blobs themselves through a link."""
        for path, digest in files.items():
            place = (target / path).resolve()
            if not place.is_relative_to(target.resolve()):
                raise InvalidError(f"the artifact path {path!r} leads out of the model folder")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._blobs.path(digest), place)


def _run_child(folder: Path) -> tuple[int, str]:
    """The child's exit code and the end of what it said; it and all that it started end with this call."""
    command = [sys.executable, "-P", "-m", "holdfast.registry.outside.child", str(folder)]
    with (folder / "stderr.txt").open("wb") as words:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_TIMEOUT_S)
        finally:
            mark = processes.start_mark(child.pid) if child.poll() is None else None
            if mark is not None:
                processes.kill_group(child.pid, mark)
            code = child.wait()
    said = (folder / "stderr.txt").read_text(errors="replace").strip()
    return code, said[-_STDERR_CHARACTERS:]


def _refusal(folder: Path, entry: Entry, code: int, words: str) -> Exception:
    try:
        found = from_json((folder / FAILURE).read_bytes(), Refused)
    except FileNotFoundError:
        return UnservableModelError(
            f"{entry.name}@{entry.version} could not be read: the process ended with {code} ({words or 'silently'})"
        )
    message = f"{entry.name}@{entry.version} cannot be served: {found.message}"
    kind = TrustNeededError if found.code == TrustNeededError.code else UnservableModelError
    return kind(message)


def _version(entry: Entry, found: Converted, contract_digest: str) -> ModelVersion:
    return ModelVersion(
        name=entry.name,
        version=entry.version,
        run_id=entry.run_id,
        stage="trained",
        task=found.signature.task,
        signature=found.signature,
        files=found.files,
        metrics={},
        dataset="",
        contract_digest=contract_digest,
        profile="",
        bundle="",
        spec="",
        created_at=entry.created_at,
        created_by=entry.created_by,
        trained_because=f"registered from outside by {entry.created_by} ({entry.source})",
    )


def _reason(found: Converted) -> str:
    code = "; loading it ran its writer's code, under trust" if found.ran_code else ""
    return (
        f"made ready to serve from MLflow's {found.flavor} flavor stored as {found.stored_as},"
        f" checked on {found.checked_rows} rows{code}; no gates declared"
    )
