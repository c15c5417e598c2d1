"""The folder that MLflow's client finds where it loads a version that holdfast trained.

Nothing of it is stored: MLmodel and its neighbours are written when somebody asks, the other files are the version's
blobs. The folder lies at `registry/NAME/VERSION` of the artifact store, where nothing can be uploaded.

The flavor `python_function` loads by `holdfast.registry.pyfunc`, which predicts as the data plane does. The model's own
file is there as a flavor of MLflow's too (`onnx`, `lightgbm`, `sklearn` from skops), for whoever wants the bare
estimator; it takes the encoded matrix instead of named columns.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.base.blobs import Blobs
from holdfast.base.clock import to_datetime
from holdfast.base.context import Context
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import NotFoundError
from holdfast.base.version import VERSION
from holdfast.data.records import Contract
from holdfast.registry.pyfunc import BLOBS_FOLDER, VERSION_FILE, HandedOut
from holdfast.registry.records import ModelFile, ModelVersion, SignatureColumn
from holdfast.tracking.policy import check_artifact_path
from holdfast.tracking.records import StoredArtifact

Content = bytes | Path
FindVersion = Callable[[Context, str, int], ModelVersion]

_ROOT = "registry"
_PLACE = re.compile(rf"{_ROOT}/([^/]+)/(\d{{1,18}})(?:/(.*))?", re.DOTALL)
_DATA = "data"
_NATIVE = {"onnx": "model.onnx", "lightgbm": "model.lgb", "skops": "model.skops"}
_EXTRAS = {"onnx": "onnx", "lightgbm": "lightgbm"}


class ModelFolders:
    """Folders of versions, made when they are asked for.

    Args:
        find: gives a version that can be served; `NotFoundError` when there is none.
        blobs: where its files are.
    """

    def __init__(self, find: FindVersion, blobs: Blobs) -> None:
        self._find = find
        self._blobs = blobs

    def files(self, context: Context, name: str, version: int) -> dict[str, Content]:
        """Every file of a version's folder: text that was made for it, or where its bytes lie."""
        found = self._find(context, name, version)
        files: dict[str, Content] = {
            f"{_DATA}/{BLOBS_FOLDER}/{file.digest[:2]}/{file.digest}": self._blobs.path(file.digest)
            for file in found.files
        }
        told = HandedOut(name, version, found.signature, found.files)
        files[f"{_DATA}/{VERSION_FILE}"] = to_json(told).encode()
        native = next((file for file in found.files if file.role == "native"), None)
        if native is not None and native.format in _NATIVE:
            files[_NATIVE[native.format]] = self._blobs.path(native.digest)
        contract = from_json(self._blobs.read(found.contract_digest), Contract)
        files["MLmodel"] = _mlmodel(found, contract, native)
        files["requirements.txt"] = _requirements(found.files)
        return files

    def children(self, context: Context, path: str) -> list[StoredArtifact] | None:
        """Files and folders directly at a path; None where the path belongs to no version's folder."""
        place = _place(path)
        if place is None:
            return None
        name, version, inside = place
        prefix = f"{inside}/" if inside else ""
        found: dict[str, StoredArtifact] = {}
        for file, content in self.files(context, name, version).items():
            if not file.startswith(prefix):
                continue
            part, deeper, _ = file.removeprefix(prefix).partition("/")
            whole = f"{path.rstrip('/')}/{part}"
            size = 0 if deeper else _size(content)
            found[part] = StoredArtifact(whole, bool(deeper), size)
        return [found[part] for part in sorted(found)]

    def open(self, context: Context, path: str) -> tuple[str, Content] | None:
        """The name and content of a file; None where the path belongs to no version's folder.

        Raises:
            NotFoundError: the folder has no such file.
        """
        place = _place(path)
        if place is None:
            return None
        name, version, inside = place
        content = self.files(context, name, version).get(inside)
        if content is None:
            raise NotFoundError(f"No such artifact: {path[:300]!r}")
        return inside.rpartition("/")[2], content


def folder_of(name: str, version: int) -> str:
    """Where a version's folder lies in the artifact store.

    Example:
        >>> folder_of("bike-demand", 3), is_reserved("registry/bike-demand/3/MLmodel")
        ('registry/bike-demand/3', True)
    """
    return f"{_ROOT}/{name}/{version}"


def is_reserved(path: str) -> bool:
    """Whether a path belongs to a version's folder, so that nothing can be stored there."""
    return _place(path) is not None


def _place(path: str) -> tuple[str, int, str] | None:
    match = _PLACE.fullmatch(path.strip("/"))
    if match is not None:
        check_artifact_path(path.strip("/"))
    return None if match is None else (match[1], int(match[2]), (match[3] or "").strip("/"))


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _mlmodel(version: ModelVersion, contract: Contract, native: ModelFile | None) -> bytes:
    import yaml

    python = ".".join(map(str, sys.version_info[:3]))
    told: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "loader_module": "holdfast.registry.pyfunc",
                "data": _DATA,
                "python_version": python,
                "env": {},
            },
            **_native_flavor(native),
        },
        "model_uuid": _uuid(version),
        "utc_time_created": to_datetime(version.created_at).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "signature": {
            "inputs": json.dumps(_inputs(version, contract)),
            "outputs": json.dumps([{"type": "double", "required": True}]),
            "params": None,
        },
        "metadata": {"holdfast": version.urn},
    }
    if version.run_id:
        told["run_id"] = version.run_id
    text: str = yaml.safe_dump(told, sort_keys=False)
    return text.encode()


def _native_flavor(native: ModelFile | None) -> dict[str, Any]:
    if native is None or native.format not in _NATIVE:
        return {}
    file = _NATIVE[native.format]
    if native.format == "onnx":
        return {"onnx": {"data": file, "providers": ["CPUExecutionProvider"]}}
    if native.format == "lightgbm":
        return {"lightgbm": {"data": file, "model_class": "lightgbm.basic.Booster"}}
    from holdfast.registry.formats.skops_format import ALLOWED_TYPES

    trusted = sorted(ALLOWED_TYPES)
    return {
        "sklearn": {"pickled_model": file, "serialization_format": "skops", "skops_trusted_types": trusted}
    }


def _inputs(version: ModelVersion, contract: Contract) -> list[dict[str, Any]]:
    required = {field.name for field in contract.fields if field.required}
    return [
        _input(column, required=column.view is None and column.name in required)
        for column in version.signature.columns
    ]


def _input(column: SignatureColumn, *, required: bool) -> dict[str, Any]:
    kind = {"float": "double", "integer": "long", "boolean": "boolean"}.get(column.type, "string")
    if not required and kind in ("long", "boolean"):
        # A column with gaps is one of floats or objects in a frame, which MLflow takes for neither of the two.
        kind = "any"
    return {"type": kind, "name": column.name, "required": required}


def _requirements(files: tuple[ModelFile, ...]) -> bytes:
    extras = sorted({_EXTRAS[file.format] for file in files if file.format in _EXTRAS})
    named = f"holdfast[{','.join(extras)}]" if extras else "holdfast"
    return f"{named}=={VERSION}\n".encode()


def _uuid(version: ModelVersion) -> str:
    """The same for every download of one version, so that caches of it hold."""
    from blake3 import blake3

    return blake3(f"{version.urn}:{version.created_at}".encode()).hexdigest(16)
