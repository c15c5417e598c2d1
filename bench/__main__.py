"""The benchmarks.

    python -m bench [startup] [ledger] [tracking] [run_log] [serving] [rollback] [features] [demo] [--json] [--thorough]

Without names everything runs, in less than five minutes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback

from bench.report import as_json, as_text

NAMES = ("startup", "ledger", "tracking", "run_log", "serving", "rollback", "features", "data", "demo")


def main(arguments: list[str] | None = None) -> int:
    """Runs benchmarks and prints each figure as soon as it is known; 1 when a benchmark failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)} (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--thorough", action="store_true", help="repeat more often")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    print(f"{_machine()}; figures of a busy machine say little", file=sys.stderr)
    failed = [name for name in given.names or NAMES if not _run(name, given.json, not given.thorough)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, json: bool, quick: bool) -> bool:
    try:
        for found in importlib.import_module(f"bench.{name}").figures(quick=quick):
            print(as_json(found) if json else as_text(found), flush=True)
    except Exception:  # one benchmark that fails must not hide the others
        traceback.print_exc()
        return False
    return True


def _machine() -> str:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {python}"


if __name__ == "__main__":
    sys.exit(main())
