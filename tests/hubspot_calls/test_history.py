"""`history`: outcomes from the sync log, for people and for scripts."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from hubspot_calls.commands.history_follow import follow_history
from hubspot_calls.rooms import open_store, open_sync_log, open_sync_log_file
from hubspot_calls.settings import Settings
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import outbox
from target_hubspot_calls.sync_log.filters import HistoryFilter

HubSpotCalls = Callable[..., Any]

NOW = datetime.now(UTC)
OWNER = Workspace("default", "default")


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


def test_an_80_column_terminal_holds_the_table(
    log: Settings, environment: dict[str, str], on_a_terminal: Callable[..., str]
) -> None:
    shown = on_a_terminal(environment | {"NO_COLOR": "1"}, "history")

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[3:] == [
        "…00000001",
        "+14155550123",
        "100451",
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
    assert json.loads(scripts.out) == {"logs": [], "total": 0, "limit": 50, "by_status": {}}
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


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--number", "(415) 555-0123", "--since", "90m"), [1]),
        (("--number", "9999"), []),
        (("--query", "no CONTACT"), [2]),
        (("--reason", "contact-not-found"), [2]),
        (("--call-id", "…00000002"), [2]),
        (("--call-id", "01a1f97c-7301-7aa2-9c10-0000000000"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_calls_are_found_by_number_text_and_a_part_of_their_id(
    log: Settings,
    hubspot_calls: HubSpotCalls,
    arguments: tuple[str, ...],
    found: list[int] | None,
) -> None:
    ended = hubspot_calls("history", *arguments, "--json")

    if found is None:
        assert ended.code == 2
        assert "may be any of 01a1f97c-7301-7aa2-9c10-000000000001, 01a1f97c" in ended.err
    else:
        assert ids_of(ended.out) == found


def test_totals_by_status_stand_below_the_rows(log: Settings, hubspot_calls: HubSpotCalls) -> None:
    one, skipped = (
        hubspot_calls("history", "--limit", "1"),
        hubspot_calls("history", "--status", "skipped"),
    )

    assert one.err == (
        "3 outcomes: 1 error, 1 skipped, 1 success. The newest 1 of 3; --limit shows more.\n"
    )
    assert skipped.err == "1 outcome: 1 skipped.\n"


def test_scripts_get_the_totals_too(log: Settings, hubspot_calls: HubSpotCalls) -> None:
    told = json.loads(hubspot_calls("history", "--status", "error", "--json").out)

    assert told["by_status"] == {"success": 1, "skipped": 1, "error": 1}
    assert told["total"] == 1


def test_a_broad_terminal_shows_times_of_its_zone_and_each_day_once(
    log: Settings, environment: dict[str, str], on_a_terminal: Callable[..., str]
) -> None:
    shown = on_a_terminal(
        environment | {"NO_COLOR": "1", "COLUMNS": "130", "TZ": "Asia/Kolkata"}, "history"
    )

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]
    kolkata = ZoneInfo("Asia/Kolkata")
    newest, before = ((NOW - timedelta(hours=n)).astimezone(kolkata) for n in (1, 2))
    assert lines[0].split() == ["time", "(IST)", "call", "caller", "contact", "note", "outcome"]
    assert lines[1].startswith(f"{newest.day} {newest:%b} {newest:%H:%M:%S}".rjust(15))
    assert (f"{before:%b}" in lines[2]) == (before.date() != newest.date())


def test_colours_are_for_terminals_alone_and_not_where_nobody_wants_them(
    log: Settings,
    environment: dict[str, str],
    hubspot_calls: HubSpotCalls,
    on_a_terminal: Callable[..., str],
) -> None:
    plain = {name: value for name, value in environment.items() if name != "NO_COLOR"}

    coloured = on_a_terminal(plain, "history")
    unwanted = on_a_terminal(plain | {"NO_COLOR": "1"}, "history")
    piped = hubspot_calls("history")

    assert "\x1b[32msuccess created" in coloured
    assert not re.search(r"\x1b\[3[0-9]m", unwanted)
    assert "\x1b" not in piped.out


def test_a_piped_story_has_no_trailing_blanks(log: Settings, hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("history", "--call-id", "01a1f97c-7301-7aa2-9c10-000000000002")

    assert "Call 01a1f97c-7301-7aa2-9c10-000000000002" in ended.out
    assert any(line.startswith("  ") for line in ended.out.splitlines())
    assert [line for line in ended.out.splitlines() if line != line.rstrip()] == []


def test_a_story_on_a_terminal_wraps_under_its_step(
    log: Settings, environment: dict[str, str], on_a_terminal: Callable[..., str]
) -> None:
    shown = on_a_terminal(
        environment | {"NO_COLOR": "1", "COLUMNS": "50"},
        *("history", "--call-id", "01a1f97c-7301-7aa2-9c10-000000000002"),
    )

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 50
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_spreadsheet_gets_every_row(log: Settings, hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("history", "--csv")
    two = hubspot_calls("history", "--csv", "--limit", "2")

    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["status"] for row in rows] == ["success", "skipped", "error"]
    assert len(two.out.splitlines()) == 3


def test_a_long_export_is_read_in_pieces(
    log: Settings, hubspot_calls: HubSpotCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubspot_calls.commands.history._MOST_ROWS", 1)

    ended = hubspot_calls("history", "--csv")

    assert len(ended.out.splitlines()) == 4


def test_one_calls_story_is_told_in_order(settings: Settings, hubspot_calls: HubSpotCalls) -> None:
    with open_store(settings) as store:
        store.ledger.accept(
            [parse_call({"id": "call-1", "customer_number": "+14155550123"}, OWNER)], now=NOW
        )
        (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=9, now=NOW)
        outcome = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND)
        store.ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="", now=NOW)

    ended = hubspot_calls("history", "--call-id", "call-1")

    lines = [line.strip() for line in ended.out.splitlines()]
    assert lines[:4] == [
        "Call call-1",
        "Call with +14155550123, user default, workspace default",
        "Skipped: No contact with this number",
        "No contact in HubSpot has the caller's number.",
    ]
    assert lines.index(next(line for line in lines if line.endswith("Received"))) < lines.index(
        next(line for line in lines if line.endswith("Skipped: no contact with this number"))
    )
    assert ended.code == 0


def test_a_call_nobody_knows_is_one_line_that_says_what_to_do(
    log: Settings, hubspot_calls: HubSpotCalls
) -> None:
    ended = hubspot_calls("history", "--call-id", "call-77")

    assert (ended.code, ended.out) == (1, "")
    assert "nothing of such a call" in ended.err
    assert "`hubspot-calls history` shows the ids" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("pair", [("--csv", "--json"), ("--follow", "--json"), ("-f", "--csv")])
def test_ways_to_print_exclude_each_other(
    hubspot_calls: HubSpotCalls, pair: tuple[str, str]
) -> None:
    ended = hubspot_calls("history", *pair)

    assert ended.code == 2
    assert "exclude each other" in ended.err


def test_following_shows_new_rows_once_each_until_ctrl_c(
    log: Settings, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("history", "--follow", "--limit", "1")
    assert process.stdout is not None
    first = process.stdout.readline()
    open_sync_log(log).append(
        [
            an_outcome(0, call_id="call-new", created_at=datetime.now(UTC).isoformat()),
            an_outcome(
                90, call_id="call-late", created_at=(NOW - timedelta(minutes=1)).isoformat()
            ),
        ]
    )
    new = [process.stdout.readline() for _ in range(2)]

    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=20)

    assert "01a1f97c-7301-7aa2-9c10-000000000001" in first
    assert ["call-late" in new[0], "call-new" in new[1]] == [True, True]
    assert (rest, said, process.returncode) == ("", "", 0)


def test_following_loses_no_row_that_comes_while_the_first_are_shown(
    log: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = open_sync_log(log)

    class Busy:
        """A history into which a row is written before every look."""

        looks = 0

        def __getattr__(self, name: str) -> Any:
            if name in ("page", "rows_behind"):
                Busy.looks += 1
                at = datetime.now(UTC).isoformat()
                row = an_outcome(1000 + Busy.looks, call_id=f"new-{Busy.looks}", created_at=at)
                open_sync_log_file(log).append([row])
            return getattr(reader, name)

    turns = iter(range(3))

    def sleep(_: float) -> None:
        if next(turns) == 2:
            raise KeyboardInterrupt

    follow_history(Busy(), HistoryFilter(), limit=2, take_over=lambda: None, sleep=sleep)  # type: ignore[arg-type]

    lines = capsys.readouterr().out.splitlines()
    shown = [call for line in lines for call in re.findall(r"new-\d+", line)]
    assert sorted(set(shown)) == sorted(shown)
    assert {f"new-{n}" for n in range(2, Busy.looks + 1)} <= set(shown)
    assert not any("000000000002" in line for line in lines)


def test_a_reader_that_goes_away_is_no_error(
    log: Settings, start: Callable[..., subprocess.Popen[str]]
) -> None:
    for arguments in (("history", "--csv"), ("history",), ("history", "--json"), ("--help",)):
        process = start(*arguments)
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, said = process.communicate(timeout=20)

        assert "Traceback" not in said
        assert "Error" not in said
