"""Source bundles: the user's code as one content-addressed blob, and the only way user code is ever loaded.

A bundle holds the file that was named and the project modules it imports (those under the same folder), so the
code of a run is exactly what ran. It is loaded only in child processes and in serving workers that pin it, never
by the server.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from blake3 import blake3

from holdfast.base.encoding import from_msgpack, to_msgpack
from holdfast.base.errors import InvalidError, UserCodeError

_GIT_TIMEOUT_S = 5
_DIFF_BYTES_MOST = 1 << 20


class SourceBundle(msgspec.Struct, frozen=True):
    """The code of a declaration. `files` maps relative paths to contents; `entry` is one of them."""

    entry: str
    files: dict[str, bytes]
    git_commit: str | None = None
    git_diff: str | None = None
    git_remote: str | None = None

    @property
    def digest(self) -> str:
        """The identity of the code alone: where it stood in git does not change it."""
        return blake3(to_msgpack([self.entry, self.files])).hexdigest()


def pack(entry: Path, folder: Path | None = None) -> SourceBundle:
    """Bundles a file and the project modules it imports, directly or not.

    Args:
        folder: the project's folder; that of the file by default.

    Raises:
        InvalidError: the file is missing, unreadable or not valid Python.
    """
    entry = entry.absolute()
    folder = (folder or entry.parent).absolute()
    files: dict[str, bytes] = {}
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(folder).as_posix()
        if name in files:
            continue
        files[name] = _read(path)
        waiting.extend(_project_imports(path, files[name], folder))
    return SourceBundle(entry.relative_to(folder).as_posix(), files, *_git_state(folder))


def encode(bundle: SourceBundle) -> bytes:
    """The bytes under which a bundle is stored as a blob."""
    return to_msgpack(bundle)


def unpack(data: bytes, folder: Path) -> SourceBundle:
    """Writes the files of a stored bundle under `folder`, which holds nothing else.

    Raises:
        InvalidError: a path of the bundle would leave the folder.
    """
    bundle = from_msgpack(data, SourceBundle)
    for name, content in bundle.files.items():
        target = (folder / name).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise InvalidError(f"the source bundle has the illegal path {name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return bundle


def load(folder: Path, entry: str) -> ModuleType:
    """Imports the entry file of an unpacked bundle: this runs user code.

    Raises:
        UserCodeError: the file raised; the message names the file, the line and the error.
    """
    path = folder / entry
    name = f"holdfast_bundle_{blake3(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    except InvalidError:
        raise
    except Exception as error:
        raise UserCodeError(f"{entry} cannot be loaded: {describe(error, folder)}") from error
    finally:
        sys.path.remove(str(folder))
    return module


def declared(module: ModuleType, attribute: str) -> dict[str, Any]:
    """The objects of a module that carry a declaration (`__holdfast_table__` and so on), by declared name."""
    found: dict[str, Any] = {}
    for value in vars(module).values():
        spec = getattr(value, attribute, None)
        if isinstance(spec, msgspec.Struct):
            found[getattr(spec, "name", "") or getattr(getattr(spec, "model", None), "name", "")] = value
    return found


def describe(error: BaseException, folder: Path | None = None) -> str:
    """One sentence: the kind of error, its text, and the last line of user code it passed through."""
    where = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if folder is not None and file.startswith(str(folder)):
            where = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}"


def installed_packages() -> dict[str, str]:
    """Names and versions of every installed distribution."""
    from importlib import metadata

    return {
        distribution.metadata["Name"]: distribution.version
        for distribution in metadata.distributions()
        if distribution.metadata["Name"]
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidError(
            f"{path} cannot be read ({error.strerror})", hint="name a Python file that declares a model"
        ) from error


def _project_imports(path: Path, content: bytes, folder: Path) -> list[Path]:
    """The files under `folder` that a file imports; packages outside it belong to the environment."""
    try:
        tree = ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InvalidError(f"{path.name}{line} is not valid Python: {error.args[0]}") from error
    names: list[tuple[Path, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend((folder, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = folder if node.level == 0 else path.parents[node.level - 1]
            module = node.module or ""
            names.append((start, module))
            names.extend((start, f"{module}.{alias.name}".lstrip(".")) for alias in node.names)
    return [found for start, name in names for found in _module_files(start, name, folder)]


def _module_files(start: Path, name: str, folder: Path) -> list[Path]:
    found: list[Path] = []
    parts = name.split(".") if name else []
    for count in range(1, len(parts) + 1):
        base = start.joinpath(*parts[:count])
        found.extend(path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())
    return [path for path in found if path.is_relative_to(folder)]


def _git_state(folder: Path) -> tuple[str | None, str | None, str | None]:
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None, None
    difference = _git(folder, "diff", "HEAD", "--", ".") or ""
    return commit, difference[:_DIFF_BYTES_MOST] or None, _git(folder, "config", "remote.origin.url")


def _git(folder: Path, *arguments: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, timeout=_GIT_TIMEOUT_S, check=False
        )
        if done.returncode == 0:
            return done.stdout.decode().strip() or None
    return None
