"""Carries registered models over: versions under their own numbers, and aliases as somebody outside would set them."""

from __future__ import annotations

from holdfast.base.errors import RemoteError
from holdfast.registry.catalog.import_records import ImportAliasRequest
from holdfast.registry.catalog.service.imports import ModelImports
from holdfast.sdk.imports.mlflow import translation
from holdfast.sdk.imports.mlflow.records import Source, SourceModel, SourceVersion
from holdfast.sdk.imports.mlflow.report import Counts, Report
from holdfast.sdk.imports.mlflow.target import Target
from holdfast.tracking.import_records import FindMarksRequest, MarkKind, SetMarksRequest
from holdfast.tracking.service import ImportService

_PROMPT = "mlflow.prompt.is_prompt"
_STAGES = ("Staging", "Production")


class ModelImport:
    """The registry's part of an import."""

    def __init__(self, source: Source, target: Target, report: Report) -> None:
        self._source = source
        self._target = target
        self._report = report

    def bring(self, seen: set[str] | None) -> None:
        """Brings the registered models; with `seen`, only versions made of these runs and logged models."""
        for given in self._source.models():
            versions = [item for item in given.versions if seen is None or _is_of(item, seen)]
            if seen is not None and not versions:
                continue
            try:
                self._model(given)
            except RemoteError as error:
                self._report.problems.append(f"the model {given.name} was refused: {error}")
                continue
            numbers = self._versions(given, versions)
            self._aliases(given, numbers)
            self._tell_of_stages(given.name, versions)

    def _model(self, given: SourceModel) -> None:
        request = translation.model_request(self._source.name, given)
        mark = translation.fingerprint(given.description, given.tags)
        known = self._marks("model", [given.name])
        if known.get(given.name) != mark:
            self._target.call(ModelImports.model, request)
            self._set_marks("model", {given.name: mark})
        _count(self._report.models, known.get(given.name), mark)

    def _versions(self, given: SourceModel, versions: list[SourceVersion]) -> dict[int, int]:
        """The number here of each version there."""
        keys = {item.version: f"{given.name}/{item.version}" for item in versions}
        marks = self._marks("version", list(keys.values()))
        numbers: dict[int, int] = {}
        for item in versions:
            mark = translation.fingerprint(item)
            known, _, number = marks.get(keys[item.version], "").partition(":")
            if known == mark:
                numbers[item.version] = int(number)
            elif (made := self._version(item)) is not None:
                numbers[item.version] = made
                self._set_marks("version", {keys[item.version]: f"{mark}:{made}"})
            else:
                continue
            _count(self._report.versions, known or None, mark)
        return numbers

    def _version(self, given: SourceVersion) -> int | None:
        request = translation.version_request(self._source.name, given)
        try:
            made = self._target.call(ModelImports.version, request)
        except RemoteError as error:
            self._report.problems.append(f"version {given.version} of {given.name} was refused: {error}")
            return None
        if made.version != given.version:
            self._report.notes.append(
                f"version {given.version} of {given.name} is version {made.version} here: the number was taken"
            )
        if not request.located and _PROMPT not in given.tags:
            self._report.notes.append(
                f"the files of version {given.version} of {given.name} belong to no run and stay at {given.source}"
            )
        return made.version

    def _aliases(self, given: SourceModel, numbers: dict[int, int]) -> None:
        marks = self._marks("alias", [f"{given.name}@{alias}" for alias in given.aliases])
        for alias, there in sorted(given.aliases.items()):
            key, here = f"{given.name}@{alias}", numbers.get(there)
            if here is None:
                continue
            _count(self._report.aliases, marks.get(key), str(here))
            if marks.get(key) == str(here):
                # It may have been moved or declined here since, which an import does not undo.
                continue
            try:
                made = self._target.call(ModelImports.alias, ImportAliasRequest(given.name, alias, here))
            except RemoteError as error:
                self._report.problems.append(f"the alias {alias} of {given.name} was refused: {error}")
                continue
            if made.outcome == "requested":
                self._report.requests.append(made.message)
            self._set_marks("alias", {key: str(here)})

    def _tell_of_stages(self, name: str, versions: list[SourceVersion]) -> None:
        staged = [f"{item.version} ({item.stage})" for item in versions if item.stage in _STAGES]
        if staged:
            self._report.notes.append(
                f"stages of {name} were kept as labels and deploy nothing: version {', '.join(staged)}"
            )

    def _marks(self, kind: MarkKind, keys: list[str]) -> dict[str, str]:
        if not keys:
            return {}
        request = FindMarksRequest(self._source.name, kind, tuple(keys))
        return self._target.call(ImportService.find_marks, request).marks

    def _set_marks(self, kind: MarkKind, marks: dict[str, str]) -> None:
        self._target.call(ImportService.set_marks, SetMarksRequest(self._source.name, kind, marks))


def _is_of(version: SourceVersion, seen: set[str]) -> bool:
    return version.run_id in seen or translation.logged_model_of(version) in seen


def _count(counts: Counts, known: str | None, mark: str) -> None:
    if known is None:
        counts.new += 1
    elif known != mark:
        counts.changed += 1
    else:
        counts.known += 1
