"""The user's code in a worker: the bundles that loaded versions pin, each unpacked and imported once.

This is the only code in the data plane that runs what a user wrote, and only from the content-addressed bundle
that a version was registered with.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.errors import HomeError, UserCodeError
from holdfast.serving.records import ServedVersion

if TYPE_CHECKING:
    import polars as pl

    from holdfast.features.online.table import BoundView


class Bundles:
    """Imports bundles by digest. `folder` holds the unpacked files, shared by the workers of a home."""

    def __init__(self, blobs: Blobs, folder: Path) -> None:
        self._blobs = blobs
        self._folder = folder
        self._modules: dict[tuple[str, str], ModuleType] = {}

    def views(self, served: ServedVersion) -> list[BoundView]:
        """The version's feature views, each with its function.

        Raises:
            UserCodeError: the bundle cannot be imported.
            HomeError: it lacks a function that the version needs.
        """
        functions = bundle.declared(self._module(served), "__holdfast_features__")
        for view in served.views:
            if view.name not in functions:
                raise HomeError(
                    f"the code of version {served.version} has no feature function {view.name!r}",
                    hint="train and deploy a new version",
                )
        return [(view, functions[view.name]) for view in served.views]

    def table_time(self, served: ServedVersion) -> str | pl.Expr:
        """The time of the version's table as it was declared: a column or an expression."""
        tables = bundle.declared(self._module(served), "__holdfast_table__")
        table: Any = tables.get(served.contract.table)
        if table is None:
            return served.time
        time: str | pl.Expr = table.time
        return time

    def _module(self, served: ServedVersion) -> ModuleType:
        if served.bundle is None or served.entry is None:
            raise HomeError(
                f"version {served.version} has feature views but no code",
                hint="train and deploy a new version",
            )
        key = (served.bundle, served.entry)
        if key not in self._modules:
            try:
                self._modules[key] = bundle.load(self._unpacked(served.bundle), served.entry)
            except UserCodeError:
                raise
            except Exception as error:
                raise UserCodeError(f"{served.entry} cannot be loaded: {bundle.describe(error)}") from error
        return self._modules[key]

    def _unpacked(self, digest: str) -> Path:
        """The folder of a bundle; it gets its name when all files are in it, for several workers may come at once."""
        target = self._folder / digest
        if target.is_dir():
            return target
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=self._folder, prefix=".unpacking-"))
        try:
            bundle.unpack(self._blobs.read(digest), draft)
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return target
