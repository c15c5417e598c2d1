"""Really deletes what was deleted long ago: runs, logged models, experiments, with everything logged to them.

Each run goes with the models that it wrote in one transaction, which looks once more whether it is deleted and whether
anything alive was made of it. So a run that is restored or registered meanwhile stays, and a crash leaves whole runs.
What was made later goes first, so that nothing outlives what it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from holdfast.base import audit, lineage, urn
from holdfast.base.clock import Clock, Micros
from holdfast.base.context import Context
from holdfast.base.ledger.protocol import Ledger, Reader, Transaction
from holdfast.tracking.garbage import Kept, still_needed
from holdfast.tracking.store import garbage as store
from holdfast.tracking.store.garbage import DeadExperiment, DeadModel, DeadRun, Folder
from holdfast.tracking.store.metrics import in_parts

Claims = Callable[[Reader, str], Iterable[tuple[str, str]]]

_RUN, _MODEL, _VERSION = urn.run(""), urn.logged_model(""), urn.model("")
_ID = re.compile(r"(?<![0-9a-z])(?:m-)?([0-9a-f]{32})(?![0-9a-z])")
# So many runs go in one transaction; other writers wait for it.
_BATCH = 50


class Dead(msgspec.Struct, frozen=True):
    """What may go, and what was deleted but stays."""

    runs: tuple[DeadRun, ...]
    models: tuple[DeadModel, ...]
    experiments: tuple[DeadExperiment, ...]
    kept: tuple[Kept, ...]


class Removed(msgspec.Struct, frozen=True):
    """How much went, and what was deleted but stayed."""

    runs: int = 0
    models: int = 0
    experiments: int = 0
    artifacts: int = 0
    kept: tuple[Kept, ...] = ()


class RunCollector:
    """Collects the deleted runs of one ledger.

    Args:
        claims: of each: (who, a text that names the ids of runs and logged models it needs), such as the versions of
            the registry. Upper domains hand them in.
    """

    def __init__(self, ledger: Ledger, clock: Clock, claims: Sequence[Claims]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._claims = claims

    def find(self, reader: Reader, context: Context, before: Micros) -> Dead:
        """What was deleted before a time: what may go, and what stays because something alive was made of it."""
        runs = store.dead_runs(reader, context.project, before)
        models = {
            model.number: model
            for model in (
                *store.dead_models(reader, context.project, before),
                *store.models_of_runs(reader, context.project, [run.run_id for run in runs]),
            )
        }
        kept = self._needed(reader, context.project, runs, list(models.values()), frozenset())
        gone_runs = tuple(run for run in runs if urn.run(run.run_id) not in kept)
        gone_models = tuple(
            model
            for model in models.values()
            if urn.logged_model(model.model_id) not in kept and urn.run(model.source_run_id) not in kept
        )
        experiments = []
        for experiment in store.dead_experiments(reader, context.project, before):
            numbers = store.inhabitants(reader, experiment.number)
            if numbers[0] <= {run.number for run in gone_runs} and numbers[1] <= {
                model.number for model in gone_models
            }:
                experiments.append(experiment)
        names = {urn.run(run.run_id): run.name for run in runs}
        names |= {urn.logged_model(model.model_id): model.name for model in models.values()}
        stays = tuple(Kept(item, names[item], kept[item]) for item in names if item in kept)
        return Dead(gone_runs, gone_models, tuple(experiments), stays)

    def folders(self, reader: Reader, context: Context, dead: Dead) -> set[Folder]:
        """The folders whose artifacts go with what may go."""
        roots = [run.artifact_root for run in dead.runs] + [model.artifact_root for model in dead.models]
        return {
            (context.project, folder)
            for root in roots
            for folder in store.folders_below(reader, context.project, root)
        }

    def collect(self, context: Context, before: Micros) -> Removed:
        """Removes what was deleted before a time and of which nothing alive was made."""
        with self._ledger.read() as reader:
            dead = self.find(reader, context, before)
        removed = Removed(kept=dead.kept)
        by_run: dict[str, list[DeadModel]] = {}
        for model in dead.models:
            by_run.setdefault(model.source_run_id, []).append(model)
        doomed = frozenset(
            {urn.run(run.run_id) for run in dead.runs}
            | {urn.logged_model(model.model_id) for model in dead.models}
        )
        for runs in in_parts(dead.runs, _BATCH):
            models = [model for run in runs for model in by_run.pop(run.run_id, ())]
            removed = self._remove(context, before, runs, models, doomed, removed)
        alone = [model for models in by_run.values() for model in models]
        for some in in_parts(alone, _BATCH):
            removed = self._remove(context, before, (), some, doomed, removed)
        for experiment in dead.experiments:
            removed = self._remove_experiment(context, before, experiment, removed)
        if removed.runs:
            self._ledger.write(store.remove_unused_datasets)
        return removed

    def _remove(
        self, context: Context, before: Micros, runs: Sequence[DeadRun], models: Sequence[DeadModel],
        doomed: frozenset[str], so_far: Removed,
    ) -> Removed:  # fmt: skip
        at = self._clock.now()

        def change(transaction: Transaction) -> Removed:
            numbers = [run.number for run in runs]
            present = {run.number for run in store.dead_runs(transaction, context.project, before, numbers)}
            here = [run for run in runs if run.number in present]
            returned = {run.run_id for run in runs} - {run.run_id for run in here}
            these = [model for model in models if model.source_run_id not in returned]
            kept = self._needed(transaction, context.project, here, these, doomed)
            gone = [
                model
                for model in these
                if urn.logged_model(model.model_id) not in kept and urn.run(model.source_run_id) not in kept
            ]
            going = [run for run in here if urn.run(run.run_id) not in kept]
            store.remove_models(transaction, gone)
            store.remove_runs(transaction, going)
            artifacts = sum(self._forget(transaction, context, model, at) for model in gone)
            artifacts += sum(self._forget(transaction, context, run, at) for run in going)
            names = {urn.run(run.run_id): run.name for run in here}
            stays = tuple(Kept(item, name, kept[item]) for item, name in names.items() if item in kept)
            return Removed(
                so_far.runs + len(going),
                so_far.models + len(gone),
                so_far.experiments,
                so_far.artifacts + artifacts,
                so_far.kept + stays,
            )

        return self._ledger.write(change)

    def _forget(
        self, transaction: Transaction, context: Context, item: DeadRun | DeadModel, at: Micros
    ) -> int:
        """Removes artifacts and lineage of something removed, and says so; how many artifacts went."""
        subject = urn.run(item.run_id) if isinstance(item, DeadRun) else urn.logged_model(item.model_id)
        artifacts = store.remove_artifacts(transaction, context.project, item.artifact_root)
        lineage.forget(transaction, context.project, subject)
        detail = {"name": item.name, "artifacts": artifacts}
        audit.record(transaction, context, "tracking.collect", subject, detail, at)
        return artifacts

    def _remove_experiment(
        self, context: Context, before: Micros, experiment: DeadExperiment, so_far: Removed
    ) -> Removed:
        at = self._clock.now()

        def change(transaction: Transaction) -> bool:
            still_dead = store.dead_experiments(transaction, context.project, before)
            if experiment not in still_dead or any(store.inhabitants(transaction, experiment.number)):
                return False
            store.remove_experiment(transaction, context.project, experiment)
            subject = f"tracking/experiment/{experiment.experiment_id}"
            audit.record(transaction, context, "tracking.collect", subject, {"name": experiment.name}, at)
            return True

        count = so_far.experiments + self._ledger.write(change)
        return msgspec.structs.replace(so_far, experiments=count)

    def _needed(
        self, reader: Reader, project: str, runs: Sequence[DeadRun], models: Sequence[DeadModel],
        doomed: frozenset[str],
    ) -> dict[str, str]:  # fmt: skip
        """What of these must stay, with reasons. What is `doomed` besides them does not count as alive."""
        dead = {urn.run(run.run_id) for run in runs} | {urn.logged_model(model.model_id) for model in models}
        pinned: dict[str, str] = {}
        claimants = set()
        # A version that names a run and a path means a model that the run wrote under that name.
        models_of: dict[str, list[str]] = {}
        for model_id, run_id in store.writers(reader, project, [model.model_id for model in models]):
            models_of.setdefault(run_id, []).append(model_id)
        for who, text in (claim for claims in self._claims for claim in claims(reader, project)):
            claimants.add(who)
            for match in _ID.finditer(text):
                written = [urn.logged_model(item) for item in models_of.get(match[1], ())]
                for item in (urn.run(match[1]), urn.logged_model(f"m-{match[1]}"), *written):
                    if item in dead:
                        pinned.setdefault(item, f"{who} needs it")
        edges = lineage.edges_from(reader, project, sorted(dead))
        # What a run wrote is part of it even where no edge says so.
        edges += [
            lineage.Edge(urn.run(model.source_run_id), "wrote", urn.logged_model(model.model_id), 0)
            for model in models
            if model.source_run_id
        ]
        alive = _living(reader, project, {edge.target for edge in edges} - dead - doomed, claimants)
        return still_needed(dead, edges, alive.__contains__, pinned)


def _living(reader: Reader, project: str, targets: set[str], claimants: set[str]) -> set[str]:
    """Those of some URNs that exist: of runs, models and versions the ledger knows, anything else is taken to."""
    runs = [item.removeprefix(_RUN) for item in targets if item.startswith(_RUN)]
    models = [item.removeprefix(_MODEL) for item in targets if item.startswith(_MODEL)]
    known = {urn.run(item) for item in store.known_runs(reader, project, runs)}
    known |= {urn.logged_model(item) for item in store.known_models(reader, project, models)}
    return {
        item
        for item in targets
        if (item in claimants if item.startswith(_VERSION) else not item.startswith((_RUN, _MODEL)))
        or item in known
    }
