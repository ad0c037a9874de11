"""The sync history over HTTP: the contract's fields, filters, pages, faults, a busy log."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from receiver.threads import WorkerThreads
from target_hubspot_calls.call import Workspace

ADA, GRACE = Workspace("ada", "analytics"), Workspace("grace", "compilers")
LOGS = "/api/hubspot/sync-logs"
NOON_MS = 1772366400000


def ids_of(answer):
    return [row["call_id"] for row in answer.json()["logs"]]


def test_the_reply_has_the_fields_of_the_contract(api, a_row):
    row = a_row(error_message="None.", retryable=True)
    api.log(row)

    answer = api.get(LOGS)

    assert answer.status_code == 200
    content = answer.json()
    assert {k: content[k] for k in ("success", "total", "limit", "offset")} == {
        "success": True,
        "total": 1,
        "limit": 50,
        "offset": 0,
    }
    assert content["asOf"] == row["id"]
    (log,) = content["logs"]
    assert log == {
        name: value for name, value in row.items() if name not in ("user_id", "workspace_id")
    } | {"created_at": NOON_MS, "call_started_at": NOON_MS - 120_000}


def test_rows_come_newest_first_in_pages(api, a_row):
    api.log(*(a_row(call_id=f"call-{n}", hours=n) for n in range(5)))

    first, second = api.get(f"{LOGS}?limit=2"), api.get(f"{LOGS}?limit=2&offset=2")

    assert (ids_of(first), ids_of(second)) == (["call-4", "call-3"], ["call-2", "call-1"])
    assert (second.json()["limit"], second.json()["offset"], second.json()["total"]) == (2, 2, 5)


def test_pages_stay_put_while_rows_arrive_late_ones_too(api, a_row):
    api.log(*(a_row(call_id=f"call-{n}", hours=n) for n in range(6)))
    first = api.get(f"{LOGS}?limit=3").json()

    api.log(a_row(call_id="newer", hours=50), a_row(call_id="late", hours=-50))
    api.log(a_row(call_id="amid", hours=1.5))
    second = api.get(LOGS, params={"limit": 3, "offset": 3, "as_of": first["asOf"]})

    assert ids_of(second) == ["call-2", "call-1", "call-0"]
    assert second.json()["total"] == 6
    assert api.get(LOGS).json()["total"] == 9


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=skipped", ["b"]),
        ("reason=created", ["c", "a"]),
        ("call_id=b", ["b"]),
        ("call_id=B", []),
        ("q=0199", ["b"]),
        ("phone_number=0199", ["b"]),
        ("phone_number=019", []),
        ("q=no+contact", ["b"]),
        ("q=%20", ["c", "b", "a"]),
        ("since=2026-03-01T13:00:00Z", ["c", "b"]),
        ("since=2026-03-01T14:00:00+01:00", ["c", "b"]),
        ("since=2026-03-01T14:00:00%2B01:00", ["c", "b"]),
        (f"until={NOON_MS + 1}", ["a"]),
        ("since=2026-03-01&until=2026-03-02", ["c", "b", "a"]),
        ("status=&reason=&q=", ["c", "b", "a"]),
        ("status=skipped&reason=created", []),
    ],
)
def test_filters_narrow_the_rows(api, a_row, query, found):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    api.log(
        a_row(call_id="a"),
        a_row(call_id="b", hours=1, phone_number="+12025550199", error_message="No contact.",
              **missed),
        a_row(call_id="c", hours=2),
    )  # fmt: skip

    answer = api.get(f"{LOGS}?{query}")

    assert ids_of(answer) == found
    assert answer.json()["total"] == len(found)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=done", ["status"]),
        ("reason=because", ["reason"]),
        ("limit=0", ["limit"]),
        ("limit=1001", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=1e3", ["limit"]),
        ("limit=%D9%A1", ["limit"]),
        ("offset=-1", ["offset"]),
        ("offset=99999999999999999999", ["offset"]),
        ("since=yesterday", ["since"]),
        ("until=2026-13-01", ["until"]),
        ("until=-5", ["until"]),
        ("until=999999999999999999999999", ["until"]),
        ("since=0001-01-01T00:00:00%2B14:00", ["since"]),
        (f"q={'x' * 201}", ["q"]),
        (f"call_id={'x' * 201}", ["call_id"]),
        ("stauts=error", ["stauts"]),
        ("status=error&status=success", ["status"]),
        ("status=x&reason=y&limit=z&offset=w&since=v&nonsense=1", [
            "status", "reason", "limit", "offset", "since", "nonsense"]),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_bad_parameters_are_refused_all_at_once(api, query, named):
    answer = api.get(f"{LOGS}?{query}")

    assert answer.status_code == 400
    content = answer.json()
    assert (content["success"], content["code"]) == (False, "invalid_parameters")
    assert [name for name in named if name not in content["error"].lower()] == []


def test_a_fault_repeats_no_value(api):
    answer = api.get(LOGS, params={"q": "4155550123" * 30, "status": "s3cret", "a\r\nb": "1"})

    assert answer.status_code == 400
    assert "415555" not in answer.text
    assert "s3cret" not in answer.text
    assert "\\r" not in answer.text


@pytest.mark.parametrize("as_of", ["nothing", "hers"])
def test_a_page_is_pinned_to_a_row_of_ones_own(api, a_row, as_of):
    hers = a_row(of=GRACE)
    api.log(a_row(), hers)

    answer = api.get(LOGS, params={"as_of": hers["id"] if as_of == "hers" else as_of})

    assert (answer.status_code, answer.json()["code"]) == (409, "unknown_row")


def test_before_the_first_outcome_the_history_is_empty(api):
    assert api.get(LOGS).json() | {"success": True} == {
        "success": True,
        "logs": [],
        "total": 0,
        "limit": 50,
        "offset": 0,
        "asOf": None,
    }


@pytest.mark.parametrize(
    "path",
    ["", ".csv", "/summary", "/days"],
)
def test_everybody_sees_only_their_own(api, a_row, path):
    api.log(a_row(call_id="hers-1", of=GRACE), a_row(call_id="hers-2", of=GRACE))

    mine, hers = api.get(LOGS + path), api.get(LOGS + path, of=GRACE)

    assert "hers" not in mine.text
    assert mine.json()["total"] == 0 if path in ("", "/summary") else True
    assert mine.text != hers.text


@contextmanager
def held_by_another_program(path):
    program = (
        "import duckdb, sys\n"
        "held = duckdb.connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.communicate()


@pytest.mark.parametrize(
    "path",
    [LOGS, f"{LOGS}.csv", f"{LOGS}/summary", f"{LOGS}/days", "/api/hubspot/unmatched-numbers"],
)
def test_a_log_that_is_open_elsewhere_is_said_kindly(api, a_row, tmp_path, path):
    api.log(a_row())

    with held_by_another_program(tmp_path / "sync_log.duckdb"):
        answer = api.get(path)

    assert answer.status_code == 503
    assert answer.json()["code"] == "sync_log_busy"
    assert int(answer.headers["retry-after"]) >= 1
    assert str(tmp_path) not in answer.text
    assert api.get(path).status_code == 200


def test_while_a_reader_waits_for_the_log_others_are_answered(serve_api, a_row, tmp_path):
    api = serve_api(wait_s=3.0)
    api.log(a_row())

    with held_by_another_program(tmp_path / "sync_log.duckdb"):
        waiting = [threading.Thread(target=api.get, args=(LOGS,)) for _ in range(4)]
        for thread in waiting:
            thread.start()
        time.sleep(0.2)
        started = time.monotonic()
        health = api.client.get("/healthz")
        took_s = time.monotonic() - started
        for thread in waiting:
            thread.join()

    assert health.status_code == 200
    assert took_s < 1.0


def test_more_readers_than_fit_in_line_are_asked_to_come_back(serve_api, a_row, tmp_path):
    api = serve_api(wait_s=2.0, threads=WorkerThreads("api", at_once=1, in_line=1))
    api.log(a_row())
    answers = []

    with held_by_another_program(tmp_path / "sync_log.duckdb"):
        asking = [threading.Thread(target=lambda: answers.append(api.get(LOGS))) for _ in range(6)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()

    codes = sorted(answer.json()["code"] for answer in answers)
    assert codes == ["busy"] * 4 + ["sync_log_busy"] * 2
    assert all("retry-after" in answer.headers for answer in answers)
    assert api.get(LOGS).status_code == 200


def test_a_file_that_is_no_log_is_said_without_its_path(api, tmp_path):
    (tmp_path / "sync_log.duckdb").write_bytes(b"no database at all" * 100)

    answer = api.get(LOGS)

    assert (answer.status_code, answer.json()["code"]) == (503, "sync_log_unavailable")
    assert str(tmp_path) not in answer.text


def test_the_summary_counts_rows_by_status_and_reason(api, a_row):
    lost = {"status": "error", "reason": "answer_lost"}
    api.log(a_row(), a_row(hours=1), a_row(**lost), a_row(of=GRACE, **lost))

    assert api.get(f"{LOGS}/summary").json() == {
        "success": True,
        "total": 3,
        "byStatus": {"success": 2, "error": 1, "skipped": 0},
        "byReason": [
            {"status": "success", "reason": "created", "count": 2},
            {"status": "error", "reason": "answer_lost", "count": 1},
        ],
    }


def test_days_count_calls_as_they_stand_in_the_readers_own_days(api, a_row):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    api.log(a_row(call_id="a", **missed), a_row(call_id="a", hours=1), a_row(call_id="b", **missed))

    assert api.get(f"{LOGS}/days?utc_offset_min=720").json() == {
        "success": True,
        "days": [{"day": "2026-03-02", "success": 1, "error": 0, "skipped": 1}],
        "utcOffsetMin": 720,
    }
    assert api.get(f"{LOGS}/days?utc_offset_min=841").status_code == 400


def test_unmatched_numbers_are_grouped(api, a_row):
    missed = {"status": "skipped", "reason": "contact_not_found"}
    api.log(a_row(call_id="a", **missed), a_row(call_id="b", hours=1, **missed))

    answer = api.get("/api/hubspot/unmatched-numbers?limit=10")

    assert answer.json() == {
        "success": True,
        "numbers": [
            {
                "phone_number": "+12025550142",
                "calls": 2,
                "first_call_at": NOON_MS - 120_000,
                "last_call_at": NOON_MS - 120_000,
                "last_call_id": "a",
            }
        ],
        "total": 1,
        "limit": 10,
        "offset": 0,
    }
    assert api.get("/api/hubspot/unmatched-numbers?status=error").status_code == 400


def test_one_call_tells_its_story(api, outcomes):
    api.stands("call/with a slash", outcomes["contact_not_found"])
    api.stands("another", outcomes["rejected"])

    answer = api.get("/api/hubspot/calls/call%2Fwith%20a%20slash")

    content = answer.json()
    assert content["call"] == {
        "call_id": "call/with a slash",
        "state": "settled",
        "status": "skipped",
        "reason": "contact_not_found",
        "attempt": 1,
        "accepted_at": NOON_MS,
        "settled_at": NOON_MS,
        "call_started_at": None,
        "contact_id": None,
        "contact_match": None,
        "engagement_id": None,
        "engagement_type": None,
        "portal_id": None,
        "file_id": None,
        "recording_status": None,
        "next_try_at": None,
    }
    assert [row["reason"] for row in content["logs"]] == ["contact_not_found"]


def test_a_call_without_an_outcome_yet_has_a_story_too(api):
    api.stands("call-1", None)

    content = api.get("/api/hubspot/calls/call-1").json()

    assert (content["call"]["state"], content["logs"]) == ("due", [])
    assert content["call"]["next_try_at"] > NOON_MS


@pytest.mark.parametrize("call_id", ["nothing", "call-1", "%00", "x" * 300, "%F0%9F%98%80"])
def test_a_call_that_is_not_ones_own_is_not_there(api, outcomes, call_id):
    api.stands("call-1", outcomes["created"])

    answer = api.get(f"/api/hubspot/calls/{call_id}", of=GRACE)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_export_is_the_filtered_history_as_csv(api, a_row):
    api.log(*(a_row(call_id=f"call-{n}", hours=n) for n in range(3)))
    api.log(a_row(call_id="x", status="error", reason="rejected", error_message="=1+1\nDana"))

    answer = api.get(f"{LOGS}.csv?status=error")

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="hubspot-sync-')
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["call_id"] == "x"
    assert row["error_message"] == "'=1+1 Dana"
    assert row["phone_number"] == "'+12025550142"
    assert row["created_at"] == "2026-03-01T12:00:00.000Z"
    assert "user_id" not in row


def test_a_long_export_comes_in_pieces_without_a_gap(api, a_row, monkeypatch):
    api.log(*(a_row(call_id=f"call-{n:03}", hours=n // 5) for n in range(95)))
    whole = api.sync_log.rows_behind
    monkeypatch.setattr(
        api.sync_log, "rows_behind", lambda wanted, **more: whole(wanted, **(more | {"limit": 10}))
    )

    rows = list(csv.DictReader(io.StringIO(api.get(f"{LOGS}.csv").text)))

    assert len(rows) == 95
    assert [row["id"] for row in rows] == [
        row["id"] for row in api.get(f"{LOGS}?limit=1000").json()["logs"]
    ]


def test_asking_for_the_headers_of_an_export_alone_reads_nothing(api):
    assert api.request("HEAD", f"{LOGS}.csv").status_code == 405
