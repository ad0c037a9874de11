"""Options that several subcommands share, and the door where settings come in.

Knows click; it must not know any room.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import click

from hubspot_calls.log_setup import set_up_logging
from hubspot_calls.settings import Settings, load_settings, strangers_in_env_file

_LONGEST_NAME = 200

logger = logging.getLogger("hubspot-calls")

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else."
)


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


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Read the settings when the command really runs, so that its --help never needs them."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        settings = load_settings()
        set_up_logging(settings)
        return command(settings, *args, **kwargs)

    return run


def warn_of_strangers() -> None:
    """Log what `.env` sets that looks like a setting and is none; for commands that go on long."""
    for sentence in strangers_in_env_file():
        logger.warning("%s", sentence)
