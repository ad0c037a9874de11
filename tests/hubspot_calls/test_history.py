"""`history`: outcomes from the sync log, for people and for scripts."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from hubspot_calls.rooms import open_store, open_sync_log
from hubspot_calls.settings import Settings
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import outbox

HubSpotCalls = Callable[..., Any]

NOW = datetime.now(UTC)


def an_outcome(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-7000-8000-{number:012}",
        "user_id": "default",
        "workspace_id": "default",
        "call_id": f"01a1f97c-7301-7aa2-9c10-{number:012}",
        "contact_id": "100451",
        "engagement_id": f"90000{number:02}",
        "status": "success",
        "reason": "created",
        "retryable": False,
        "error_message": None,
        "phone_number": "+14155550123",
        "attempt": 1,
        "created_at": (NOW - timedelta(hours=number)).isoformat(),
    } | changes


@pytest.fixture
def log(settings: Settings) -> Settings:
    """A sync log with a success an hour ago, a skipped call and an error before it."""
    settings.data_dir.mkdir()
    open_sync_log(settings).append(
        [
            an_outcome(1),
            an_outcome(
                2,
                status="skipped",
                reason="contact_not_found",
                contact_id=None,
                engagement_id=None,
                error_message="No contact in HubSpot has this number.",
            ),
            an_outcome(30, status="error", reason="unavailable", workspace_id="acme"),
        ]
    )
    return settings


def ids_of(out: str) -> list[int]:
    return [int(row["id"][-4:]) for row in json.loads(out)["logs"]]


def test_the_newest_outcome_comes_first(log: Settings, hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("history", "--json")

    assert ended.code == 0
    assert ids_of(ended.out) == [1, 2, 30]
    assert json.loads(ended.out)["total"] == 3


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--status", "skipped"), [2]),
        (("--reason", "unavailable"), [30]),
        (("--since", "90m"), [1]),
        (("--until", "12h"), [30]),
        (("--call-id", "01a1f97c-7301-7aa2-9c10-000000000002"), [2]),
        (("--workspace", "acme"), [30]),
        (("--limit", "1"), [1]),
        (("--since", "1d", "--status", "error"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_filters_narrow_the_rows(
    log: Settings, hubspot_calls: HubSpotCalls, arguments: tuple[str, ...], found: list[int]
) -> None:
    assert ids_of(hubspot_calls("history", *arguments, "--json").out) == found


def test_the_piped_table_has_everything_in_one_line_a_call(
    log: Settings, hubspot_calls: HubSpotCalls
) -> None:
    lines = hubspot_calls("history").out.splitlines()

    assert lines[0].split() == (
        ["time", "(UTC)", "call", "number", "contact", "note", "status", "reason", "message"]
    )
    assert lines[2].endswith("skipped  contact_not_found  No contact in HubSpot has this number.")
    assert "01a1f97c-7301-7aa2-9c10-000000000001" in lines[1]


def test_a_record_without_an_id_has_a_dash_for_one(
    settings: Settings, hubspot_calls: HubSpotCalls
) -> None:
    settings.data_dir.mkdir()
    open_sync_log(settings).append([an_outcome(1, call_id=None)])

    lines = hubspot_calls("history").out.splitlines()

    assert lines[1].split()[2:4] == ["-", "+14155550123"]


def test_an_80_column_terminal_holds_the_table(log: Settings, environment: dict[str, str]) -> None:
    shown = _on_a_terminal(environment | {"NO_COLOR": "1"}, "history")

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[2:] == [
        "…00000001",
        "+14155550123",
        "100451",
        "9000001",
        "success",
        "created",
    ]
    assert "contact_not_found" in shown


def test_a_missing_data_directory_is_no_error_and_is_not_made(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    people = hubspot_calls("history")
    scripts = hubspot_calls("history", "--json")

    assert (people.code, people.out) == (0, "")
    assert "Nothing has been synced yet" in people.err
    assert json.loads(scripts.out) == {"logs": [], "total": 0, "limit": 50}
    assert not settings.data_dir.exists()


def test_an_empty_history_is_told_from_a_filter_that_finds_nothing(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    settings.data_dir.mkdir()

    empty = hubspot_calls("history")
    filtered = hubspot_calls("history", "--status", "error")

    assert "No outcome yet" in empty.err
    assert "No outcome matches" in filtered.err


def test_outcomes_that_wait_in_the_outbox_are_shown(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    row = an_outcome(5)
    with open_store(settings) as store, writing(store.engine) as connection:
        connection.execute(insert(outbox).values(id=row["id"], row=row, created_at=NOW))

    ended = hubspot_calls("history", "--json")

    assert ids_of(ended.out) == [5]


def test_a_sync_log_held_by_another_program_is_said_kindly(
    log: Settings, hubspot_calls: HubSpotCalls
) -> None:
    with held_open(log) as pid:
        ended = hubspot_calls("history")

    assert ended.code == 1
    assert f"is open in another program (PID {pid})" in ended.err
    assert ended.err.count("\n") == 1


def test_a_reader_elsewhere_does_not_hide_what_is_there(
    log: Settings, hubspot_calls: HubSpotCalls
) -> None:
    row = an_outcome(0)
    with open_store(log) as store, writing(store.engine) as connection:
        connection.execute(insert(outbox).values(id=row["id"], row=row, created_at=NOW))

    with held_open(log, read_only=True):
        ended = hubspot_calls("history", "--json")

    assert ids_of(ended.out) == [1, 2, 30]
    assert "1 newer outcome waits until the sync log can be written" in ended.err


@contextmanager
def held_open(log: Settings, *, read_only: bool = False) -> Iterator[int]:
    """The sync log, open in another process, whose id this lends."""
    program = (
        "import duckdb, sys\n"
        f"held = duckdb.connect(sys.argv[1], read_only={read_only})\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(log.sync_log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield holder.pid
    finally:
        holder.communicate()


def _on_a_terminal(environment: dict[str, str], *arguments: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hubspot_calls", *arguments],
        env=environment | {"TERM": "xterm", "COLUMNS": "80"},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.wait()
    os.close(ours)
    return shown.decode()
