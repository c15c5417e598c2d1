"""What an import brought, in numbers and sentences."""

from __future__ import annotations

import msgspec


class Counts(msgspec.Struct):
    """How many of a kind were new here, changed since they were brought, or known as they are."""

    new: int = 0
    changed: int = 0
    known: int = 0

    @property
    def brought(self) -> int:
        """New and changed ones."""
        return self.new + self.changed


class Report(msgspec.Struct):
    """What an import did, or with `dry_run` would do.

    `requests` are the aliases that became requests, `notes` what a person should know, `problems` what could not be
    brought; the same command tries those again.
    """

    source: str
    dry_run: bool = False
    experiments: Counts = msgspec.field(default_factory=Counts)
    runs: Counts = msgspec.field(default_factory=Counts)
    logged_models: Counts = msgspec.field(default_factory=Counts)
    models: Counts = msgspec.field(default_factory=Counts)
    versions: Counts = msgspec.field(default_factory=Counts)
    aliases: Counts = msgspec.field(default_factory=Counts)
    points: int = 0
    files: int = 0
    bytes: int = 0
    requests: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)

    def brought(self) -> dict[str, int]:
        """The numbers of what was written, for the audit trail; empty when nothing was."""
        nouns = ("experiments", "runs", "logged_models", "models", "versions", "aliases")
        found = {noun: getattr(self, noun).brought for noun in nouns}
        found |= {"points": self.points, "files": self.files, "bytes": self.bytes}
        return {noun: count for noun, count in found.items() if count}
