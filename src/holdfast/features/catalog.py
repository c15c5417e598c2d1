"""The verbs of the feature catalogue: register a file's views and services, and what was materialized of them."""

from __future__ import annotations

import msgspec
from blake3 import blake3

from holdfast.base import audit, events, lineage, urn
from holdfast.base.blobs import Blobs
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.encoding import to_msgpack
from holdfast.base.errors import InvalidError
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.base.operations import operation
from holdfast.features import store
from holdfast.features.errors import FeatureServiceNotFoundError, ViewNotFoundError
from holdfast.features.records import (
    FeatureServiceList,
    FeatureServiceSpec,
    FeatureServiceVersion,
    GetServiceRequest,
    GetViewCodeRequest,
    GetViewRequest,
    ListMaterializationsRequest,
    ListServicesRequest,
    Materialization,
    MaterializationList,
    RecordMaterializationRequest,
    RegisteredFeatures,
    RegisterFeaturesRequest,
    ServiceMember,
    ViewCode,
)
from holdfast.features.service import FeatureService

_LATEST = "latest"


class FeatureCatalog:
    """Registers views with their code, pins services to versions, and remembers materializations."""

    def __init__(self, ledger: Ledger, blobs: Blobs, clock: Clock, features: FeatureService) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._features = features

    @operation("POST", "/features", "Register the feature views and services of a file.")
    def register(self, context: Context, request: RegisterFeaturesRequest) -> RegisteredFeatures:
        digest = self._blobs.put(request.bundle)
        now = self._clock.now()

        def work(transaction: Transaction) -> RegisteredFeatures:
            views = []
            for draft in request.views:
                view = self._features.record_view(transaction, context, draft.spec, draft.columns, now)
                store.put_code(
                    transaction, context.project, ViewCode(view, digest, request.entry, draft.table)
                )
                views.append(view)
            services = [self._pin(transaction, context, spec, now) for spec in request.services]
            audit.record(
                transaction,
                context,
                "features.register",
                request.entry,
                {"views": [view.urn for view in views], "services": [service.urn for service in services]},
                now,
            )
            return RegisteredFeatures(tuple(views), tuple(services))

        return self._ledger.write(work)

    @operation("GET", "/features/{name}/versions/{version}/code", "Show with which code a view is computed.")
    def get_code(self, context: Context, request: GetViewCodeRequest) -> ViewCode:
        view = self._features.get_view(context, GetViewRequest(request.name, request.version))
        with self._ledger.read() as reader:
            code = store.find_code(reader, context.project, view.name, view.version)
        if code is None:
            raise ViewNotFoundError(
                f"version {view.version} of {view.name!r} is known from a training only, without its table",
                hint="register the file that declares it with `holdfast features register FILE`",
            )
        return code

    @operation("GET", "/feature-services", "List the feature services of the project.")
    def list_services(self, context: Context, request: ListServicesRequest) -> FeatureServiceList:
        with self._ledger.read() as reader:
            return FeatureServiceList(tuple(store.list_services(reader, context.project)))

    @operation(
        "GET",
        "/feature-services/{name}/versions/{version}",
        "Show one version of a feature service, or latest.",
    )
    def get_service(self, context: Context, request: GetServiceRequest) -> FeatureServiceVersion:
        with self._ledger.read() as reader:
            newest = store.latest_service_number(reader, context.project, request.name)
            asked = request.version
            number = newest if asked == _LATEST else int(asked) if asked.isdecimal() else -1
            found = store.find_service(reader, context.project, request.name, number)
            if found is not None:
                return found
            names = ", ".join(service.name for service in store.list_services(reader, context.project))
        if newest:
            raise FeatureServiceNotFoundError(
                f"the feature service {request.name!r} has no such version",
                hint=f"its versions are 1 to {newest}",
            )
        raise FeatureServiceNotFoundError(
            f"there is no feature service {request.name!r}",
            hint=f"there are: {names}" if names else "register a file that declares hf.FeatureService",
        )

    @operation("POST", "/features/materializations", "Tell that a view was materialized.")
    def record_materialization(
        self, context: Context, request: RecordMaterializationRequest
    ) -> Materialization:
        view = self._features.view(context, request.materialization.view)
        now = self._clock.now()
        done = msgspec.structs.replace(request.materialization, finished_at=now, by=context.actor.name)

        def work(transaction: Transaction) -> None:
            store.insert_materialization(transaction, context.project, view.name, done)
            told = {"view": view.urn, "to_at": done.to_at, "rows": done.rows}
            events.emit(transaction, context, "features.materialized", told, now)

        self._ledger.write(work)
        return done

    @operation("GET", "/features/{name}/materializations", "List the last materializations of a view.")
    def list_materializations(
        self, context: Context, request: ListMaterializationsRequest
    ) -> MaterializationList:
        with self._ledger.read() as reader:
            found = store.list_materializations(reader, context.project, request.name, request.limit)
        return MaterializationList(tuple(found))

    def _pin(
        self, transaction: Transaction, context: Context, spec: FeatureServiceSpec, now: Micros
    ) -> FeatureServiceVersion:
        """The version of a service whose members are pinned to the newest versions of their views."""
        urn.check_name(spec.name, "feature service")
        members = tuple(self._pinned(transaction, context, spec.name, member) for member in spec.members)
        names = [name for member in members for name in member.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidError(
                f"{spec.name} has several features named {', '.join(twice)}",
                hint="choose with view.select(…)",
            )
        digest = blake3(to_msgpack([spec.name, members])).hexdigest()
        known = store.find_service_digest(transaction, context.project, spec.name, digest)
        if known is not None:
            return known
        number = store.latest_service_number(transaction, context.project, spec.name) + 1
        pinned = msgspec.structs.replace(spec, members=members)
        service = FeatureServiceVersion(spec.name, number, pinned, digest, now, context.actor.name)
        store.insert_service(transaction, context.project, service)
        for member in members:
            lineage.record_edge(transaction, context, member.view, "serves", service.urn, now)
        return service

    def _pinned(self, reader: Reader, context: Context, service: str, member: ServiceMember) -> ServiceMember:
        view = self._features.find(reader, context, member.view, _LATEST)
        missing = [name for name in member.columns if name not in view.columns]
        if missing:
            raise InvalidError(
                f"{service}: {view.name} has no feature {missing[0]!r}",
                hint=f"it has: {', '.join(view.columns)}",
            )
        return ServiceMember(view.urn, member.columns or view.columns)
