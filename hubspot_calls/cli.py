"""The command `hubspot-calls`: its subcommands, and how it ends.

Knows exit codes and the one-line form of errors; what a subcommand does lives in `commands/`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from call_stream.stream import StreamError
from hubspot_calls.output import say
from target_hubspot_calls.errors import CallSyncError, SettingsError

PROGRAM = "hubspot-calls"

DONE = 0
FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130


# Where each subcommand lives; it is imported when it is asked for, so that one does not wait for
# the others' rooms.
COMMANDS = {
    name: f"hubspot_calls.commands.{name}"
    for name in (
        "connections",
        "demo",
        "doctor",
        "history",
        "keys",
        "retry",
        "serve",
        "simulator",
        "sync",
        "webhooks",
    )
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when that subcommand is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all subcommands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from the environment and from .env in the working directory.",
)
@click.version_option(package_name="target-hubspot-calls", message="%(prog)s %(version)s")
def cli() -> None:
    """VAPI voice-agent calls become HubSpot notes.

    \b
    See it work on this machine, without any account:
      hubspot-calls demo --once
    \b
    Use it:
      hubspot-calls connections add --service-key-stdin < key.txt
      hubspot-calls webhooks create
      hubspot-calls serve
      hubspot-calls history
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one run: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name=PROGRAM,
            standalone_mode=False,
        )
    except click.exceptions.NoArgsIsHelpError as err:
        say(err.format_message())
        return WRONG_USE
    except click.UsageError as err:
        where = err.ctx.command_path if err.ctx else PROGRAM
        _complain(f"{err.format_message().rstrip('.')}; see `{where} --help`")
        return WRONG_USE
    except click.ClickException as err:
        _complain(err.format_message())
        return FAILED
    except SettingsError as err:
        for fault in err.faults:
            _complain(fault)
        return FAILED
    except (CallSyncError, StreamError) as err:
        _complain(str(err))
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as err:
        _complain(_to_sentence(err))
        return FAILED
    return result if isinstance(result, int) else DONE


def main() -> NoReturn:
    """Run the command of `sys.argv` and end the process."""
    sys.exit(run())


def _complain(text: str) -> None:
    say(f"{PROGRAM}: {' '.join(text.split())}")


def _to_sentence(err: OSError) -> str:
    what = err.strerror or str(err) or type(err).__name__
    return f"{what}: {err.filename}" if err.filename else what
