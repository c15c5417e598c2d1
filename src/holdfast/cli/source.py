"""Reading a model file: the declarations in it, and the bundle that travels to the server."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.base import bundle
from holdfast.base.errors import InvalidError
from holdfast.data.records import TableSpec
from holdfast.loop.records import LoopSpec


class DeclaredFile(msgspec.Struct, frozen=True):
    """What a file declares, and its code."""

    specs: tuple[LoopSpec, ...]
    bundle: bundle.SourceBundle


def read_file(path: str) -> DeclaredFile:
    """Runs a model file in this process and collects its declarations; sources become absolute paths.

    Raises:
        InvalidError: the file cannot be read or declares no model.
        UserCodeError: the file raised.
    """
    entry = Path(path).absolute()
    packed = bundle.pack(entry)
    module = bundle.load(entry.parent, entry.name)
    found = bundle.declared(module, "__holdfast_model__")
    if not found:
        raise InvalidError(
            f"{path} declares no model", hint='put @hf.model("name", table=…, task=…) above a function'
        )
    specs = [function.__holdfast_model__ for function in found.values()]
    return DeclaredFile(tuple(_absolute(spec, entry.parent) for spec in specs), packed)


def _absolute(spec: LoopSpec, folder: Path) -> LoopSpec:
    """The sources as absolute paths, because the server works in another folder; the contract as it stands."""
    model = spec.model
    moved = msgspec.structs.replace(
        model,
        table=_with_contract(absolute_source(model.table, folder), folder),
        feature_tables=tuple(absolute_source(table, folder) for table in model.feature_tables),
    )
    return msgspec.structs.replace(spec, model=moved)


def absolute_source(table: TableSpec, folder: Path) -> TableSpec:
    """A table whose source is found from anywhere.

    Raises:
        InvalidError: the source is not a file.
    """
    if table.source is None:
        return table
    source = Path(table.source).expanduser()
    source = source if source.is_absolute() else folder / source
    if not source.is_file():
        raise InvalidError(
            f"the table {table.name!r} reads {source}, which is not a file",
            hint="correct the source in hf.Table, or put the file there",
        )
    return msgspec.structs.replace(table, source=str(source))


def _with_contract(table: TableSpec, folder: Path) -> TableSpec:
    if table.contract_file is None:
        return table
    from holdfast.data.contract_file import read_contract_file

    contract = read_contract_file(folder / Path(table.contract_file).expanduser())
    if contract.table != table.name:
        raise InvalidError(
            f"{table.contract_file} is the contract of {contract.table!r}, not of the table {table.name!r}",
            hint="correct the file's `contract:`, or name another file in hf.Table",
        )
    return msgspec.structs.replace(table, contract=contract)
