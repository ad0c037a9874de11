"""Options that several subcommands share, and the door where settings come in.

Knows click; it must not know any room, and imports no settings before a command really runs.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from target_hubspot_calls.errors import Reason, Status

if TYPE_CHECKING:
    from datetime import datetime

    from hubspot_calls.settings import Settings

STATUSES = tuple(status.value for status in Status)
REASONS = tuple(reason.value for reason in Reason)
_LONGEST_NAME = 200

logger = logging.getLogger("hubspot-calls")

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else."
)


class OneOf(click.Choice[str]):
    """One of some words; a word that is nearly one of them is told which."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The word; blanks and strokes in it count as the underscores of a code."""
        written = str(value).strip().lower().replace("-", "_").replace(" ", "_")
        for word in self.choices:
            if word == value or word.replace("-", "_") == written:
                return str(word)
        words = [str(word) for word in self.choices]
        near = difflib.get_close_matches(written, words, 1, 0.6)
        advice = f"known are {', '.join(words)}"
        if near:
            advice = f"did you mean {near[0]}?"
        raise click.BadParameter(f"there is no {str(value)[:60]!r}; {advice}", ctx, param)


class Sought(click.ParamType[str]):
    """Something to look for: nothing at all, as an unset variable gives it, would find all."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is; fails for a blank one."""
        if not value.strip():
            self.fail("it is empty; leave the option out to find all", param, ctx)
        return value


class OwnerName(click.ParamType[str]):
    """A user or workspace: 1 to 200 printable characters, as the target takes them."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is; fails without repeating it."""
        if not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable():
            self.fail(f"it must be 1 to {_LONGEST_NAME} printable characters", param, ctx)
        return value


def owner_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add --user and --workspace, which say whose thing it is; both are `default` by default."""
    for decorate in (
        click.option(
            "--workspace",
            "workspace_id",
            type=OwnerName(),
            metavar="W",
            default="default",
            show_default=True,
            help="The workspace it belongs to.",
        ),
        click.option(
            "--user",
            "user_id",
            type=OwnerName(),
            metavar="U",
            default="default",
            show_default=True,
            help="The user it belongs to.",
        ),
    ):
        command = decorate(command)
    return command


def call_filter_options(
    statuses: Sequence[str] = STATUSES, reasons: Sequence[str] = REASONS
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add what history and retry choose calls by."""
    # Imported when the decorator runs: only those two need to know times.
    from hubspot_calls.moments import Moment

    options = (
        click.option(
            "--call-id",
            type=Sought(),
            metavar="ID",
            help="One call; the beginning of its id will do.",
        ),
        click.option("--status", type=OneOf(statuses), help="Only this status."),
        click.option("--reason", type=OneOf(reasons), metavar="R", help="Only this reason."),
        click.option(
            "--since",
            type=Moment(),
            metavar="T",
            help="From then on: 12h, 7d, today, 2026-11-22, 2026-11-22T09:30.",
        ),
        click.option("--until", type=Moment(), metavar="T", help="Before then, in the same forms."),
        click.option(
            "--number",
            type=Sought(),
            metavar="N",
            help="Only this caller: the number, or its last digits.",
        ),
        click.option(
            "--query",
            type=Sought(),
            metavar="TEXT",
            help="Part of a call id, number or message.",
        ),
        click.option("--user", "user_id", type=OwnerName(), metavar="U", help="Only this user's."),
        click.option(
            "--workspace",
            "workspace_id",
            type=OwnerName(),
            metavar="W",
            help="Only this workspace's.",
        ),
    )

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_times(since: datetime | None, until: datetime | None) -> None:
    """Raises UsageError where nothing can lie between the two."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since is not before --until, so there is nothing between them")


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Read the settings when the command really runs, so that its --help never needs them."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from hubspot_calls.log_setup import set_up_logging
        from hubspot_calls.settings import load_settings

        settings = load_settings()
        set_up_logging(settings)
        return command(settings, *args, **kwargs)

    return run


def warn_of_strangers() -> None:
    """Log what `.env` sets that looks like a setting and is none; for commands that go on long."""
    from hubspot_calls.settings import strangers_in_env_file

    for sentence in strangers_in_env_file():
        logger.warning("%s", sentence)
