"""Deployments and revisions: what is served, as the ledger knows it, and the file that serving runs from.

The ledger is the truth and the deployment file follows it: a revision is written in the transaction of the
decision that asked for it, then published. A crash between the two is mended at the next start by publishing
again, and a rollback made while the server was down is adopted by its higher epoch.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec

from holdfast.base import events, lineage, urn
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.encoding import from_json
from holdfast.base.home import Home
from holdfast.base.ledger import Ledger, Reader, Transaction
from holdfast.base.operations import Empty, operation
from holdfast.data.records import Contract
from holdfast.features.service import FeatureService
from holdfast.registry.service import RegistryService
from holdfast.rollout.records import Variant
from holdfast.serving import store
from holdfast.serving.deployment_file import read_deployment_file, write_deployment_file
from holdfast.serving.errors import UnknownDeploymentError
from holdfast.serving.records import FORMAT, Deployment, DeploymentFile, Revision, ServedVersion

if TYPE_CHECKING:
    from holdfast.base.blobs import Blobs

REVISED = "serving.revised"
_WARM_MOST = 2


class GetDeploymentRequest(msgspec.Struct, frozen=True):
    """Names a deployment."""

    name: str
    environment: str = "production"


class ListRevisionsRequest(msgspec.Struct, frozen=True):
    """The newest `limit` revisions of a deployment."""

    name: str
    environment: str = "production"
    limit: int = 50


class DeploymentService:
    """Keeps deployments and publishes them to the data plane."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        home: Home,
        registry: RegistryService,
        features: FeatureService,
        rng: Random,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._home = home
        self._registry = registry
        self._features = features
        self._rng = rng

    @operation("GET", "/deployments", "Every deployment of the project.")
    def list_deployments(self, context: Context, request: Empty) -> list[Deployment]:
        with self._ledger.read() as reader:
            return store.list_all(reader, context)

    @operation("GET", "/deployments/{name}", "One deployment with its present revision.")
    def get_deployment(self, context: Context, request: GetDeploymentRequest) -> Deployment:
        with self._ledger.read() as reader:
            return self.require(reader, context, request.environment, request.name)

    @operation("GET", "/deployments/{name}/revisions", "The newest revisions of a deployment.")
    def list_revisions(self, context: Context, request: ListRevisionsRequest) -> list[Revision]:
        with self._ledger.read() as reader:
            self.require(reader, context, request.environment, request.name)
            return store.revisions(reader, context, request.environment, request.name, request.limit)

    def find(self, reader: Reader, context: Context, environment: str, name: str) -> Deployment | None:
        """The deployment, or None."""
        stored = store.get(reader, context, environment, name)
        return stored.deployment if stored else None

    def require(self, reader: Reader, context: Context, environment: str, name: str) -> Deployment:
        """The deployment.

        Raises:
            UnknownDeploymentError: there is none; the message lists those that exist.
        """
        found = self.find(reader, context, environment, name)
        if found is None:
            known = [item.name for item in store.list_all(reader, context) if item.environment == environment]
            raise UnknownDeploymentError(name, environment, known)
        return found

    def revise(
        self,
        transaction: Transaction,
        context: Context,
        environment: str,
        name: str,
        variants: tuple[Variant, ...],
        reason: str,
        at: Micros,
        *,
        epoch_at_least: int = 0,
    ) -> Revision:
        """Makes a new revision the present one, in the caller's transaction; publish it afterwards.

        The versions that leave the traffic stay warm, the latest champion first, so that a rollback has
        somewhere to go.
        """
        stored = store.get(transaction, context, environment, name)
        number, epoch = store.next_number(transaction, context, environment, name)
        revision = Revision(
            name=name,
            environment=environment,
            number=number,
            epoch=max(epoch, epoch_at_least),
            variants=variants,
            warm=_warm(stored.deployment if stored else None, variants),
            reason=reason,
            created_at=at,
            created_by=context.actor.name,
            actor_kind=context.actor.kind,
        )
        store.put_revision(transaction, context, revision, stored.salt if stored else self._new_salt())
        for variant in variants:
            source = urn.model_version(name, variant.version)
            lineage.record_edge(transaction, context, source, "deployed", revision.urn, at)
        events.emit(
            transaction, context, REVISED, {"environment": environment, "name": name, "revision": number}, at
        )
        return revision

    def set_guards(
        self,
        transaction: Transaction,
        context: Context,
        deployment: Deployment,
        *,
        frozen: bool,
        quarantined: tuple[int, ...],
    ) -> None:
        """Freezes or resumes automatic promotion and sets the quarantined versions."""
        store.set_guards(
            transaction,
            context,
            deployment.environment,
            deployment.name,
            frozen,
            tuple(sorted(set(quarantined))),
        )

    def publish(self, context: Context, environment: str, name: str) -> None:
        """Writes the deployment file of the present revision, unless serving already runs a later epoch."""
        wanted = self.deployment_file(context, environment, name)
        write_deployment_file(self._home, wanted)

    def publish_all(self, contexts: list[Context]) -> None:
        """Publishes every deployment again; at start this mends a crash between decision and file."""
        for context in contexts:
            with self._ledger.read() as reader:
                deployments = store.list_all(reader, context)
            for deployment in deployments:
                self.publish(context, deployment.environment, deployment.name)

    def projects(self) -> list[str]:
        """The projects that have deployments."""
        with self._ledger.read() as reader:
            return store.projects(reader)

    def local_change(self, context: Context, deployment: Deployment) -> DeploymentFile | None:
        """The file of a deployment that was rolled back locally while the server was down, or None."""
        present = read_deployment_file(self._home, context.project, deployment.environment, deployment.name)
        if present is None or present.origin != "local" or present.epoch <= deployment.revision.epoch:
            return None
        return present

    def deployment_file(self, context: Context, environment: str, name: str) -> DeploymentFile:
        """What serving needs to run the present revision."""
        with self._ledger.read() as reader:
            stored = store.get(reader, context, environment, name)
            if stored is None:
                raise UnknownDeploymentError(name, environment, [])
        deployment = stored.deployment
        revision = deployment.revision
        numbers = dict.fromkeys([variant.version for variant in revision.variants] + list(revision.warm))
        return DeploymentFile(
            format=FORMAT,
            project=context.project,
            environment=environment,
            name=name,
            revision=revision.number,
            epoch=revision.epoch,
            variants=revision.variants,
            versions=tuple(self._served_version(context, name, number) for number in numbers),
            warm=revision.warm,
            salt=stored.salt,
            changed_at=revision.created_at,
            quarantined=deployment.quarantined,
        )

    def _served_version(self, context: Context, name: str, number: int) -> ServedVersion:
        version = self._registry.version(context, name, number)
        contract = from_json(self._blobs.read(version.contract_digest), Contract)
        return ServedVersion(
            version=number,
            signature=version.signature,
            files=version.files,
            contract=contract,
            label=version.signature.output,
            time=_time_field(contract),
            key=tuple(field.name for field in contract.fields if field.role == "key"),
            views=tuple(self._features.view(context, item) for item in version.feature_views),
            bundle=version.bundle,
            entry=version.entry,
            history=version.history,
        )

    def _new_salt(self) -> str:
        return f"{self._rng.getrandbits(64):016x}"


def _time_field(contract: Contract) -> str:
    return next((field.name for field in contract.fields if field.role == "time"), "")


def _warm(before: Deployment | None, variants: tuple[Variant, ...]) -> tuple[int, ...]:
    """Versions to keep loaded: the champion that leaves first, then those that were warm, newest first."""
    if before is None:
        return ()
    serving = {variant.version for variant in variants}
    left = [item.version for item in before.revision.variants if item.role == "champion"]
    candidates = dict.fromkeys([*left, *before.revision.warm])
    kept = [number for number in candidates if number not in serving and number not in before.quarantined]
    return tuple(kept[:_WARM_MOST])
