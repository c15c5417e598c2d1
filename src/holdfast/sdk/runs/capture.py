"""What a run captures by itself when it begins: code, environment, hardware, and how the script was called."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from holdfast.base import bundle
from holdfast.base.bundle import SourceBundle, installed_packages
from holdfast.base.errors import HoldfastError
from holdfast.sdk.runs.gpu import find_gpus
from holdfast.tracking.log_records import CodeGiven
from holdfast.tracking.records import EnvironmentSnapshot

COMMAND_TAG = "holdfast.command"
SOURCE_NAME_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
COMMIT_TAG = "mlflow.source.git.commit"
USER_TAG = "mlflow.user"
# Larger code is data that somebody imports; the commit stands for it.
_BUNDLE_BYTES_MOST = 16 << 20
_TAG_MOST = 5_000
_HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(^|[-_.])(pass(word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|credentials?|auth)($|[-_.])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(sk-[\w-]{16,}|gh[opsu]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|hf_\w{20,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_USER_INFO = re.compile(r"(\w+://)[^/\s:@]+(:[^/\s@]*)?@")


def code_of(caller: str | None) -> CodeGiven | None:
    """The source of the running script with the project modules it imports, of a notebook its cells so far.

    Args:
        caller: the file that calls `hf.run`, for a script that is a launcher installed with Python.
    """
    found = _notebook_code() or _script_code(caller)
    if found is None:
        return None
    data = bundle.encode(found)
    if len(data) > _BUNDLE_BYTES_MOST:
        data = bundle.encode(SourceBundle(found.entry, {}, found.git_commit))
    remote = without_user(found.git_remote) if found.git_remote else None
    return CodeGiven(found.entry, data, found.git_commit, found.git_diff, remote)


@functools.cache
def environment() -> EnvironmentSnapshot:
    """Python, platform, packages and hardware of this process."""
    return EnvironmentSnapshot(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu_count=_usable_cores(),
        packages=installed_packages(),
        hardware=_hardware(),
    )


def tags_of(code: CodeGiven | None, user: str, arguments: list[str] | None = None) -> dict[str, str]:
    """What MLflow's clients look for in the tags of a run, and the command."""
    notebook = _shell() is not None
    words = list(sys.orig_argv if arguments is None else arguments)
    name = code.entry if code else "<interactive>"
    tags = {
        USER_TAG: user,
        SOURCE_TYPE_TAG: "NOTEBOOK" if notebook else "LOCAL",
        SOURCE_NAME_TAG: name if notebook else _script_name(name),
    }
    if not notebook:
        tags[COMMAND_TAG] = " ".join(without_secrets(words))[:_TAG_MOST]
    if code and code.git_commit:
        tags[COMMIT_TAG] = code.git_commit
    return tags


def without_secrets(words: list[str]) -> list[str]:
    """The words of a command with whatever looks like a secret replaced by `***`.

    That is the value of an option or assignment whose name says so, the user in an address, and tokens of well-known
    shapes. A secret that looks like nothing is not found: pass such a one by the environment, which is never captured.

    Example:
        >>> without_secrets(["train.py", "--api-key", "abc", "--depth=6", "DB_PASSWORD=x"])
        ['train.py', '--api-key', '***', '--depth=6', 'DB_PASSWORD=***']
    """
    found: list[str] = []
    hide_next = False
    for word in words:
        name, equals, _ = word.partition("=")
        secret = _SECRET_NAME.search(name) is not None and " " not in name
        if hide_next and not word.startswith("-"):
            found.append(_HIDDEN)
            hide_next = False
            continue
        hide_next = secret and not equals and word.startswith("-")
        if secret and equals:
            word = f"{name}={_HIDDEN}"
        found.append(_SECRET_VALUE.sub(_HIDDEN, _USER_INFO.sub(rf"\1{_HIDDEN}@", word)))
    return found


def without_user(address: str) -> str:
    """An address without the user and password that may stand in it.

    Example:
        >>> without_user("https://ann:token@host/team/models.git")
        'https://host/team/models.git'
    """
    parts = urlsplit(address)
    if not parts.scheme or "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _script_code(caller: str | None) -> SourceBundle | None:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    for file in (main, caller):
        if file and Path(file).is_file() and not _is_installed(Path(file)):
            try:
                return bundle.pack(Path(file))
            except (HoldfastError, ValueError):
                continue
    return _typed_code()


def _typed_code() -> SourceBundle | None:
    """The text after `python -c`."""
    words = sys.orig_argv
    if "-c" in words[:-1]:
        return SourceBundle("command.py", {"command.py": words[words.index("-c") + 1].encode()})
    return None


def _notebook_code() -> SourceBundle | None:
    shell = _shell()
    if shell is None:
        return None
    cells = [cell for cell in shell.user_ns.get("In", []) if cell.strip()]
    text = "\n\n".join(f"# %% cell {number}\n{cell}" for number, cell in enumerate(cells, 1))
    return SourceBundle("notebook.py", {"notebook.py": text.encode()})


def _shell() -> Any:
    """The IPython shell that runs us, if one does."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _is_installed(file: Path) -> bool:
    prefixes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    resolved = file.resolve()
    return any(
        resolved.is_relative_to(prefix / part) for prefix in prefixes for part in ("bin", "lib", "lib64")
    )


def _script_name(entry: str) -> str:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(main) if main and Path(main).name == entry else entry


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hardware() -> dict[str, str]:
    import psutil

    found = {
        "host": platform.node(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count(logical=False) or os.cpu_count() or 1),
        "threads": str(os.cpu_count() or 1),
        "memory_bytes": str(psutil.virtual_memory().total),
    }
    for number, gpu in enumerate(find_gpus()):
        found[f"gpu_{number}"] = gpu.name
        found[f"gpu_{number}_memory_bytes"] = str(gpu.memory_total_bytes)
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
