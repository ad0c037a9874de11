"""What `hubspot-calls demo` does and prints, once its options are known.

Knows how to show it; what happens lives in `hubspot_calls.demo`.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from hubspot_calls.call_ids import shorten_ids
from hubspot_calls.demo.check import count_outcomes
from hubspot_calls.demo.folder import fresh_folder
from hubspot_calls.demo.live import stay_up
from hubspot_calls.demo.notes_page import build_notes_page
from hubspot_calls.demo.samples import load_samples
from hubspot_calls.demo.show import Interrupted, Result, Show
from hubspot_calls.demo.stage import Portal, Stage, set_stage
from hubspot_calls.log_setup import set_up_logging
from hubspot_calls.output import Column, is_wide, print_json, print_table, say
from hubspot_calls.settings import settings_from

_SHOWN_CALLS = 30
_NOTES_PAGE = "notes.html"


def show_demo(
    calls: int | None, data_dir: Path, *, once: bool, sync_command: str | None, as_json: bool
) -> int:
    """The exit code: 1 where a call did not become what it must."""
    set_up_logging(settings_from({"HUBSPOT_CALLS_LOG_LEVEL": "warning"}))
    samples = load_samples()
    folder_path = Path(os.path.abspath(data_dir))  # noqa: PTH100 - a link must stay visible
    try:
        with (
            fresh_folder(folder_path) as folder,
            set_stage(folder, samples.directory / "contacts.json") as stage,
        ):
            say(f"HubSpot simulator with {stage.portal.contacts} contacts at {stage.portal.url}")
            result = Show(stage, samples, tell=say, sync_command=sync_command).run(calls)
            _save_notes(stage.portal, folder)
            _print_result(result, folder, as_json=as_json)
            if once or result.differences:
                return 1 if result.differences else 0
            return _stay(stage)
    except Interrupted as err:
        say("Stopped before the end.")
        return 128 + err.signum


def _stay(stage: Stage) -> int:
    stay_up(stage, say)
    return 0


def _save_notes(portal: Portal, folder: Path) -> None:
    page = build_notes_page(portal.fetch_records("contacts"), portal.fetch_records("notes"))
    (folder / _NOTES_PAGE).write_text(page, encoding="utf-8")


def _print_result(result: Result, folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "calls": [_to_document(row, result) for row in result.outcomes],
                "posted": result.posted,
                "post_seconds": round(result.post_s, 3),
                "sync_seconds": round(result.sync_s, 3),
                "notes": result.notes,
                "differences": result.differences,
                "data_dir": str(folder),
            }
        )
    else:
        _print_outcomes(result)
        say(
            f"\n{result.posted} reports posted in {result.post_s:.1f} s"
            f" ({result.posted / result.post_s:.0f} a second),"
            f" {len(result.outcomes)} calls synced in {result.sync_s:.1f} s,"
            f" {result.notes} notes in the portal."
        )
    if result.differences:
        say(f"\n{len(result.differences)} differ from what they must be:")
        for difference in result.differences:
            say(f"  {difference}")
    else:
        say("Every call has the outcome it must have.\n")
    _say_where_to_look(folder)


def _print_outcomes(result: Result) -> None:
    shown = result.outcomes[:_SHOWN_CALLS]
    short = shorten_ids([str(row["call_id"]) for row in shown])
    columns = ("call", "number", "contact", "note", "recording", "status", "reason")
    click.echo()
    print_table(
        [Column(title, fold=title == "contact") for title in columns],
        [
            (
                row["call_id"] if is_wide() else short[str(row["call_id"])],
                row["phone_number"],
                result.names.get(str(row["contact_id"])),
                row["engagement_id"],
                row["recording_status"],
                row["status"],
                row["reason"],
            )
            for row in shown
        ],
    )
    if len(result.outcomes) > len(shown):
        click.echo(f"\n... and {len(result.outcomes) - len(shown)} more; all of them:")
        print_table(
            [Column("status"), Column("reason"), Column("calls")], count_outcomes(result.outcomes)
        )


def _to_document(row: dict[str, object], result: Result) -> dict[str, object]:
    return {
        "call_id": row["call_id"],
        "phone_number": row["phone_number"],
        "contact_id": row["contact_id"],
        "contact_email": result.emails.get(str(row["contact_id"])),
        "engagement_id": row["engagement_id"],
        "recording_status": row["recording_status"],
        "status": row["status"],
        "reason": row["reason"],
        "error_message": row["error_message"],
    }


def _say_where_to_look(folder: Path) -> None:
    here = _shown_path(folder)
    command = _shown_path(Path(sys.argv[0])) if sys.argv[0].endswith("hubspot-calls") else None
    query = "SELECT status, reason, count(*) AS calls FROM call_status GROUP BY ALL"
    code = (
        "import duckdb;"
        f" print(duckdb.connect({f'{here}/sync_log.duckdb'!r}, read_only=True).sql({query!r}))"
    )
    say("Look further:")
    say(
        f"  outcomes  HUBSPOT_CALLS_DATA_DIR={shlex.quote(here)}"
        f" {shlex.quote(command or 'hubspot-calls')} history"
    )
    say(f"  SQL       {shlex.quote(_shown_path(Path(sys.executable)))} -c {_quoted(code)}")
    say(f"  notes     {here}/{_NOTES_PAGE} (open it in a browser)")


def _quoted(code: str) -> str:
    """Code in double quotes for a shell; it holds none of its own, nor anything a shell expands."""
    return shlex.quote(code) if any(char in code for char in '"$`\\!') else f'"{code}"'


def _shown_path(path: Path) -> str:
    """The path as one types it here: relative where that is the shorter way."""
    absolute = path if path.is_absolute() else Path.cwd() / path
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)
