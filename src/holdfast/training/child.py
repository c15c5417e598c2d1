"""The process that trains: `python -m holdfast.training.child JOBDIR`.

It reads `task.json`, runs the pipeline and leaves `outcome.json`, or `failure.json` and exit code 1. It opens no
ledger and dies with its parent. With `--wait` it imports everything first and then reads the folder of its one
job from standard input: a warm standby, so that a retraining does not pay for the imports.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from pathlib import Path

from holdfast.base import processes
from holdfast.base.blobs import replace_file
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import HoldfastError
from holdfast.training.records import TrainingFailure, TrainingTask

TASK = "task.json"
OUTCOME = "outcome.json"
FAILURE = "failure.json"
STDOUT = "stdout.txt"
STDERR = "stderr.txt"
PARENT_VARIABLE = "HOLDFAST_PARENT_PID"

_WARM = (
    "holdfast.training.pipeline",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "skops.io",
    "onnxruntime",
    "skl2onnx",
)


def main(arguments: list[str]) -> int:
    """Runs one job and returns the exit code."""
    if not processes.die_with_parent():
        print("this system has no parent-death signal: an orphan is ended at recovery", file=sys.stderr)
    if _is_orphan():
        return 1
    folder = _wait_for_job() if arguments == ["--wait"] else Path(arguments[0])
    return 0 if folder is None else run_job(folder)


def run_job(folder: Path) -> int:
    """Runs the pipeline of a job folder; every failure becomes `failure.json`."""
    try:
        task = from_json((folder / TASK).read_bytes(), TrainingTask)
        from holdfast.training.pipeline import run_pipeline

        outcome = run_pipeline(task)
    except HoldfastError as error:
        return _fail(folder, TrainingFailure(error.error_code, str(error), traceback.format_exc()))
    except MemoryError:
        message = "the training ran out of memory; train on fewer rows or on a larger machine"
        return _fail(folder, TrainingFailure("out_of_memory", message, traceback.format_exc()))
    except (
        BaseException
    ) as error:  # polars panics are no Exceptions; whatever it is, the parent must learn of it
        message = f"the training stopped with an unexpected {type(error).__name__}: {error}"
        return _fail(folder, TrainingFailure("internal", message, traceback.format_exc()))
    replace_file(folder / OUTCOME, to_json(outcome).encode())
    return 0


def _fail(folder: Path, failure: TrainingFailure) -> int:
    replace_file(folder / FAILURE, to_json(failure).encode())
    return 1


def _is_orphan() -> bool:
    """Whether the parent died before the parent-death signal was asked for."""
    expected = os.environ.get(PARENT_VARIABLE)
    return expected is not None and os.getppid() != int(expected)


def _wait_for_job() -> Path | None:
    """Imports everything, then waits for a job; None when the parent closes the pipe instead."""
    for name in _WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    line = sys.stdin.readline().strip()
    if not line:
        return None
    folder = Path(line)
    for name, descriptor in ((STDOUT, 1), (STDERR, 2)):
        target = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(target, descriptor)
        os.close(target)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return folder


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The result is on disk; taking the interpreter and its libraries apart would cost another 300 ms.
    os._exit(status)
