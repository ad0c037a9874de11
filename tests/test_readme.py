"""README says of settings, outcomes and commands what the programs say of themselves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest

from hubspot_calls.cli import cli
from hubspot_calls.settings import Settings, variable_names
from tap_vapi.tap import TapVapi
from target_hubspot_calls.errors import CallOutcomeError, Reason, Status
from target_hubspot_calls.settings import TargetSettings

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
WRITTEN_REASONS = {Reason.CREATED, Reason.UPDATED, Reason.UNCHANGED}
# Their defaults depend on the data directory, or are said in words.
SAID_IN_WORDS = {"stream_url", "database_url", "sync_log", "encryption_keys", "recording_hosts"}


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the one table under a heading, without its head."""
    section = README.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def codes_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SETTINGS_ROWS = rows_of("Settings")
OUTCOME_ROWS = rows_of("Outcomes")


def tap_settings() -> dict[str, dict[str, Any]]:
    of_the_sdk: dict[str, Any] = {"properties": {}}
    TapVapi.append_builtin_config(of_the_sdk)
    properties: dict[str, dict[str, Any]] = TapVapi.config_jsonschema["properties"]
    return {name: each for name, each in properties.items() if name not in of_the_sdk["properties"]}


def test_the_settings_table_names_every_variable_once() -> None:
    named = [name for row in SETTINGS_ROWS for name in codes_in(row[0])]

    assert sorted(named) == sorted(variable_names())


def test_the_settings_table_names_every_setting_of_tap_and_target_once() -> None:
    named = [name for row in SETTINGS_ROWS for name in codes_in(row[1])]

    assert sorted(named) == sorted({*TargetSettings.model_fields, *tap_settings()})


def test_a_variable_stands_beside_the_setting_it_sets() -> None:
    variables = {name: str(f.validation_alias) for name, f in Settings.model_fields.items()}
    in_pairs = {
        setting: variable
        for row in SETTINGS_ROWS
        for variable, setting in zip(codes_in(row[0]), codes_in(row[1]), strict=False)
    }
    of_tap_or_target = {*TargetSettings.model_fields, *tap_settings()}

    assert in_pairs == {n: v for n, v in variables.items() if n in of_tap_or_target}


def test_the_settings_table_gives_the_defaults() -> None:
    given = {}
    for row in SETTINGS_ROWS:
        names = codes_in(row[1]) or [
            name
            for name, field in Settings.model_fields.items()
            if field.validation_alias in codes_in(row[0])
        ]
        defaults = row[2].replace("`", "").split(", ")
        if len(defaults) == 1:
            defaults *= len(names)
        given |= dict(zip(names, defaults, strict=names[0] not in SAID_IN_WORDS))

    assert given.keys() >= SAID_IN_WORDS
    assert {n: d for n, d in given.items() if n not in SAID_IN_WORDS} == {
        name: default_of(name) for name in given.keys() - SAID_IN_WORDS
    }


def default_of(name: str) -> str:
    """The default as the table writes it."""
    if name in tap_settings():
        default = tap_settings()[name].get("default")
    else:
        default = {**Settings.model_fields, **TargetSettings.model_fields}[name].default
    if default is None:
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    return str(default).replace("'", '"')


def test_the_outcome_table_names_every_reason_with_its_status_and_its_retries() -> None:
    named = [
        (reason, (row[1], None if row[2] == "-" else row[2] != "no"))
        for row in OUTCOME_ROWS
        for reason in codes_in(row[0])
    ]

    assert len(named) == len(Reason)
    assert dict(named) == {
        **{reason.value: (Status.SUCCESS.value, None) for reason in WRITTEN_REASONS},
        **{e.reason.value: (e.status.value, e.retryable) for e in errors(CallOutcomeError)},
    }


def errors(base: type[CallOutcomeError]) -> Iterator[type[CallOutcomeError]]:
    """Every error that has a reason of its own."""
    for error in base.__subclasses__():
        if "reason" in vars(error):
            yield error
        yield from errors(error)


def console_lines() -> list[str]:
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def mentions() -> list[str]:
    """Commands named in a sentence; `COMMAND` stands for any of them."""
    named = re.findall(r"`(hubspot-calls [^`]+)`", README)
    return [mention for mention in named if "COMMAND" not in mention]


def words_of(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(takewhile(lambda word: word not in {"<", ">", "|", "&&", ";"}, lexer))


OURS = [line for line in console_lines() if "hubspot-calls" in words_of(line)]


def test_readme_shows_commands() -> None:
    assert len(OURS) >= 4


@pytest.mark.parametrize("mention", mentions())
def test_a_command_in_a_sentence_exists_and_may_leave_out_options(mention: str) -> None:
    with suppress(click.MissingParameter):
        parse(words_of(mention)[1:])


@pytest.mark.parametrize("line", OURS)
def test_a_command_in_readme_exists_with_its_options(line: str) -> None:
    words = words_of(line)
    start = words.index("hubspot-calls")

    variables = [word.partition("=")[0] for word in words[:start]]
    parse(words[start + 1 :])

    assert set(variables) <= set(variable_names())


def parse(words: list[str]) -> None:
    """Reads a command line as `hubspot-calls` would, without running it. Raises UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="hubspot-calls")
    while isinstance(command, click.Group):
        assert words, f"{context.command_path} needs a subcommand"
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{context.command_path} has no subcommand {name}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(context.info_name, words, parent=context.parent)


@pytest.mark.parametrize(
    "line", ["nonsense", "sync --nonsense", "webhooks", "history --status nonsense"]
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        parse(line.split())


def test_files_that_readme_names_exist() -> None:
    root = Path(__file__).parents[1]

    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", README)
    read = re.findall(r"< ((?:sample_data)/\S+)", README)

    assert [name for name in links + read if not (root / name).exists()] == []
