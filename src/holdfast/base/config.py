"""Configuration: defaults, then `holdfast.toml`, then `HOLDFAST_*`, then flags. `SETTINGS` is the whole table.

`holdfast.toml` is looked for in the working directory and then in the home.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError


class Config(msgspec.Struct, frozen=True):
    """Every setting with its default. Field `host` is `HOLDFAST_HOST` and `host = "…"` in holdfast.toml."""

    home: str = "~/.holdfast"
    ledger: str = ""
    online: str = ""
    data: str = "../shared/data"
    url: str = ""
    project: str = "default"
    environment: str = "production"
    host: str = "127.0.0.1"
    port: int = 8470
    serve_port: int = 8480
    serve_workers: int = 1
    tick_seconds: float = 1.0


SETTINGS: dict[str, str] = {
    "home": "where everything lives: ledger, blobs, segments, sockets",
    "ledger": "where the ledger is: postgresql://user@host:5432/database (which several servers may share that"
    " have the same blobs folder), or empty for SQLite in the home",
    "online": "where materialized features are: redis://host:6379/0 for a team, or empty for LMDB in the home",
    "data": "folder of the real example data",
    "url": "the server that scripts log to with hf.run and hf.connect and that `holdfast runs` asks; all other commands"
    " ask the server of the home, and so do these where it is empty",
    "project": "the project that commands act in",
    "environment": "the environment that deployments belong to",
    "host": "address to listen on; anything but a loopback address is refused while there are no tokens",
    "port": "port of the server (0: any free one)",
    "serve_port": "port of the serving process (0: any free one)",
    "serve_workers": "serving worker processes",
    "tick_seconds": "how often the loop looks, in real time",
}

_TYPE_NAMES: dict[type, str] = {str: "a text", int: "a whole number", float: "a number"}


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """The configuration in force. Flags that are None do not count.

    Raises:
        InvalidError: an unknown setting, or a value of the wrong type.
    """
    environ = os.environ if environ is None else environ
    file = (folder or Path.cwd()) / "holdfast.toml"
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, given in (
        (lambda name: f"{name} in {file}", _from_file(file)),
        (_variable, {name: environ[_variable(name)] for name in SETTINGS if _variable(name) in environ}),
        (
            lambda name: f"--{name}",
            {name: value for name, value in (flags or {}).items() if value is not None},
        ),
    ):
        values.update(given)
        places.update({name: place(name) for name in given})
    for name, value in values.items():
        _check(name, value, places[name])
    return msgspec.convert(values, Config, strict=False)


def _variable(name: str) -> str:
    return f"HOLDFAST_{name.upper()}"


def _check(name: str, value: Any, place: str) -> None:
    field = next(field for field in msgspec.structs.fields(Config) if field.name == name)
    try:
        msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(
            f"{place} is {value!r}, which is not {_TYPE_NAMES[field.type]}",
            hint=f"correct it or take it out (the default is {field.default!r})",
        ) from error


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown:
        raise InvalidError(
            f"{path} has the unknown setting {unknown[0]!r}", hint=f"valid are {', '.join(sorted(SETTINGS))}"
        )
    return values
