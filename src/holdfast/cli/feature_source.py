"""The feature views of a file: read for registering, and computed for materializing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.base import bundle
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Micros
from holdfast.base.errors import InvalidError
from holdfast.base.operations import Empty
from holdfast.base.simulation import ClockService
from holdfast.cli.session import Session
from holdfast.cli.source import absolute_source
from holdfast.data.records import TableSpec
from holdfast.features.catalog import FeatureCatalog
from holdfast.features.compute import compute_view, feature_columns
from holdfast.features.materialize import materialize
from holdfast.features.records import (
    FeatureView,
    FeatureViewSpec,
    GetViewCodeRequest,
    Materialization,
    RecordMaterializationRequest,
    RegisterFeaturesRequest,
    ViewCode,
    ViewDraft,
)
from holdfast.features.tables import declared_rows


def read_features(path: str) -> RegisterFeaturesRequest:
    """Runs a file in this process and collects its views over tables, and its services.

    Functions of the request are registered by the training that uses them, for only values tell their names.

    Raises:
        InvalidError: the file cannot be read or declares no feature view.
        UserCodeError: the file or a feature function raised.
    """
    entry = Path(path).absolute()
    packed = bundle.pack(entry)
    module = bundle.load(entry.parent, entry.name)
    functions = bundle.declared(module, "__holdfast_features__")
    views = tuple(
        _draft(function, module, entry.parent)
        for function in functions.values()
        if function.__holdfast_features__.kind == "table"
    )
    if not views:
        raise InvalidError(
            f"{path} declares no feature view over a table",
            hint='put @hf.features(ttl="7d", table=…) above a function',
        )
    services = bundle.declared(module, "__holdfast_feature_service__")
    return RegisterFeaturesRequest(
        bundle.encode(packed),
        packed.entry,
        views,
        tuple(service.__holdfast_feature_service__ for service in services.values()),
    )


def materialize_views(
    session: Session,
    views: Sequence[FeatureView],
    from_at: Micros | None,
    to_at: Micros | None,
    processes: int,
) -> list[Materialization]:
    """Computes views with their registered code and brings their rows to the online store, one after the other.

    Raises:
        HoldfastError: a view is not registered, its source cannot be read, or the store cannot be written.
    """
    client = session.client()
    to_at = client.call(ClockService.now, Empty()).now_at if to_at is None else to_at
    done = []
    for view in views:
        code = client.call(FeatureCatalog.get_code, GetViewCodeRequest(view.name, str(view.version)))
        found = _materialize(session, code, from_at, to_at, processes)
        done.append(client.call(FeatureCatalog.record_materialization, RecordMaterializationRequest(found)))
    return done


def _materialize(
    session: Session, code: ViewCode, from_at: Micros | None, to_at: Micros, processes: int
) -> Materialization:
    view, home = code.view, session.home
    home.prepare()
    with tempfile.TemporaryDirectory(dir=home.tmp, prefix="features-") as folder:
        bundle.unpack(Blobs(home.blobs).read(code.bundle), Path(folder))
        module = bundle.load(Path(folder), code.entry)
        function = bundle.declared(module, "__holdfast_features__")[view.name]
        table, spec = _table_of(function, module, view.spec), code.table
        assert spec is not None
        rows = declared_rows(table, spec)
        found = materialize(
            home,
            session.context.project,
            view,
            function,
            rows,
            to_at,
            from_at,
            online=session.config.online,
            processes=processes,
        )
    return Materialization(view.urn, found.from_at, to_at, found.rows, found.entities)


def _draft(function: Any, module: Any, folder: Path) -> ViewDraft:
    spec: FeatureViewSpec = function.__holdfast_features__
    table = _table_of(function, module, spec)
    declared: TableSpec = absolute_source(table.spec, folder)
    # The first rows say which columns come out; a view may look at values, so none would not do.
    rows = declared_rows(table, declared).head(1000)
    frame = compute_view(function, rows.lazy(), spec)
    return ViewDraft(spec, feature_columns(frame, spec), declared)


def _table_of(function: Any, module: Any, spec: FeatureViewSpec) -> Any:
    table = getattr(function, "__holdfast_feature_table__", None)
    table = table or bundle.declared(module, "__holdfast_table__").get(spec.table)
    if table is None:
        raise InvalidError(
            f"{spec.name} is over the table {spec.table!r}, which the file does not declare",
            hint="declare hf.Table and pass it as table=",
        )
    return table
