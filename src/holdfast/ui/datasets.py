"""`/datasets` and `/datasets/{table}/versions/{version}`: the rows a version was trained on, and what they promise."""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from holdfast.base import lineage
from holdfast.base.clock import Micros
from holdfast.base.context import Context
from holdfast.data.records import (
    DatasetVersion,
    FieldContract,
    GetDatasetRequest,
    ListDatasetsRequest,
    ListDatasetVersionsRequest,
    Part,
)
from holdfast.ui import urls
from holdfast.ui.cells import link
from holdfast.ui.kit import Column, Fact, Row, render_table, table
from holdfast.ui.kit.format import MISSING, code_block, day, number, percent, plain_number, short_id, time_tag
from holdfast.ui.lineage import graph_of, picture
from holdfast.ui.page import PageRequest, View, head
from holdfast.ui.services import PageServices
from holdfast.ui.words import by, counted

_VERSIONS_SHOWN = 100


class DatasetData(msgspec.Struct, frozen=True):
    """A dataset version's page as data."""

    dataset: DatasetVersion
    versions: tuple[DatasetVersion, ...]
    lineage: lineage.LineageGraph


def show_list(services: PageServices, context: Context, request: PageRequest) -> View:
    """Every table with its newest version."""
    found = services.data.list_datasets(context, ListDatasetsRequest())
    page = head(services, request, "Datasets", tab="Datasets", command="holdfast data list")
    now = page.now_at
    columns = (
        Column("table", "Table"),
        Column("version", "Newest version", align="right"),
        Column("rows", "Rows", align="right"),
        Column("as_of", "Known until", align="right", formatter=lambda at: time_tag(at, now)),
        Column("created", "Made", align="right", formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {
                "table": item.table,
                "version": item.latest_version,
                "rows": item.rows,
                "as_of": item.as_of_at,
                "created": item.created_at,
            },
            urls.dataset(item.table, item.latest_version),
        )
        for item in found.datasets
    ]
    listed = table(
        columns, rows, request.query, path=request.path, name="datasets", caption="Datasets",
        searchable=len(rows) > 10,
        empty=Markup("<h3>No datasets yet</h3><p>Each training fixes the rows it saw as an immutable version; any "
                     "other data can be added.</p>{}")
        .format(code_block("$ holdfast data add NAME FILE")),
    )  # fmt: skip
    return View("list.html", page, found, {"table": listed})


def show(services: PageServices, context: Context, request: PageRequest) -> View:
    """The page of one dataset version; `latest` in the address works too."""
    name = request.parameters["table"]
    dataset = services.data.get_dataset(context, GetDatasetRequest(name, request.parameters["version"]))
    versions = services.data.list_versions(context, ListDatasetVersionsRequest(name, limit=_VERSIONS_SHOWN))
    data = DatasetData(dataset, versions.versions, graph_of(services, context, dataset.urn, depth=3))
    page = head(
        services,
        request,
        f"{name}, version {dataset.version}",
        tab="Datasets",
        kind="Dataset",
        subtitle=_summary(dataset),
        urn=dataset.urn,
        command=f"holdfast data show {name}@{dataset.version}",
        crumbs=(("Datasets", urls.DATASETS),),
        live=False,
    )
    parts = {
        "facts": _facts(dataset, page.now_at),
        "dataset_parts": _parts(dataset),
        "contract": _contract(dataset, request),
        "versions": _versions(data, request, page.now_at),
        "lineage": picture(data.lineage),
    }
    return View("dataset.html", page, data, parts)


def _summary(dataset: DatasetVersion) -> str:
    fed = sum(part.rows for part in dataset.parts if part.origin == "feed")
    grown = f", {number(fed)} of them logged while serving" if fed else ""
    first, last = _span(dataset)
    span = f", from {day(first)} to {day(last)}" if first is not None else ""
    return f"{counted(dataset.rows, 'row')}{grown}{span}. It never changes."


def _span(dataset: DatasetVersion) -> tuple[Micros | None, Micros | None]:
    first = [part.time_first_at for part in dataset.parts if part.time_first_at is not None]
    last = [part.time_last_at for part in dataset.parts if part.time_last_at is not None]
    return (min(first) if first else None), (max(last) if last else None)


