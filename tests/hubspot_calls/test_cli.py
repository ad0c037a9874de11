"""The command as a whole: help, exit codes, one line an error."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from hubspot_calls.cli import COMMANDS, cli
from target_hubspot_calls.store import database

HubSpotCalls = Callable[..., Any]


def test_version_names_the_command_and_its_version(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("--version")

    assert ended.code == 0
    assert ended.out.startswith("hubspot-calls 0.")


def test_help_lists_every_command(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("--help")

    assert ended.code == 0
    assert all(f"\n  {name} " in ended.out for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_even_with_wrong_settings(
    name: str, hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_LOG_LEVEL", "loud")

    ended = hubspot_calls(name, "--help")

    assert (ended.code, ended.err) == (0, "")


def test_every_command_that_prints_data_takes_json() -> None:
    without = {
        path
        for path, command in _leaves(cli)
        if "as_json" not in {parameter.name for parameter in command.params}
    }

    assert without == {"completion", "serve", "simulator", "work"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("webhooks", "create", "--auth", "carrier-pigeon"),
        ("history", "--limit", "none"),
        ("history", "--since", "soon"),
        ("connections", "add"),
        ("serve", "--port", "99999"),
        ("keys", "create", "--user", ""),
        ("webhooks", "create", "--workspace", "a" * 201),
        ("connections", "remove", "--user", "two\nlines"),
    ],
    ids=lambda words: " ".join(words)[:40].replace("\n", " "),
)
def test_wrong_use_is_one_line_and_exit_2(
    arguments: tuple[str, ...], hubspot_calls: HubSpotCalls
) -> None:
    ended = hubspot_calls(*arguments)

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("hubspot-calls: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("group", [(), ("webhooks",), ("keys",), ("connections",)])
def test_a_group_alone_shows_its_help(group: tuple[str, ...], hubspot_calls: HubSpotCalls) -> None:
    asked = hubspot_calls(*group, "--help")

    ended = hubspot_calls(*group)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == asked.out.splitlines()


@pytest.mark.parametrize("command", ["webhooks list", "keys list", "connections list", "history"])
def test_a_reading_command_makes_nothing_and_says_where_it_looked(
    command: str, hubspot_calls: HubSpotCalls, data_dir: Path
) -> None:
    missing = hubspot_calls(*command.split())
    was_made = data_dir.exists()
    data_dir.mkdir(exist_ok=True)
    empty = hubspot_calls(*command.split(), "--json")

    assert (missing.code, empty.code) == (0, 0)
    assert str(data_dir) in missing.err
    assert str(data_dir) in empty.err
    assert not was_made
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize("command", ["webhooks list", "keys create", "history", "sync"])
def test_a_file_in_place_of_the_data_directory_is_named(
    command: str, hubspot_calls: HubSpotCalls, data_dir: Path
) -> None:
    data_dir.touch()

    ended = hubspot_calls(*command.split())

    assert ended.code == 1
    assert ended.err == (
        f"hubspot-calls: HUBSPOT_CALLS_DATA_DIR {data_dir} is a file, not a directory;"
        " name another\n"
    )


def test_a_file_above_the_data_directory_is_named(
    hubspot_calls: HubSpotCalls, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir.touch()
    monkeypatch.setenv("HUBSPOT_CALLS_DATA_DIR", f"{data_dir}/below")

    ended = hubspot_calls("keys", "create")

    assert ended.code == 1
    assert f"cannot be made: {data_dir} is a file, not a directory" in ended.err


def test_the_simulator_says_which_port_is_taken_and_which_file_is_no_json(
    hubspot_calls: HubSpotCalls, tmp_path: Path
) -> None:
    contacts = tmp_path / "contacts.json"
    contacts.write_text("[\n  {,\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        listening = hubspot_calls("simulator", "--port", port)
        reading = hubspot_calls("simulator", "--contacts", str(contacts))

    assert (listening.code, reading.code) == (1, 1)
    assert f"127.0.0.1 port {port}: another program listens there" in listening.err
    assert f"{contacts} is no JSON: line 2" in reading.err


def test_wrong_settings_are_listed_one_a_line_and_exit_1(
    hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_LOG_LEVEL", "loud")
    monkeypatch.setenv("HUBSPOT_CALLS_DATADIR", "x")

    ended = hubspot_calls("webhooks", "list")

    assert ended.code == 1
    assert ended.err.splitlines() == [
        "hubspot-calls: HUBSPOT_CALLS_DATADIR is no setting; did you mean HUBSPOT_CALLS_DATA_DIR?",
        "hubspot-calls: HUBSPOT_CALLS_LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'",
    ]


def test_a_store_that_cannot_be_opened_is_one_line_and_exit_1(
    hubspot_calls: HubSpotCalls, data_dir: Path
) -> None:
    data_dir.mkdir()
    (data_dir / "store.db").write_text("this is no database, only a text of some length" * 50)

    ended = hubspot_calls("keys", "list")

    assert ended.code == 1
    assert "is damaged" in ended.err
    assert ended.err.count("\n") == 1


def test_ctrl_c_ends_quietly_with_130(
    hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(url: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "open_database", interrupted)

    ended = hubspot_calls("keys", "create")

    assert (ended.code, ended.err.strip()) == (130, "")


def test_the_top_of_the_command_loads_no_room() -> None:
    program = (
        "import sys, hubspot_calls.cli\n"
        "heavy = {'duckdb', 'sqlalchemy', 'httpx', 'starlette', 'uvicorn', 'singer_sdk'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


def _leaves(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        where = f"{path} {name}".strip()
        found += _leaves(command, where) if isinstance(command, click.Group) else [(where, command)]
    return found
