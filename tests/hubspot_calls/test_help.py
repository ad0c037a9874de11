"""`--help`: what it teaches, and that it fits 80 columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from hubspot_calls.cli import SECTIONS, cli
from tests.documents import ROOT

HubSpotCalls = Callable[..., Any]

OUTCOMES = json.loads((ROOT / "sample_data/expected_outcomes.json").read_text("utf-8"))
_EXAMPLE = re.compile(r"^    \S", re.MULTILINE)


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        where = f"{path} {name}".strip()
        yield where, command
        if isinstance(command, click.Group):
            yield from commands(command, where)


EVERY = dict(commands())


@pytest.mark.parametrize("name", ["", *EVERY])
def test_help_fits_a_terminal_of_80_columns(
    name: str, hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    lines = hubspot_calls(*name.split(), "--help").out.splitlines()

    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("name", ["", *EVERY])
def test_no_line_of_help_holds_what_is_not_seen(name: str, hubspot_calls: HubSpotCalls) -> None:
    lines = hubspot_calls(*name.split(), "--help").out.splitlines()

    assert [line for line in lines if not line.isprintable() or line != line.rstrip()] == []


@pytest.mark.parametrize("name", ["history", "retry"])
def test_the_call_of_an_example_is_one_of_the_samples(
    name: str, hubspot_calls: HubSpotCalls
) -> None:
    [begun] = re.findall(rf"hubspot-calls {name} --call-id (\S+)", EVERY[name].help or "")
    samples = {each["call_id"] for each in OUTCOMES if each["stored"]}

    assert len([call_id for call_id in samples if call_id.startswith(begun)]) == 1


def test_a_key_is_said_to_sign_people_in(hubspot_calls: HubSpotCalls) -> None:
    made = hubspot_calls("keys", "create")

    assert "sign in to the pages" in hubspot_calls("keys", "--help").out
    assert "People sign in with it at http://127.0.0.1:8000" in made.err


def test_the_sign_before_numbers_in_csv_is_explained(hubspot_calls: HubSpotCalls) -> None:
    told = " ".join(hubspot_calls("history", "--help").out.split())

    assert "--csv Print CSV for a spreadsheet: ' stands before" in told


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_examples_and_says_what_belongs_to_it(
    name: str, hubspot_calls: HubSpotCalls
) -> None:
    told = hubspot_calls(*name.split(), "--help").out

    examples = told.partition("  Examples:\n")[2].partition("\n\n")[0]
    assert len(_EXAMPLE.findall(examples)) >= 2
    assert f"hubspot-calls {name.split()[0]}" in examples
    assert "\n  See also: " in told


@pytest.mark.parametrize("name", EVERY)
def test_no_short_help_is_cut_off(name: str) -> None:
    short = EVERY[name].get_short_help_str(60)

    assert short.endswith(".")
    assert not short.endswith("...")


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    listed = {name: text for section in SECTIONS.values() for name, text in section.items()}

    told = {name: command.short_help for name, command in EVERY.items() if " " not in name}

    assert listed == told


def test_the_first_help_names_the_steps_from_nothing_to_a_note(
    hubspot_calls: HubSpotCalls,
) -> None:
    told = hubspot_calls("--help").out

    steps = re.findall(r"^    (\d)\. (.*)$", told, re.MULTILINE)
    assert [number for number, _ in steps] == ["1", "2", "3", "4", "5"]
    assert [section for section in SECTIONS if f"\n{section}:\n" in told] == list(SECTIONS)


def test_reasons_are_listed_where_they_can_be_asked_for(hubspot_calls: HubSpotCalls) -> None:
    history, retry = (hubspot_calls(name, "--help").out for name in ("history", "retry"))

    assert "contact_not_found" in history.partition("Reasons: ")[2]
    assert "created" not in retry.partition("Reasons: ")[2]