def _facts(dataset: DatasetVersion, now: Micros) -> tuple[Fact, ...]:
    excluded = dataset.rows_excluded
    left_out = [
        (excluded.unlabelled, "without a label"),
        (excluded.not_yet_available, "known only later"),
        (excluded.without_time, "without a time"),
    ]
    words = ", ".join(f"{number(count)} {why}" for count, why in left_out if count)
    parent = (
        link(f"version {dataset.parent}", urls.dataset(dataset.table, dataset.parent))
        if dataset.parent is not None
        else "none: read from the source"
    )
    return (
        Fact("Rows", number(dataset.rows)),
        Fact("Known until", time_tag(dataset.as_of_at, now), "nothing that became known later is in it"),
        Fact("Grew from", parent),
        Fact("Source", dataset.source or "what serving logged"),
        Fact("Source file", short_id(dataset.source_digest) if dataset.source_digest else MISSING),
        Fact("Fingerprint", short_id(dataset.fingerprint, 24), "of its rows, however they lie in files"),
        Fact("Columns dropped", ", ".join(dataset.columns_dropped) or "none"),
        Fact("Rows left out", words or "none"),
        Fact("Made", time_tag(dataset.created_at, now)),
        Fact("By", by(dataset.created_by)),
    )


def _parts(dataset: DatasetVersion) -> Markup:
    columns = (
        Column("origin", "Origin", sortable=False),
        Column("rows", "Rows", align="right", sortable=False),
        Column("first", "From", align="right", sortable=False, formatter=day),
        Column("last", "Until", align="right", sortable=False, formatter=day),
        Column("digest", "Parquet file", sortable=False, formatter=short_id),
    )

    def row(part: Part) -> Row:
        cells = {
            "origin": "logged while serving" if part.origin == "feed" else "source",
            "rows": part.rows,
            "first": part.time_first_at,
            "last": part.time_last_at,
            "digest": part.digest,
        }
        return Row(cells, key=part.digest)

    return render_table(columns, [row(part) for part in dataset.parts], caption="Parts")


def _contract(dataset: DatasetVersion, request: PageRequest) -> Markup:
    columns = (
        Column("name", "Field"),
        Column("role", "Role"),
        Column("type", "Type"),
        Column("required", "Required"),
        Column("promise", "Values", sortable=False),
        Column("nulls", "Missing", align="right", formatter=percent),
        Column("enforced", "Outside of it", sortable=False),
    )
    rows = [
        Row(
            {
                "name": field.name,
                "role": field.role,
                "type": field.type,
                "required": field.required,
                "promise": _promise(field),
                "nulls": field.null_share,
                "enforced": "refused" if field.hard else "scored and flagged",
            },
            key=field.name,
        )
        for field in dataset.contract.fields
    ]
    return table(
        columns, rows, request.query, path=request.path, name="contract", caption="Contract", page_rows=40,
        searchable=len(rows) > 12,
    )  # fmt: skip


def _promise(field: FieldContract) -> str | None:
    if field.categories is not None:
        shown = ", ".join(field.categories[:6])
        return f"{shown}, … ({len(field.categories)})" if len(field.categories) > 6 else shown
    if field.minimum is None and field.maximum is None:
        return None
    return f"{plain_number(field.minimum)} to {plain_number(field.maximum)}"


def _versions(data: DatasetData, request: PageRequest, now: Micros) -> Markup:
    columns = (
        Column("version", "Version"),
        Column("rows", "Rows", align="right"),
        Column("parts", "Parts", align="right"),
        Column("as_of", "Known until", align="right", formatter=lambda at: time_tag(at, now)),
        Column("created", "Made", align="right", formatter=lambda at: time_tag(at, now)),
    )
    rows = [
        Row(
            {
                "version": f"{item.table}@{item.version}" + (" (this)" if item == data.dataset else ""),
                "rows": item.rows,
                "parts": len(item.parts),
                "as_of": item.as_of_at,
                "created": item.created_at,
            },
            urls.dataset(item.table, item.version),
        )
        for item in data.versions
    ]
    return table(
        columns, rows, request.query, path=request.path, name="versions", caption="Versions", page_rows=10,
        searchable=False,
    )  # fmt: skip
