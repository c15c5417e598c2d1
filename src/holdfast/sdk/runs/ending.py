"""How runs end that nobody finished: at the end of the interpreter, and at SIGTERM."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType

from holdfast.sdk.runs.run import Terminated, outcome_of, own_runs
from holdfast.tracking.log_records import EndStatus

_PATIENCE_AFTER_SIGNAL_S = 5.0
_installed = False
_terminated = False
_error_before: BaseException | None = None


def watch() -> None:
    """Sees to it, once a process, that its runs end with it."""
    global _installed, _error_before
    if _installed:
        return
    _installed = True
    _error_before = getattr(sys, "last_value", None)
    atexit.register(_finish_all)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _terminated
    if own_runs():
        _terminated = True
        raise Terminated(128 + number)
    # Nothing of ours goes on (a worker of a pool, say): end as if nobody had asked to be told.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _finish_all() -> None:
    status, sentence = _outcome()
    for run in own_runs():
        timeout_s = _PATIENCE_AFTER_SIGNAL_S if status == "killed" else 30.0
        try:
            run.finish(status, sentence, timeout_s=timeout_s)
        except KeyboardInterrupt:
            status = "killed"


def _outcome() -> tuple[EndStatus, str]:
    if _terminated:
        return outcome_of(Terminated(143))
    # A notebook keeps the error of its last failed cell for ever; only a script ends by one.
    error = getattr(sys, "last_value", None)
    if hasattr(sys, "ps1") or "IPython" in sys.modules or error is _error_before:
        return "finished", ""
    return outcome_of(error)
