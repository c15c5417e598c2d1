"""The `holdfast` command. Commands load when they are called, so that each answers quickly."""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from typing import Any

import click

from holdfast.base.errors import HoldfastError
from holdfast.base.version import VERSION

_COMMANDS = {
    "abort": "holdfast.cli.rollouts",
    "approve": "holdfast.cli.models",
    "audit": "holdfast.cli.audit",
    "backup": "holdfast.cli.backup",
    "check": "holdfast.cli.check",
    "config": "holdfast.cli.config",
    "contract": "holdfast.cli.contract",
    "data": "holdfast.cli.data",
    "demo": "holdfast.cli.demo.command",
    "deploy": "holdfast.cli.rollouts",
    "down": "holdfast.cli.down",
    "features": "holdfast.cli.features",
    "import": "holdfast.cli.import_",
    "models": "holdfast.cli.model_list",
    "promote": "holdfast.cli.rollouts",
    "requests": "holdfast.cli.requests",
    "restore": "holdfast.cli.backup",
    "resume": "holdfast.cli.rollouts",
    "rollback": "holdfast.cli.rollouts",
    "runs": "holdfast.cli.runs",
    "serve": "holdfast.cli.serve",
    "server": "holdfast.cli.server",
    "status": "holdfast.cli.status",
    "trace": "holdfast.cli.trace",
    "train": "holdfast.cli.train",
    "up": "holdfast.cli.up",
}


class _Lazy(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of(cmd_name) if cmd_name in _COMMANDS else None


def command_of(name: str) -> click.Command:
    """The command of a name. One that is a word of Python's, as `import`, has an underscore in its module."""
    module = importlib.import_module(_COMMANDS[name])
    command: click.Command = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
    return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="holdfast")
@click.option("--home", envvar="HOLDFAST_HOME", help="Where everything lives (default ~/.holdfast).")
@click.option("--project", envvar="HOLDFAST_PROJECT", help="The project to act in (default: default).")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, home: str | None, project: str | None, debug: bool) -> None:
    """holdfast keeps machine-learning models working in the real world.

    Begin with `holdfast demo`, or `holdfast up FILE` for a model of your own.
    """
    from holdfast.cli.session import Session

    context.obj = Session(home=home, project=project, debug=debug)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a failure is one sentence and an exit code, never a traceback unless `--debug`."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words or os.environ.get("HOLDFAST_DEBUG") == "1"
    try:
        cli.main(words, prog_name="holdfast", standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        _fail("stopped", 130)
    except click.UsageError as error:
        hint = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        _fail(f"{error.format_message()}{hint}", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except HoldfastError as error:
        if debug:
            raise
        _fail(str(error), 1, error.envelope() if "--json" in words else None)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}; run again with --debug for the details", 1)


def _fail(message: str, code: int, envelope: Any = None) -> None:
    if envelope is not None:
        from holdfast.base.encoding import to_json

        click.echo(to_json(envelope))
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
