"""The command `hubspot-calls`: its subcommands, and how it ends.

Knows exit codes and the one-line form of errors; what a subcommand does lives in `commands/`.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from hubspot_calls.output import say
from hubspot_calls.signals import CtrlC
from target_hubspot_calls.errors import CallSyncError, SettingsError

PROGRAM = "hubspot-calls"

DONE = 0
FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130
_ctrl_c = CtrlC()

# What --help says of each subcommand, by what it is for. It stands here and not only in the
# commands, as --help and a pressed tab key should not wait for every room to be imported.
SECTIONS: dict[str, dict[str, str]] = {
    "Try it": {
        "demo": "See it work here, without any account.",
        "simulator": "A pretend HubSpot portal over real HTTP.",
    },
    "Set up": {
        "connections": "HubSpot portals, one for each user and workspace.",
        "webhooks": "Addresses that VAPI posts end-of-call reports to.",
        "keys": "Access keys to a workspace's pages, API and recordings.",
        "completion": "What your shell needs to complete commands and options.",
    },
    "Run": {
        "serve": "Receive calls and send them to HubSpot live.",
        "work": "Send calls to HubSpot live, and receive none.",
        "sync": "Send every stored call to HubSpot once.",
    },
    "Look and mend": {
        "doctor": "What works, what does not, and what to do about each.",
        "history": "What became of the calls, newest first.",
        "retry": "Try calls again that were skipped or failed.",
        "forget": "Delete one caller's data everywhere here.",
    },
}
# Where each subcommand lives; it is imported when it is asked for, so that one does not wait for
# the others' rooms.
COMMANDS = {name: f"hubspot_calls.commands.{name}" for names in SECTIONS.values() for name in names}


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that the first argument names. Raises NoSuchCommand with the near ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as err:
            raise click.exceptions.NoSuchCommand(
                err.command_name, possibilities=COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the subcommands under what they are for."""
        for title, listed in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(listed.items()), col_max=14)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The subcommands that begin so; the others' modules are not imported for their help."""
        from click.shell_completion import CompletionItem

        told = {name: text for listed in SECTIONS.values() for name, text in listed.items()}
        begun = [CompletionItem(n, help=told[n]) for n in sorted(told) if n.startswith(incomplete)]
        return begun + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Settings come from the environment and from .env in the working directory; `doctor`
    says what is missing. Every command explains itself: hubspot-calls COMMAND --help. Exit codes:
    0 done, 1 failed, 2 wrong use.""",
)
@click.version_option(package_name="target-hubspot-calls", message="%(prog)s %(version)s")
def cli() -> None:
    """VAPI voice-agent calls become HubSpot notes.

    \b
    See it work on this machine, without any account:
      hubspot-calls demo --once

    \b
    From nothing to a note in HubSpot, in five steps:
      1. hubspot-calls connections add --service-key-stdin < key.txt
                                      connect the HubSpot portal
      2. hubspot-calls webhooks create
                                      and paste what it prints into VAPI
      3. hubspot-calls serve          receive and deliver calls; leave it running
      4. hubspot-calls doctor         is anything missing?
      5. Call your assistant, hang up, and see:  hubspot-calls history
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
        _complain(_with_advice(err.format_message(), f"see `{where} --help`"))
        return WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as err:
        if _ctrl_c.pressed:
            return INTERRUPTED
        sentences = _sentences(err)
        if not sentences:
            raise
        for sentence in sentences:
            _complain(sentence)
        return FAILED
    return result if isinstance(result, int) else DONE


def main() -> NoReturn:
    """Run the command of `sys.argv` and end the process."""
    code = FAILED  # as click and rich say it of a pipe that nobody reads
    _ctrl_c.watch()
    try:
        code = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on, as behind `| head`: nothing is wrong, and Python must not say so at its
        # end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _sentences(err: Exception) -> list[str]:
    """What to tell people of an error that is theirs or the machine's; nothing of one of ours."""
    if isinstance(err, click.ClickException):
        return [err.format_message()]
    if isinstance(err, SettingsError):
        return list(err.faults)
    # Loaded only if a stream was asked for.
    stream = sys.modules.get("call_stream.stream")
    if isinstance(err, CallSyncError) or (stream and isinstance(err, stream.StreamError)):
        return [str(err)]
    if isinstance(err, BrokenPipeError):
        return []
    return [_to_sentence(err)] if isinstance(err, OSError) else []


def _with_advice(text: str, advice: str) -> str:
    text = text.rstrip(".").replace("is not a valid integer range", "is no whole number")
    if text.endswith(("?", "?)")):
        return f"{text} {advice.capitalize()}"
    return f"{text}; {advice}"


def _complain(text: str) -> None:
    say(f"{PROGRAM}: {' '.join(text.split())}")


def _to_sentence(err: OSError) -> str:
    what = err.strerror or str(err) or type(err).__name__
    if err.errno == errno.ENOSPC:
        what = "The disk is full; make room and try again"
    if not err.filename:
        return what
    advice = "; check who may read and write it" if isinstance(err, PermissionError) else ""
    return f"{what}: {err.filename}{advice}"
