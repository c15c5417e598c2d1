"""`holdfast features`: feature views and services, what they are made of, and their online values."""

from __future__ import annotations

from collections.abc import Iterable

import click

from holdfast.base.clock import format_duration, format_time, parse_time
from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.cli.output import json_option, print_fields, print_json, print_table
from holdfast.cli.session import Session
from holdfast.features.catalog import FeatureCatalog
from holdfast.features.errors import ViewNotFoundError
from holdfast.features.online_features import OnlineFeatures
from holdfast.features.records import (
    FeatureServiceVersion,
    FeatureView,
    ForgetEntityRequest,
    GetServiceRequest,
    GetViewRequest,
    ListMaterializationsRequest,
    ListServicesRequest,
    ListViewsRequest,
    MaterializationList,
)
from holdfast.features.service import FeatureService


@click.group()
def features() -> None:
    """Register, list, show and materialize feature views; forget an entity."""


@features.command("list")
@json_option
@click.pass_obj
def list_features(session: Session, as_json: bool) -> None:
    """List feature views and services in their newest versions."""
    views = session.read(FeatureService.list_views, ListViewsRequest()).views
    services = session.read(FeatureCatalog.list_services, ListServicesRequest()).services
    if as_json:
        print_json({"views": views, "services": services})
        return
    if not views and not services:
        click.echo("no feature views yet; `holdfast features register FILE` reads them from a file")
        return
    rows = [
        (
            view.name,
            str(view.version),
            ", ".join(view.spec.entity) or "-",
            _table(view),
            _ttl(view),
            str(len(view.columns)),
            view.spec.owner or "-",
        )
        for view in views
    ]
    print_table(("VIEW", "VERSION", "ENTITY", "OVER", "TTL", "FEATURES", "OWNER"), rows)
    if services:
        click.echo("")
        described = [
            (item.name, str(item.version), ", ".join(_member(member.view) for member in item.spec.members))
            for item in services
        ]
        print_table(("SERVICE", "VERSION", "VIEWS"), described)


@features.command()
@click.argument("name")
@click.option("--version", default="latest", help="Which version (default: the newest).")
@json_option
@click.pass_obj
def show(session: Session, name: str, version: str, as_json: bool) -> None:
    """Show a feature view, or the feature service of that name."""
    found = _view_or_service(session, name, version)
    if isinstance(found, FeatureServiceVersion):
        _show_service(found, as_json)
        return
    done = session.read(FeatureCatalog.list_materializations, ListMaterializationsRequest(found.name, 5))
    if as_json:
        print_json({"view": found, "materializations": done.materializations})
    else:
        _show_view(found, done)


@features.command()
@click.argument("file")
@json_option
@click.pass_obj
def register(session: Session, file: str, as_json: bool) -> None:
    """Register the feature views and services that FILE declares, with its code.

    A view that has not changed keeps its version.
    """
    from holdfast.cli.feature_source import read_features

    registered = session.write(FeatureCatalog.register, read_features(file))
    if as_json:
        print_json(registered)
        return
    for view in registered.views:
        click.echo(f"{view.urn}: {', '.join(view.columns)}")
    for service in registered.services:
        click.echo(f"{service.urn}: {', '.join(member.view for member in service.spec.members)}")


@features.command()
@click.argument("name")
@click.option("--version", default="latest", help="Which version (default: the newest).")
@click.option(
    "--from", "from_", help="Rows that counted by then are left out (default: where it ended before)."
)
@click.option("--to", help="Rows that count by then are brought (default: now).")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Writing processes."
)
@json_option
@click.pass_obj
def materialize(
    session: Session,
    name: str,
    version: str,
    from_: str | None,
    to: str | None,
    processes: int,
    as_json: bool,
) -> None:
    """Bring the rows of a feature view, or of every view of a service, to the online store.

    It goes on from where it ended before, also after a crash; doing it twice changes nothing.
    """
    from holdfast.cli.feature_source import materialize_views

    found = _view_or_service(session, name, version)
    if isinstance(found, FeatureServiceVersion):
        urns = [member.view for member in found.spec.members]
        views = [session.read(FeatureService.get_view, GetViewRequest(*_parts(urn))) for urn in urns]
    else:
        views = [found]
    start, end = (parse_time(text) if text is not None else None for text in (from_, to))
    if start is not None and end is not None and start >= end:
        raise InvalidError("--from is not before --to", hint="name a range that holds some time")
    done = materialize_views(session, views, start, end, processes)
    if as_json:
        print_json(done)
        return
    for item in done:
        since = "the beginning" if item.from_at is None else format_time(item.from_at)
        click.echo(
            f"{item.view}: {item.rows:,} rows of {item.entities:,} entities from {since} to {format_time(item.to_at)}"
        )


