"""Rules about the code as a whole: what may be imported, and that what users can type is described."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from holdfast.base.config import SETTINGS, Config
from holdfast.cli.main import _COMMANDS, command_of

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "holdfast"
# 0.15 to 1 s each: whoever needs one imports it where it is used.
HEAVY = (
    "lightgbm",
    "numpy",
    "onnxruntime",
    "pandas",
    "polars",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "sqlalchemy",
)
WEB = ("granian", "jinja2", "starlette")


def loaded_by(modules: list[str], of: tuple[str, ...]) -> dict[str, list[str]]:
    """Which packages of `of` are loaded once each module has been imported, in a fresh interpreter."""
    code = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = [heavy for heavy in {of!r} if heavy in sys.modules]\n"
        "    if loaded:\n"
        "        found[name] = loaded\n"
        "        break\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_import_holdfast_loads_nothing_heavy() -> None:
    assert loaded_by(["holdfast"], (*HEAVY, *WEB, "click", "msgspec")) == {}


def test_rooms_of_every_domain_import_light() -> None:
    rooms = [
        f"holdfast.{path.parent.name}.{path.stem}"
        for room in ("records", "store", "service")
        for path in sorted(SOURCE.glob(f"*/{room}.py"))
    ]
    assert len(rooms) >= 20
    assert loaded_by(rooms, (*HEAVY, *WEB)) == {}


def test_commands_start_without_the_heavy_libraries() -> None:
    assert loaded_by(["holdfast.cli.main", *sorted(set(_COMMANDS.values()))], (*HEAVY, *WEB)) == {}


def test_the_server_starts_without_the_heavy_libraries() -> None:
    assert loaded_by(["holdfast.server.process"], HEAVY) == {}


def test_a_server_without_models_never_loads_the_heavy_libraries(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path\n"
        "from holdfast.base.clock import SystemClock\n"
        "from holdfast.base.home import Home\n"
        "from holdfast.base.ledger import SqliteLedger\n"
        "from holdfast.server.compose import MIGRATIONS, compose\n"
        "home = Home(Path(sys.argv[1])); home.prepare()\n"
        "ledger = SqliteLedger(home.ledger, MIGRATIONS)\n"
        "services = compose(home, ledger, SystemClock(), settle=lambda: True, wake=lambda: None)\n"
        "assert not services.loop.has_active_models()\n"
        "ledger.close()\n"
        f"print([heavy for heavy in {HEAVY!r} if heavy in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "home")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_imports_point_downward() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_has_a_meaning() -> None:
    assert set(SETTINGS) == {field.name for field in msgspec.structs.fields(Config)}
    assert all(SETTINGS.values())


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    command = command_of(name)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"
