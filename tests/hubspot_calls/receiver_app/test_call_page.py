"""The page of one call over HTTP: whatever the call is named, said, or has become."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import delete, select

from receiver.pages.call_address import call_page
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.ledger_rows import RefusedRecord
from target_hubspot_calls.store.schema import calls
from target_hubspot_calls.sync_log.log import SyncLog, drain
from tests.hubspot_calls.receiver_app.conftest import ADA, GRACE

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e'
NUMBERS = itertools.count(1)
NOT_FOUND = Outcome(
    Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact in HubSpot has this number."
)
CREATED = Outcome(
    Status.SUCCESS,
    Reason.CREATED,
    contact_id="501",
    contact_match="phone number, the only contact with it",
    engagement_id="9001",
    portal_id=77,
)


def stands(
    whole: Any, became: Outcome | None = None, /, *, of: Workspace = ADA, **record: Any
) -> str:
    """Brings a call of the workspace to an outcome; gives back its id."""
    told = {
        "id": f"call-{next(NUMBERS)}",
        "customer_number": "+12025550142",
        "direction": "inbound",
        "source": "webhook",
        "started_at": "2026-11-20T11:00:00Z",
        "received_at": "2026-11-20T11:05:00Z",
    } | record
    call = parse_call(told, of)
    whole.store.ledger.accept([call], now=AT)
    if became is not None:
        claims = whole.store.ledger.claim(of, holder="r/1", limit=99, for_s=9, now=AT)
        (claim,) = [claim for claim in claims if claim.call.id == call.id]
        others = [claim for claim in claims if claim.call.id != call.id]
        whole.store.ledger.release(others, holder="r/1", now=AT)
        whole.store.ledger.settle([(claim, became)], holder="r/1", kind="note", run_id="r", now=AT)
        drain(whole.store.outbox, SyncLog(whole.store.settings.sync_log))
    return call.id


def test_the_page_tells_of_a_written_call(shared_whole: Any) -> None:
    webhook, _ = shared_whole.store.webhooks.create(
        ADA.user_id, ADA.workspace_id, label="Front desk"
    )
    call_id = stands(
        shared_whole, CREATED, duration_ms=76_000, outcome="voicemail", webhook_id=webhook.id
    )

    text = shared_whole.ask("GET", call_page(call_id)).text

    for said in (
        "Call from", "+12025550142", "1 min 16 s", "Voicemail", "In HubSpot", "“Front desk”",
        "The only contact with this phone number.", "Note written",
        "https://app.hubspot.com/contacts/77/record/0-1/501",
    ):  # fmt: skip
        assert said in text
    assert "call-retry" not in text
    assert "data-live-mark" not in text


def test_what_is_not_shown_by_name_is_not_shown(shared_whole: Any) -> None:
    call_id = stands(
        shared_whole,
        CREATED,
        transcript="User: canary transcript",
        recording_url="https://recordings.example/canary.wav?X-Amz-Signature=canary",
        customer_email="canary@example.com",
        assistant_id="canary-assistant",
    )

    text = shared_whole.ask("GET", call_page(call_id)).text

    assert "canary@" not in text
    assert "canary transcript" not in text
    assert "canary-assistant" not in text
    assert "recordings.example" not in text
    assert f'href="/recordings/{call_id}"' in text


def test_hostile_text_is_text_everywhere(shared_whole: Any) -> None:
    fields = (
        "customer_number", "customer_name", "phone_number", "assistant_name", "direction",
        "outcome", "ended_reason", "summary", "webhook_id", "source",
    )  # fmt: skip
    refused = Outcome(
        Status.ERROR,
        Reason.REJECTED,
        message=HOSTILE,
        correlation_id=HOSTILE,
        contact_id=HOSTILE,
        contact_match=HOSTILE,
    )
    call_id = stands(
        shared_whole,
        refused,
        id=f"{HOSTILE[:-1]}{next(NUMBERS)}",
        structured_data={HOSTILE: HOSTILE},
        **dict.fromkeys(fields, HOSTILE),
    )

    answer = shared_whole.ask("GET", call_page(call_id))

    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text.replace('<img src="/static/icon', "")
    assert 'value="">' not in answer.text


@pytest.mark.parametrize(
    "name",
    ["a/b/c", "100%", "..", ".", "/../x", "a?b#c", "a b+c", "ünï/☎", "mark", "x/mark",
     "x/retry", "y" * 200],
)  # fmt: skip
def test_a_call_may_be_named_anything(shared_whole: Any, name: str) -> None:
    call_id = stands(shared_whole, NOT_FOUND, id=name)

    text = shared_whole.ask("GET", call_page(call_id)).text
    mark = shared_whole.ask("GET", call_page(call_id).replace("/calls/", "/call-mark/")).json()
    retried = shared_whole.ask("POST", call_page(call_id).replace("/calls/", "/call-retry/"))

    assert "Skipped" in text
    assert mark["mark"] == "20261120T120000.000000"
    assert retried.headers["location"] == call_page(call_id, notice="retry-queued")


@pytest.mark.parametrize(
    "path",
    ["/calls/nobody", "/calls/", "/calls/?id=", "/calls/" + "x" * 201, "/calls/a%00b",
     "/history/rows/nothing", "/history/rows/" + "x" * 101],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(shared_whole: Any, path: str) -> None:
    answer = shared_whole.ask("GET", path)

    assert answer.status_code == 404
    assert "<h1" in answer.text


def test_another_workspace_s_call_of_the_same_name_is_another_call(shared_whole: Any) -> None:
    call_id = stands(shared_whole, CREATED, summary="hers alone")
    stands(shared_whole, of=GRACE, id=call_id, summary="graces alone")

    text = shared_whole.ask("GET", call_page(call_id), of=GRACE).text

    assert "graces alone" in text
    assert "hers alone" not in text
    assert "record/0-1/501" not in text


def test_a_webhook_of_somebody_else_is_not_named(shared_whole: Any) -> None:
    hers, _ = shared_whole.store.webhooks.create(GRACE.user_id, GRACE.workspace_id, label="Secret")
    call_id = stands(shared_whole, CREATED, webhook_id=hers.id)

    text = shared_whole.ask("GET", call_page(call_id)).text

    assert "Secret" not in text
    assert "VAPI reported it." in text


def test_a_call_nobody_has_tried_yet_is_in_line_and_live(shared_whole: Any) -> None:
    call_id = stands(shared_whole)

    text = shared_whole.ask("GET", call_page(call_id)).text

    assert "was not tried yet" in text
    assert "What the note will say" in text
    assert f'data-live-mark="/call-mark/{call_id}"' in text


def test_a_call_only_the_history_knows_is_told_from_there(whole: Any) -> None:
    call_id = stands(whole, NOT_FOUND)
    with writing(whole.engine) as connection:
        connection.execute(delete(calls).where(calls.c.call_id == call_id))

    text = whole.ask("GET", call_page(call_id)).text

    assert "No contact with this number" in text
    assert "no longer kept here" in text
    assert "call-retry" not in text


def test_a_call_without_contact_says_to_create_one_first(shared_whole: Any) -> None:
    call_id = stands(shared_whole, NOT_FOUND)

    text = shared_whole.ask("GET", call_page(call_id)).text

    assert "https://app.hubspot.com/contacts/77/objects/0-1/views/all/list" in text
    assert "Create the contact in HubSpot, then retry the call." in text
    assert f'action="/call-retry/{call_id}"' in text


@pytest.mark.parametrize(
    ("outcome", "notice"),
    [(NOT_FOUND, "retry-queued"), (None, "retry-in-line"), (CREATED, "retry-written")],
    ids=["skipped", "new", "written"],
)
def test_retrying_says_what_it_came_to(shared_whole: Any, outcome: Any, notice: str) -> None:
    call_id = stands(shared_whole, outcome)

    answer = shared_whole.ask("POST", f"/call-retry/{call_id}")

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/calls/{call_id}?notice={notice}"


def test_retrying_what_is_not_there_is_refused(shared_whole: Any) -> None:
    assert shared_whole.ask("POST", "/call-retry/nobody").status_code == 404


def test_the_mark_changes_when_the_call_does(shared_whole: Any) -> None:
    call_id = stands(shared_whole, NOT_FOUND)
    before = shared_whole.ask("GET", f"/call-mark/{call_id}").json()["mark"]

    shared_whole.ask("POST", f"/call-retry/{call_id}")
    after = shared_whole.ask("GET", f"/call-mark/{call_id}").json()["mark"]
    page = shared_whole.ask("GET", f"/calls/{call_id}").text

    assert before != after
    assert f'data-mark="{after}"' in page


@pytest.mark.parametrize("address", ["/calls/test-71", "/calls/new-one?just=received"])
def test_a_call_that_was_just_reported_is_waited_for(shared_whole: Any, address: str) -> None:
    answer = shared_whole.ask("GET", address)

    assert answer.status_code == 200
    assert "Waiting for the sync" in answer.text
    assert "data-live-mark" in answer.text
    assert shared_whole.ask("GET", address.replace("/calls/", "/call-mark/")).json() == {"mark": ""}


def test_a_report_without_a_call_has_a_page_of_its_own(shared_whole: Any) -> None:
    refused = RefusedRecord("invalid-7", ADA, "A report cannot become a call: <b>no id</b>.")
    shared_whole.store.ledger.accept([], now=AT, refused=[refused])
    drain(shared_whole.store.outbox, SyncLog(shared_whole.store.settings.sync_log))

    text = shared_whole.ask("GET", "/history/rows/invalid-7").text
    hers = shared_whole.ask("GET", "/history/rows/invalid-7", of=GRACE)

    assert "Report unusable" in text
    assert "&lt;b&gt;no id&lt;/b&gt;" in text
    assert hers.status_code == 404


def test_a_row_of_a_call_leads_to_the_call(shared_whole: Any) -> None:
    call_id = stands(shared_whole, NOT_FOUND, id=f"a/{next(NUMBERS)}")
    logs = shared_whole.ask("GET", f"/api/hubspot/sync-logs?call_id={quote(call_id)}").json()

    answer = shared_whole.ask("GET", f"/history/rows/{logs['logs'][0]['id']}")

    assert answer.status_code == 303
    assert answer.headers["location"] == call_page(call_id)


def test_a_hundred_tries_are_folded(shared_whole: Any) -> None:
    call_id = stands(shared_whole)
    rows = [
        {
            "id": f"{call_id}-{number:03}",
            "user_id": ADA.user_id,
            "workspace_id": ADA.workspace_id,
            "call_id": call_id,
            "status": "error",
            "reason": "unavailable",
            "error_message": f"try number {number}",
            "attempt": number,
            "created_at": (AT + timedelta(minutes=number)).isoformat(),
        }
        for number in range(100)
    ]
    SyncLog(shared_whole.store.settings.sync_log).append(rows)

    text = shared_whole.ask("GET", call_page(call_id)).text

    assert "96 more tries" in text
    before, _, behind = text.partition("<details")
    assert "try number 1<" in before
    assert "try number 99<" in behind.partition("</details>")[2]


def test_while_the_history_is_busy_the_page_tells_what_the_ledger_knows(whole: Any) -> None:
    call_id = stands(whole, NOT_FOUND)

    with held_open(whole):
        known, unknown = (whole.ask("GET", f"/calls/{name}") for name in (call_id, "nobody"))

    assert known.status_code == 200
    assert "open in another program" in known.text
    assert "Skipped: no contact with this number" in known.text
    assert 'data-mark="20261120T120000.000000-late"' in known.text
    assert unknown.status_code == 503
    assert 'http-equiv="refresh"' in unknown.text


@contextmanager
def held_open(whole: Any) -> Iterator[None]:
    """Somebody else's program has the sync log open."""
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(whole.store.settings.sync_log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "\n"
    yield
    holder.communicate("\n", timeout=10)


def test_the_ledger_is_not_changed_by_looking(shared_whole: Any) -> None:
    call_id = stands(shared_whole, NOT_FOUND)

    def line() -> Any:
        with reading(shared_whole.engine) as connection:
            return connection.execute(select(calls).where(calls.c.call_id == call_id)).one()

    before = line()
    shared_whole.ask("GET", call_page(call_id))

    assert line() == before