@features.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY=VALUE...")
@json_option
@click.pass_obj
def forget(session: Session, keys: tuple[str, ...], as_json: bool) -> None:
    """Delete what the online stores keep of an entity, e.g. customer=42.

    A value of digits is a number; put it in quotes of its own ('customer="42"') where the key is text.
    """
    forgotten = session.write(OnlineFeatures.forget, ForgetEntityRequest(dict(_key(text) for text in keys)))
    if as_json:
        print_json(forgotten)
        return
    click.echo(f"deleted from: {', '.join(forgotten.views) or 'no view had anything of it'}")
    if forgotten.rows:
        click.echo(f"and {forgotten.rows:,} labelled rows and waiting inputs")
    if forgotten.needing_more_keys:
        click.echo(
            f"these are about it together with other keys, name all of them: {', '.join(forgotten.needing_more_keys)}"
        )


def _view_or_service(session: Session, name: str, version: str) -> FeatureView | FeatureServiceVersion:
    try:
        return session.read(FeatureService.get_view, GetViewRequest(name, version))
    except HoldfastError as error:
        if error.error_code != ViewNotFoundError.code:
            raise
        services = session.read(FeatureCatalog.list_services, ListServicesRequest()).services
        if name not in {service.name for service in services}:
            raise
    return session.read(FeatureCatalog.get_service, GetServiceRequest(name, version))


def _show_service(service: FeatureServiceVersion, as_json: bool) -> None:
    if as_json:
        print_json({"service": service})
        return
    print_fields(
        [
            ("service", f"{service.name} version {service.version}"),
            ("owner", service.spec.owner or "-"),
            ("description", service.spec.description or "-"),
        ]
    )
    print_table(
        ("VIEW", "FEATURES"), [(_member(item.view), ", ".join(item.columns)) for item in service.spec.members]
    )


def _show_view(view: FeatureView, done: MaterializationList) -> None:
    spec = view.spec
    print_fields(
        [
            ("view", f"{view.name} version {view.version}"),
            ("entity", ", ".join(spec.entity) or "-"),
            ("over", _table(view)),
            ("ttl", _ttl(view)),
            ("features", ", ".join(view.columns)),
            ("owner", spec.owner or "-"),
            ("tags", ", ".join(spec.tags) or "-"),
            ("description", " ".join(spec.description.split()) or "-"),
            ("definition", view.digest[:16]),
            ("created", f"{format_time(view.created_at)} by {view.created_by}"),
        ]
    )
    for item in done.materializations:
        click.echo(
            f"materialized {_member(item.view)} to {format_time(item.to_at)}: {item.rows:,} rows of "
            f"{item.entities:,} entities, {format_time(item.finished_at)} by {item.by}"
        )


def _table(view: FeatureView) -> str:
    return "the request" if view.spec.kind == "request" else view.spec.table


def _ttl(view: FeatureView) -> str:
    return "-" if view.spec.kind == "request" else format_duration(view.spec.ttl_us)


def _member(urn: str) -> str:
    return urn.removeprefix("features/")


def _parts(urn: str) -> Iterable[str]:
    name, _, version = _member(urn).partition("@")
    return name, version


def _key(text: str) -> tuple[str, str | int]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise InvalidError(f"{text!r} is not a key and its value", hint="write e.g. customer=42")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return name, value[1:-1]
    return name, int(value) if value.lstrip("-").isdecimal() else value
