"""What the demo shows while it runs: the date in the world, and what the loop does as it does it."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from holdfast.base.clock import DAY_US, Micros, to_datetime
from holdfast.cli.demo.processes import Processes
from holdfast.loop.records import Decision, ListDecisionsRequest
from holdfast.loop.service import LoopService
from holdfast.monitoring.records import Alert, ListAlertsRequest
from holdfast.monitoring.service import MonitoringService

_LATEST = 8
_REASON_MOST = 96
MARKS = {
    "alert": ("▲", "yellow"),
    "retrain": ("↻", "cyan"),
    "reject": ("✗", "red"),
    "start rollout": ("◐", "blue"),
    "advance": ("◕", "blue"),
    "deploy": ("●", "green"),
    "promote": ("●", "green"),
    "roll back": ("↩", "magenta"),
    "give up": ("○", "red"),
    "training failed": ("✗", "red"),
}


class Watch:
    """A line for each thing that happens, and below them the progress through the world's days.

    Nothing is shown where `quiet`. Where the output is no terminal there are lines only.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}% · {task.fields[rate]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, rate="")
        self._decision = 0
        self._alert = 0
        self._start_at: Micros = 0

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line about the demo itself."""
        self.console.print(Text(f"            · {text}", style="dim"))

    def begin(self, start_at: Micros, days: int) -> None:
        """The world begins."""
        self._start_at = start_at
        self._progress.update(self._task, total=days)

    def step(self, text: str) -> None:
        """What is being done before and after the world's days."""
        self._progress.update(self._task, description=text)

    def day(self, at: Micros, predictions: int, seconds: float) -> None:
        """A day has ended."""
        rate = f"{predictions / seconds:,.0f} predictions/s" if seconds > 0 else ""
        self._progress.update(
            self._task,
            completed=(at - self._start_at) // DAY_US,
            description=f"{to_datetime(at):%Y-%m-%d}",
            rate=rate,
        )

    def news(self, processes: Processes, model: str) -> None:
        """Shows the decisions and alerts that came since the last call."""
        decisions = processes.call_once(
            LoopService.list_decisions, ListDecisionsRequest(model, limit=_LATEST)
        )
        alerts = processes.call_once(
            MonitoringService.list_alerts, ListAlertsRequest(model=model, limit=_LATEST)
        )
        for alert in reversed([item for item in alerts if item.number > self._alert]):
            self._alert = alert.number
            self.console.print(line_of_alert(alert), no_wrap=True, overflow="ellipsis")
        for decision in reversed([item for item in decisions if item.number > self._decision]):
            self._decision = decision.number
            self.console.print(line_of_decision(decision), no_wrap=True, overflow="ellipsis")


def line_of_alert(alert: Alert) -> Text:
    """`2011-07-14  ▲ alert  input drift: temp is drifting…`"""
    return _line(alert.opened_at, "alert", f"{alert.kind}: {alert.told}")


def line_of_decision(decision: Decision) -> Text:
    """`2011-08-13  ● promote  the mae of version 3 is 5.3% lower…`"""
    return _line(decision.decided_at, decision.kind, decision.reason)


def _line(at: Micros, kind: str, text: str) -> Text:
    mark, colour = MARKS.get(kind, ("·", "white"))
    shown = text if len(text) <= _REASON_MOST else text[: _REASON_MOST - 1] + "…"
    return Text.assemble(
        (f"{to_datetime(at):%Y-%m-%d}", "dim"), "  ", (f"{mark} {kind:<13}", colour), " ", shown
    )
