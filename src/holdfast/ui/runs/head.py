"""What all pages of one run share: the way to them and the tabs between them."""

from __future__ import annotations

from holdfast.tracking.records import LoggedRun
from holdfast.ui import urls
from holdfast.ui.kit import Tab
from holdfast.ui.runs.curves import is_system


def crumbs_of(run: LoggedRun) -> tuple[tuple[str, str], ...]:
    """The way to a page below a run."""
    return (("Runs", urls.RUNS), (run.name, urls.run(run.run_id)))


def run_tabs(run: LoggedRun) -> tuple[Tab, ...]:
    """The views of a run."""
    system = sum(is_system(metric.key) for metric in run.metrics)
    tabs = [
        Tab("Summary", urls.run(run.run_id)),
        Tab("Curves", urls.run_curves(run.run_id), len(run.metrics) - system),
    ]
    if system:
        tabs.append(Tab("System", urls.run_curves(run.run_id, system=True), system))
    return (*tabs, Tab("Artifacts", urls.run_artifacts(run.run_id, "")))
