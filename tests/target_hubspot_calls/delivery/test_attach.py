"""Recordings: fetched, uploaded once, attached to a note that is already there."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery import attach
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.ledger import Ledger
from tests.target_hubspot_calls.delivery.conftest import Deliveries

CALL_ID = "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01"
UPLOAD = "POST /files/files"
LOOPBACK = {"recording_hosts": ["127.0.0.1"]}


def last_recording_status(runs: Deliveries) -> str | None:
    return str(runs.history("recording_status")[-1][0])


def test_a_recording_is_attached_to_its_note_as_a_private_file(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)

    counts = runs(a_call(recording_url=portal.recording_url("call.wav")))

    (file,) = portal.files()
    (note,) = portal.notes()
    assert counts == {"created": 1}
    assert (file["path"], file["access"]) == (
        f"/vapi-call-recordings/vapi-{CALL_ID}.wav",
        "PRIVATE",
    )
    assert note["properties"]["hs_attachment_ids"] == file["id"]
    assert "Recording: attached to this record" in note["properties"]["hs_note_body"]
    assert runs.history("status, reason, recording_status, file_id") == [
        ("success", "created", None, None),
        ("success", "created", "attached", file["id"]),
    ]


def test_the_note_is_there_before_its_recording(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)

    runs(a_call(recording_url=portal.recording_url("call.wav")))

    operations = [request.operation for request in portal.requests()]
    create = operations.index("POST /crm/objects/notes/batch/create")
    assert (
        create < operations.index(UPLOAD) < operations.index("POST /crm/objects/notes/batch/update")
    )


@pytest.mark.parametrize("duplicates_by", ["name", "content"])
def test_an_upload_whose_answer_was_lost_leaves_one_file(
    duplicates_by: str,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    portal.settings.file_duplicates_by = duplicates_by  # type: ignore[assignment]
    runs = deliver(**LOOPBACK)
    portal.add_fault("reset_after", path="*/files")

    runs(a_call(recording_url=portal.recording_url("call.wav")))
    runs.later_s = 60
    runs()

    assert len(portal.files()) == 1
    assert last_recording_status(runs) == "attached"


def test_an_uploaded_file_is_not_uploaded_again_when_attaching_failed(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)
    portal.add_fault("error", status=503, path="*/notes/batch/update", times=None)

    runs(a_call(recording_url=portal.recording_url("call.wav")))
    portal.clear_faults()
    runs.later_s = 60
    runs()

    assert portal.counts()[UPLOAD] == 1
    assert last_recording_status(runs) == "attached"


def test_a_later_report_keeps_the_attachment(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)
    url = portal.recording_url("call.wav")
    runs(a_call(recording_url=url, summary=None))

    counts = runs(a_call(recording_url=url))

    (note,) = portal.notes()
    assert counts == {"updated": 1}
    assert note["properties"]["hs_attachment_ids"] == portal.files()[0]["id"]
    assert "Friday at ten" in note["properties"]["hs_note_body"]
    assert runs.history("reason, recording_status")[-1] == ("updated", "attached")


def test_a_recording_that_comes_with_a_later_report_is_attached(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)
    runs(a_call())

    runs(a_call(recording_url=portal.recording_url("call.wav")))

    assert runs.history("recording_status")[0] == ("none",)
    assert last_recording_status(runs) == "attached"


REFUSED = {
    "expired": ({"status": 403}, "expired"),
    "too large": ({"size": 2_000_000}, "too_large"),
    "gone for good": ({"status": 501}, "unreachable"),
}


@pytest.mark.parametrize(("query", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_recording_that_cannot_be_had_never_holds_the_note_back(
    query: dict[str, int],
    status: str,
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
) -> None:
    runs = deliver(**LOOPBACK, recording_max_mb=1, public_url="https://calls.example.test")

    counts = runs(a_call(recording_url=portal.recording_url("call.wav", **query)))

    assert counts == {"created": 1}
    assert portal.files() == []
    assert runs.history("status, recording_status")[-1] == ("success", status)
    link = f"https://calls.example.test/recordings/{CALL_ID}"
    assert link in portal.notes()[0]["properties"]["hs_note_body"]


def test_a_private_address_is_never_asked(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver()

    runs(a_call(recording_url=portal.recording_url("call.wav")))

    assert last_recording_status(runs) == "blocked_address"
    assert portal.files() == []


def test_nothing_is_fetched_where_uploads_are_off(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK, upload_recordings=False)

    runs(a_call(recording_url=portal.recording_url("call.wav")))

    assert runs.history("recording_status") == [("disabled",)]
    assert portal.files() == []


def test_a_connection_without_the_files_scope_still_writes_notes(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    key = portal.add_service_key(
        DEFAULT_PORTAL, ["crm.objects.contacts.read", "crm.objects.contacts.write"]
    )
    runs = deliver(**LOOPBACK, service_key=key)

    runs(a_call(recording_url=portal.recording_url("call.wav")))
    counts = runs(a_call(id="another"))

    assert counts == {"created": 1}
    assert runs.history("recording_status")[1] == ("upload_failed",)


def test_a_recording_is_tried_again_after_a_refusal(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)
    portal.add_fault("error", status=503, path="*/files", times=None)

    runs(a_call(recording_url=portal.recording_url("call.wav")))
    portal.clear_faults()
    runs.later_s = 60
    runs()

    assert last_recording_status(runs) == "attached"
    assert len(portal.files()) == 1


@pytest.fixture
def vapi(portal: Simulator) -> Iterator[str]:
    """VAPI's API as far as recordings go: a redirect to a fresh link, for the right key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == "Bearer vapi-private-key"
            asked = self.path == f"/call/{CALL_ID}/mono-recording"
            self.send_response(302 if known and asked else 404)
            self.send_header("Location", portal.recording_url("fresh.wav"))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_of_a_dead_link_a_fresh_one_is_asked_of_vapi(
    vapi: str, deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK, vapi_api_key="vapi-private-key", vapi_api_url=vapi)
    dead = a_call(
        recording_url="https://a.r2.cloudflarestorage.com/x.wav",
        recording_expires_at="2026-11-20T15:35:00Z",
    )

    runs(dead)

    assert last_recording_status(runs) == "attached"
    assert len(portal.files()) == 1


