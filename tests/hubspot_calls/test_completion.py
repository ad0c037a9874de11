"""Completion in a shell: subcommands, options, choices; and the lines that switch it on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

HubSpotCalls = Callable[..., Any]

HEAVY = (
    "{'duckdb', 'sqlalchemy', 'httpx', 'starlette', 'uvicorn', 'pydantic', 'rich', 'singer_sdk'}"
)


def completed(environment: dict[str, str], words: str) -> list[str]:
    """What bash is offered for the last word of the line."""
    line = f"hubspot-calls {words}"
    done = subprocess.run(
        [sys.executable, "-m", "hubspot_calls"],
        env=environment
        | {
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
            "_HUBSPOT_CALLS_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [offered.partition(",")[2] for offered in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("hi", ["history"]),
        ("webhooks r", ["raw", "rotate"]),
        ("history --re", ["--reason"]),
        ("history --reason inv", ["invalid_phone_number", "invalid_record"]),
        ("retry --status ", ["error", "skipped"]),
        ("webhooks create --auth h", ["header", "hmac"]),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_a_shell_is_offered_what_can_follow(
    environment: dict[str, str], words: str, offered: list[str]
) -> None:
    assert completed(environment, words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_this_command(hubspot_calls: HubSpotCalls, shell: str) -> None:
    ended = hubspot_calls("completion", shell)

    assert (ended.code, ended.err) == (0, "")
    assert f"_HUBSPOT_CALLS_COMPLETE={shell}_complete" in ended.out
    if shutil.which(shell):
        read = subprocess.run([shell, "-n"], input=ended.out, text=True, capture_output=True)
        assert (read.returncode, read.stderr) == (0, "")


def test_the_shell_in_use_is_taken_where_none_is_named(
    hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    in_use = hubspot_calls("completion")
    monkeypatch.setenv("SHELL", "/bin/ksh")
    unknown = hubspot_calls("completion")

    assert "fish_complete" in in_use.out
    assert (unknown.code, unknown.out) == (2, "")
    assert "name your shell: bash, zsh, fish" in unknown.err


def test_a_shell_that_is_not_known_is_refused_by_the_arguments_name(
    hubspot_calls: HubSpotCalls,
) -> None:
    ended = hubspot_calls("completion", "tcsh")

    assert (ended.code, ended.out) == (2, "")
    assert "SHELL" in ended.err
    assert "there is no 'tcsh'; known are bash, zsh, fish" in ended.err


def test_completing_loads_no_room_so_that_a_tab_is_answered_at_once() -> None:
    program = (
        "import sys, hubspot_calls.cli as c\n"
        "for name in ('history', 'retry', 'webhooks', 'keys', 'connections', 'doctor', 'demo',"
        " 'completion'):\n"
        "    c.cli.get_command(None, name)\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "[]"
