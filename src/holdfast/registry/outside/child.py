"""The process that reads a model from outside: `python -P -m holdfast.registry.outside.child JOBDIR`.

It reads `task.json` and leaves `outcome.json`, or `failure.json` and exit code 1. It opens no ledger and dies with
its parent. `-P` keeps the current folder off the import path: nothing that lies there may be taken for a module.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from holdfast.base import processes
from holdfast.base.blobs import replace_file
from holdfast.base.encoding import from_json, to_json
from holdfast.base.errors import HoldfastError
from holdfast.registry.outside.records import ConvertTask, Refused

TASK = "task.json"
OUTCOME = "outcome.json"
FAILURE = "failure.json"


def main(folder: Path) -> int:
    """Converts one model and returns the exit code; every failure becomes `failure.json`."""
    processes.die_with_parent()
    try:
        from holdfast.registry.outside.convert import convert

        outcome = convert(from_json((folder / TASK).read_bytes(), ConvertTask))
    except HoldfastError as error:
        return _fail(folder, Refused(error.error_code, str(error), traceback.format_exc()))
    except BaseException as error:  # whatever a model's code raises, the parent must learn of it
        message = f"reading the model stopped with an unexpected {type(error).__name__}: {error}"
        return _fail(folder, Refused("unservable_model", message, traceback.format_exc()))
    replace_file(folder / OUTCOME, to_json(outcome).encode())
    return 0


def _fail(folder: Path, refused: Refused) -> int:
    replace_file(folder / FAILURE, to_json(refused).encode())
    return 1


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)