def test_a_dead_link_without_vapis_key_is_expired(
    deliver: Callable[..., Deliveries], a_call: Callable[..., Call]
) -> None:
    runs = deliver()
    dead = a_call(
        recording_url="https://a.r2.cloudflarestorage.com/x.wav",
        recording_expires_at="2026-11-20T15:35:00Z",
    )

    runs(dead)

    assert last_recording_status(runs) == "expired"


def test_many_recordings_are_uploaded_at_once_and_attached_in_batches(
    deliver: Callable[..., Deliveries], portal: Simulator, a_call: Callable[..., Call]
) -> None:
    runs = deliver(**LOOPBACK)
    calls = [
        a_call(id=f"call-{i}", recording_url=portal.recording_url(f"r{i}.wav")) for i in range(40)
    ]

    counts = runs(*calls)

    assert counts == {"created": 40}
    assert len(portal.files()) == 40
    assert {n["properties"]["hs_attachment_ids"] for n in portal.notes()} == {
        file["id"] for file in portal.files()
    }
    assert portal.counts()["POST /crm/objects/notes/batch/update"] <= 2


def test_when_one_file_cannot_be_noted_the_others_in_flight_are_and_no_more_begin(
    deliver: Callable[..., Deliveries],
    portal: Simulator,
    a_call: Callable[..., Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attach, "UPLOADS_AT_ONCE", 4)
    runs = deliver(**LOOPBACK)
    save_file = Ledger.save_file
    told: list[str] = []

    def fail_once(self: Ledger, claim: Any, file_id: str, **options: Any) -> None:
        told.append(file_id)
        if len(told) == 1:
            raise StoreUnavailable("The disk is full.")
        save_file(self, claim, file_id, **options)

    monkeypatch.setattr(Ledger, "save_file", fail_once)
    portal.add_fault("delay", delay_s=0.3, path="*/files", nth=2, times=3)
    calls = [a_call(id=f"c{i}", recording_url=portal.recording_url(f"{i}.wav")) for i in range(9)]

    with pytest.raises(StoreUnavailable, match=r"^The disk is full\.$"):
        runs(*calls)

    with sqlite3.connect(runs.settings.data_dir / "store.db") as store:
        (noted,) = store.execute("select count(*) from calls where file_id is not null").fetchone()
    assert portal.counts()[UPLOAD] == len(told) == 4
    assert noted == 3
