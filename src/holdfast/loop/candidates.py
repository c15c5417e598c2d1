"""Which version a deployment means, and what was declared of its model.

A version that an outside client registered is made ready to be served first. A model that no file declares gets a
declaration of its own when it is first deployed: all traffic at once, watched with the defaults, never trained.
"""

from __future__ import annotations

from holdfast.base import audit, urn
from holdfast.base.clock import DAY_US, Clock
from holdfast.base.context import Context
from holdfast.base.errors import InvalidError, NotFoundError
from holdfast.base.ledger import Ledger, Transaction
from holdfast.data.records import TableSpec
from holdfast.loop import store
from holdfast.loop.errors import NotDeployableError, UndeclaredModelError
from holdfast.loop.records import DeployRequest, LoopSpec
from holdfast.registry.catalog.service.versions import VersionCatalog
from holdfast.registry.outside.service import OutsideService
from holdfast.registry.records import ModelVersion
from holdfast.registry.service import RegistryService
from holdfast.rollout.records import RolloutPolicy
from holdfast.training.records import ModelSpec

# A challenger of a model that declares neither shadow nor canary: it answers nobody, and is judged after a day at the
# earliest, so that whoever asked only for a comparison does not replace what serves by it.
_CHALLENGED = RolloutPolicy("shadow_then_switch", shadow_us=DAY_US)


class Candidates:
    """Finds what is to be deployed, wherever it came from."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        registry: RegistryService,
        versions: VersionCatalog,
        outside: OutsideService,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._registry = registry
        self._versions = versions
        self._outside = outside

    def version(self, context: Context, request: DeployRequest) -> ModelVersion:
        """The version that a request means, by default the latest; ready to be served.

        Raises:
            UndeclaredModelError: nothing of the name is declared or registered.
            NotFoundError: it has no such version.
            TrustNeededError, UnservableModelError: it came from outside and cannot be served, and why.
        """
        name, number = request.name, request.version
        found = self._versions.of_model(context, name) if self._is_registered(context, name) else []
        entry = next((item for item in reversed(found) if number in (None, item.version)), None)
        if entry is not None and not entry.ready:
            return self._outside.make_ready(context, entry, trust=request.trust)
        if entry is not None:
            return self._registry.version(context, name, entry.version)
        if number is None:
            raise NotFoundError(f"{name} has no version yet", hint="train one with `holdfast train FILE`")
        latest = found[-1].version if found else "none"
        raise NotFoundError(f"{name} has no version {number}", hint=f"its latest version is {latest}")

    def declaration(self, context: Context, version: ModelVersion) -> store.Declaration:
        """What was declared of a version's model, declared now where nobody has."""
        with self._ledger.read() as reader:
            found = store.get_declaration(reader, context, version.name)
        if found is not None:
            return found
        model = ModelSpec(version.name, TableSpec(version.name, None, ""), version.task)
        spec = LoopSpec(model, RolloutPolicy("direct"))
        made = store.Declaration(spec, "", "", False, self._clock.now(), context.actor.name)
        self._ledger.write(lambda tx: record_declaration(tx, context, made))
        return made

    def _is_registered(self, context: Context, name: str) -> bool:
        """Whether the registry knows the name; one that is only declared has no versions yet."""
        try:
            self._versions.of_model(context, name)
        except NotFoundError:
            with self._ledger.read() as reader:
                if store.get_declaration(reader, context, name) is None:
                    known = [item.name for item in store.declarations(reader, context)]
                    raise UndeclaredModelError(name, known) from None
            return False
        return True


def challenger_policy(
    declared: RolloutPolicy, name: str, champion: int | None, *, direct: bool
) -> RolloutPolicy:
    """How a challenger is tried: as declared, and as a shadow where all traffic at once is declared.

    Raises:
        InvalidError: all traffic at once was asked for, which makes a champion.
        NotDeployableError: there is no champion to compare it with.
    """
    if direct:
        raise InvalidError(
            f"a challenger of {name} is tried beside the champion and cannot take all traffic at once",
            hint=f"leave --direct out, or make it the champion with `holdfast deploy {name} --version N --direct`",
        )
    if champion is None:
        raise NotDeployableError(
            f"nothing of {name} is deployed, so there is no champion to challenge",
            hint=f"deploy one first with `holdfast deploy {name} --version N`",
        )
    return _CHALLENGED if declared.strategy == "direct" else declared


def record_declaration(transaction: Transaction, context: Context, declaration: store.Declaration) -> None:
    """Keeps a declaration, and that it was made."""
    store.put_declaration(transaction, context, declaration)
    detail = {"bundle": declaration.bundle, "entry": declaration.entry, "active": declaration.active}
    audit.record(
        transaction, context, "declare", urn.model(declaration.name), detail, declaration.declared_at
    )
