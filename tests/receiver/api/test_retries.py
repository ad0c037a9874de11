"""Calls put back in line over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.ledger import Ledger

ADA, GRACE = Workspace("ada", "analytics"), Workspace("grace", "compilers")
RETRY = "/api/hubspot/retry"


def row_id(api, call_id, of=ADA):
    rows = api.get("/api/hubspot/sync-logs", of=of, params={"call_id": call_id}).json()["logs"]
    return rows[0]["id"]


def due(api):
    return {
        claim.call.id
        for workspace in (ADA, GRACE)
        for claim in Ledger(api.engine).claim(
            workspace, holder="run/9", limit=99, for_s=0, now=datetime.now(UTC)
        )
    }


def test_the_call_of_a_row_goes_back_in_line_once(api, outcomes):
    api.stands("call-1", outcomes["contact_not_found"])
    path = f"/api/hubspot/sync-logs/{row_id(api, 'call-1')}/retry"

    first, second = api.post(path), api.post(path)

    assert first.json() == {
        "success": True,
        "callId": "call-1",
        "queued": 1,
        "alreadyQueued": 0,
        "message": "The call is back in line.",
    }
    assert (second.status_code, second.json()["queued"], second.json()["alreadyQueued"]) == (
        200,
        0,
        1,
    )
    assert due(api) == {"call-1"}


def test_a_written_call_is_left_alone_and_that_is_said(api, outcomes):
    api.stands("call-1", outcomes["created"])

    answer = api.post(f"/api/hubspot/sync-logs/{row_id(api, 'call-1')}/retry")

    assert (answer.status_code, answer.json()["queued"]) == (200, 0)
    assert "already" in answer.json()["message"]
    assert due(api) == set()


def test_a_row_of_another_workspace_is_not_there(api, outcomes):
    api.stands("call-1", outcomes["rejected"])

    answer = api.post(f"/api/hubspot/sync-logs/{row_id(api, 'call-1')}/retry", of=GRACE)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert due(api) == set()


@pytest.mark.parametrize("given", ["nothing", "x" * 500, "%00"])
def test_a_row_that_is_not_there_is_said(api, given):
    assert api.post(f"/api/hubspot/sync-logs/{given}/retry").status_code == 404


def test_a_row_of_a_record_without_a_call_cannot_be_retried(api, a_row):
    row = a_row(call_id=None, status="error", reason="invalid_record")
    gone = a_row(call_id="not in the ledger", status="error", reason="rejected")
    api.log(row, gone)

    for each in (row, gone):
        answer = api.post(f"/api/hubspot/sync-logs/{each['id']}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")


@pytest.fixture
def some_undone(api, outcomes):
    api.stands("a", outcomes["contact_not_found"])
    api.stands("b", outcomes["rejected"], customer_number="+12025550199")
    api.stands("c", outcomes["created"])
    api.stands("hers", outcomes["rejected"], workspace=GRACE)
    return api


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (None, {"a", "b"}),
        ({}, {"a", "b"}),
        ({"status": "skipped"}, {"a"}),
        ({"reason": "rejected"}, {"b"}),
        ({"call_id": "c"}, set()),
        ({"call_id": "hers"}, set()),
        ({"phone_number": "+12025550199"}, {"b"}),
        ({"q": "(202) 555-0199"}, {"b"}),
        ({"q": "555-0199"}, {"b"}),
        ({"q": "  "}, {"a", "b"}),
        ({"since": "2026-03-01T12:00:00Z", "until": 1772366400001}, {"a", "b"}),
        ({"until": "2026-03-01T12:00:00Z"}, set()),
        ({"dryRun": False, "status": ""}, {"a", "b"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_all_that_match_go_back_in_line_and_a_dry_run_counts_them_first(some_undone, body, found):
    api = some_undone

    counted = api.post(RETRY, json={**(body or {}), "dryRun": True})
    untouched = due(api)
    done = api.post(RETRY, json=body) if body is not None else api.post(RETRY)

    assert untouched == set()
    told = counted.json()
    by_reason = told.pop("byReason")
    assert sum(group["queued"] for group in by_reason) == len(found)
    assert told == {
        "success": True,
        "dryRun": True,
        "matched": len(found),
        "queued": len(found),
        "alreadyQueued": 0,
    }
    assert done.json() == told | {"dryRun": False}
    assert due(api) == found


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"stauts": "error"}, "stauts"),
        ({"status": "success"}, "status"),
        ({"status": ["error"]}, "status"),
        ({"reason": 1}, "reason"),
        ({"dryRun": "perhaps"}, "dryRun"),
        ({"dryRun": 1}, "dryRun"),
        ({"call_id": {"$ne": 1}}, "call_id"),
        ({"since": True}, "since"),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_filter_with_a_fault_retries_nothing(some_undone, body, named):
    answer = some_undone.post(
        RETRY, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameters")
    assert named.lower() in answer.json()["error"].lower()
    assert due(some_undone) == set()


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "not_json"),
        (b"[1]", "application/json", 400, "not_an_object"),
        (b'"x"', "application/json", 400, "not_an_object"),
        (b"[" * 9000, "application/json", 400, "not_json"),
        (b'{"a":"\xff"}', "application/json", 400, "not_json"),
        (b'{"q":"\\ud800"}', "application/json", 400, "not_json"),
        (b"<a/>", "application/xml", 415, "unsupported_media_type"),
        (b"%ff=%ff", "application/x-www-form-urlencoded", 400, "not_a_form"),
        (b'{"q":"' + b"x" * 20_000 + b'"}', "application/json", 413, "body_too_large"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_body_that_cannot_be_read_retries_nothing(some_undone, content, kind, status, code):
    answer = some_undone.post(RETRY, content=content, headers={"Content-Type": kind})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert due(some_undone) == set()


def test_a_form_without_script_can_ask_too(some_undone):
    answer = some_undone.post(RETRY, data={"status": "skipped", "reason": "", "dryRun": "false"})

    assert answer.json()["queued"] == 1
    assert due(some_undone) == {"a"}


def test_parameters_in_the_address_are_no_filter(some_undone):
    answer = some_undone.post(f"{RETRY}?status=skipped")

    assert answer.status_code == 400
    assert due(some_undone) == set()
