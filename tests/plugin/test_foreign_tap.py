"""Calls of a source that is none of ours: a CSV file by a public tap, renamed by stream maps."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.engagement import call_id_of_body
from target_hubspot_calls.target import TargetHubspotCalls

from .conftest import HOUSE, SCRIPTS, Project

COLUMNS = ("ref", "phone", "began", "seconds", "notes", "price", "extra")


def outcomes(data_dir: Path) -> dict[str, tuple[str, str | None]]:
    with duckdb.connect(data_dir / "sync_log.duckdb", read_only=True) as log:
        rows = log.execute("SELECT call_id, reason, contact_id FROM call_status").fetchall()
    return {call_id: (reason, contact) for call_id, reason, contact in rows}


@pytest.mark.timeout(180)
def test_the_example_brings_a_csv_files_calls_to_their_contacts(
    a_project: Callable[..., Project],
    meltano_scripts: Path,
    portal: Simulator,
    into_portal: dict[str, str],
) -> None:
    project = a_project(
        "examples/csv/meltano.yml",
        {
            "tap-spreadsheets": meltano_scripts / "tap-spreadsheets",
            "target-hubspot-calls": SCRIPTS / "target-hubspot-calls",
        },
        **into_portal,
    )
    shutil.copy(HOUSE / "examples/csv/phone_calls.csv", project.folder)

    ended = project.run("run", "tap-spreadsheets", "target-hubspot-calls")

    assert ended.returncode == 0, ended.stderr
    assert outcomes(project.folder / "hubspot-calls-data") == {
        "csv-1001": ("created", "101"),
        "csv-1002": ("created", "102"),
        "csv-1003": ("contact_not_found", None),
        "csv-1004": ("created", "103"),
        "csv-1005": ("no_phone_number", None),
    }
    bodies = {
        call_id_of_body(note["properties"]["hs_note_body"]): note["properties"]["hs_note_body"]
        for note in portal.notes()
    }
    assert "1 min 1 s" in bodies["csv-1001"]
    assert "20 Nov 2026, 16:30 UTC" in bodies["csv-1002"]


def listened(
    config: dict[str, Any], stream_map: dict[str, Any], *rows: dict[str, Any]
) -> dict[str, tuple[str, str | None]]:
    """What became of the rows of a source whose columns are all text."""
    columns = {column: {"type": ["string", "null"]} for column in COLUMNS}
    schema = {"type": "object", "properties": columns}
    messages: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "log", "key_properties": ["ref"], "schema": schema}
    ]
    messages += [{"type": "RECORD", "stream": "log", "record": row} for row in rows]
    mapped = {"__alias__": "calls", "__key_properties__": ["id"], "__else__": None, **stream_map}
    target = TargetHubspotCalls(config={**config, "stream_maps": {"log": mapped}})
    target.listen(io.StringIO("".join(json.dumps(message) + "\n" for message in messages)))
    return outcomes(Path(config["data_dir"]))


@pytest.fixture
def config(portal: Simulator, into_portal: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    return {
        "data_dir": str(tmp_path / "data"),
        "hubspot_api_url": portal.url,
        "service_key": into_portal["TARGET_HUBSPOT_CALLS_SERVICE_KEY"],
    }


pytestmark = pytest.mark.usefixtures("restore_signals")
STREAM_MAP = {
    "id": "ref",
    "customer_number": "phone",
    "started_at": "began",
    "duration_ms": "float(seconds) * 1000",
    "summary": "notes",
}


def test_an_empty_cell_is_a_missing_field_and_never_ends_the_run(
    config: dict[str, Any], portal: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"phone": "(415) 555-0123", "began": "2026-11-20T15:04:06Z", "notes": "Spoke."}

    found = listened(
        config,
        STREAM_MAP,
        {"ref": "a", "seconds": "61", **row},
        {"ref": "b", "seconds": "", **row},
        {"ref": "c", "seconds": "n/a", **row},
        {"ref": "d", "seconds": None, **row},
        {"ref": "e", **row},
    )

    assert found == dict.fromkeys("abcde", ("created", "101"))
    assert sum("1 min 1 s" in n["properties"]["hs_note_body"] for n in portal.notes()) == 1
    warnings = [r.message for r in caplog.records if r.name == TargetHubspotCalls.name]
    assert sum("log.duration_ms cannot be worked out" in message for message in warnings) == 1
    assert not any("n/a" in message for message in warnings)


def test_a_row_without_its_id_is_an_outcome_of_its_own(config: dict[str, Any]) -> None:
    row = {"phone": "(415) 555-0123", "began": "2026-11-20 15:04", "notes": "", "seconds": "1"}

    found = listened(config, STREAM_MAP, {"ref": "", **row}, {"ref": "b", **row})

    assert found.pop("b") == ("created", "101")
    assert [reason for reason, _ in found.values()] == ["invalid_record"]


TIMES = {
    "with a Z": "2026-11-20T15:04:06Z",
    "with an offset": "2026-11-20T16:04:06+01:00",
    "as UTC without a zone": "2026-11-20 15:04:06",
    "with parts of a second": "2026-11-20T15:04:06.789Z",
    "without seconds": "2026-11-20 15:04",
    "epoch seconds": "1795187046",
    "epoch milliseconds": "1795187046789",
}


@pytest.mark.parametrize("began", TIMES.values(), ids=TIMES.keys())
def test_a_time_is_read_in_the_ways_machines_write_it(
    began: str, config: dict[str, Any], portal: Simulator
) -> None:
    listened(config, STREAM_MAP, {"ref": "a", "phone": "4155550123", "began": began})

    [note] = portal.notes()
    stamped = datetime.fromisoformat(note["properties"]["hs_timestamp"])
    assert stamped.astimezone(UTC).replace(second=0, microsecond=0) == datetime(
        2026, 11, 20, 15, 4, tzinfo=UTC
    )


def test_a_time_as_people_write_it_is_read_by_an_expression(
    config: dict[str, Any], portal: Simulator
) -> None:
    stream_map = {
        **STREAM_MAP,
        "started_at": "datetime.datetime.strptime(began + ' +0100', '%d.%m.%Y %H:%M %z')",
    }

    found = listened(
        config,
        stream_map,
        {"ref": "a", "phone": "4155550123", "began": "20.11.2026 16:04"},
        {"ref": "b", "phone": "4155550123", "began": "yesterday"},
    )

    assert found["a"] == ("created", "101")
    assert found["b"][0] == "invalid_record"
    assert "20 Nov 2026, 15:04 UTC" in portal.notes()[0]["properties"]["hs_note_body"]


def test_a_filter_leaves_rows_out(config: dict[str, Any]) -> None:
    row = {"phone": "4155550123", "began": "2026-11-20 15:04"}
    stream_map = {**STREAM_MAP, "__filter__": "notes != 'test'"}

    found = listened(
        config, stream_map, {"ref": "a", "notes": "test", **row}, {"ref": "b", "notes": "", **row}
    )

    assert list(found) == ["b"]


def test_text_where_other_things_belong_does_no_harm(
    config: dict[str, Any], portal: Simulator
) -> None:
    stream_map = {**STREAM_MAP, "cost_usd": "price", "structured_data": "extra"}
    row = {"ref": "a", "phone": "4155550123", "began": "2026-11-20 15:04", "notes": "Spoke."}

    found = listened(config, stream_map, {**row, "price": "much", "extra": "Intent: reschedule"})

    assert found == {"a": ("created", "101")}
    assert "Spoke." in portal.notes()[0]["properties"]["hs_note_body"]
