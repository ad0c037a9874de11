from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import hubspot_simulator
from hubspot_simulator import DEFAULT_PORTAL, Simulator

Builder = Callable[..., dict[str, Any]]
PORTAL = f"/_simulator/portals/{DEFAULT_PORTAL}"


def test_a_portal_is_set_up_over_http(client: httpx.Client) -> None:
    client.post("/_simulator/portals", json={"portal_id": 7}).raise_for_status()
    key = client.post("/_simulator/portals/7/service-keys", json={}).json()["key"]
    entries = [
        {"firstname": "Ann", "phone": "(202) 555-0123"},
        {"id": "55", "properties": {"firstname": "Bob", "mobilephone": "202-555-0124"}},
    ]
    made = client.post("/_simulator/portals/7/contacts", json=entries).json()["ids"]

    read = client.get(
        "/crm/objects/2026-09/contacts/55", headers={"Authorization": f"Bearer {key}"}
    )

    assert made[1] == "55"
    assert read.status_code == 200
    assert client.get("/_simulator/portals").json() == {"portals": [DEFAULT_PORTAL, 7]}


def test_an_app_is_set_up_over_http(client: httpx.Client) -> None:
    app = {"client_id": "c", "client_secret": "s", "redirect_uris": ["http://127.0.0.1/cb"]}
    client.post("/_simulator/apps", json=app).raise_for_status()
    tokens = client.post(f"{PORTAL}/tokens", json={"client_id": "c"}).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    before = client.get("/account-info/v3/details", headers=headers).status_code
    expired = client.post("/_simulator/tokens/expire", json={}).json()
    after = client.get("/account-info/v3/details", headers=headers).status_code
    revoked = client.post("/_simulator/tokens/revoke", json={"portal_id": DEFAULT_PORTAL}).json()

    assert (before, expired, after) == (200, {"expired": 1}, 401)
    assert revoked == {"revoked": 3}


def test_the_log_and_the_counts_are_readable(client: httpx.Client, a_note: Builder) -> None:
    client.post("/crm/objects/2026-09/notes", json=a_note())
    client.get("/crm/objects/2026-09/notes/404")

    log = client.get("/_simulator/requests", params={"status": 201}).json()
    counts = client.get("/_simulator/counts").json()

    assert log["total"] == 1
    assert log["requests"][0]["operation"] == "POST /crm/objects/notes"
    assert log["requests"][0]["portal_id"] == DEFAULT_PORTAL
    assert log["requests"][0]["body_size"] > 0
    assert counts["operations"] == {"POST /crm/objects/notes": 1, "GET /crm/objects/notes/{id}": 1}
    assert counts["statuses"] == {"201": 1, "404": 1}


def test_no_token_is_in_the_log(client: httpx.Client, key: str) -> None:
    client.get("/account-info/2026-09/details")

    assert key not in client.get("/_simulator/requests").text


def test_notes_calls_contacts_and_files_are_dumped(
    client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    client.post("/crm/objects/2026-09/notes", json=a_note())

    notes = client.get(f"{PORTAL}/notes").json()["results"]
    contacts = client.get(f"{PORTAL}/contacts").json()["results"]

    assert notes[0]["associations"] == {"contacts": [contact_id]}
    assert contacts[0]["id"] == contact_id
    assert client.get(f"{PORTAL}/calls").json() == {"results": []}
    assert client.get(f"{PORTAL}/files").json() == {"results": []}


def test_faults_and_settings_are_changed_over_http(client: httpx.Client) -> None:
    client.post("/_simulator/faults", json={"faults": [{"action": "error", "status": 502}]})
    client.patch("/_simulator/settings", json={"index_lag_s": 3}).raise_for_status()

    struck = client.get("/account-info/2026-09/details").status_code
    faults = client.get("/_simulator/faults").json()["faults"]
    client.delete("/_simulator/faults")

    assert struck == 502
    assert faults[0]["struck"] == 1
    assert client.get("/_simulator/faults").json() == {"faults": []}
    assert client.get("/_simulator/settings").json()["index_lag_s"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/_simulator/settings", {"colour": "red"}),
        ("PATCH", "/_simulator/settings", {"rate_limits": "no"}),
        ("POST", "/_simulator/faults", {"action": "explode"}),
        ("POST", "/_simulator/faults", {"faults": [{"status": 500}]}),
        ("POST", f"{PORTAL}/contacts", [{"nonsense": "x"}]),
    ],
)
def test_wrong_use_of_the_control_surface_is_said(
    client: httpx.Client, method: str, path: str, body: Any
) -> None:
    answer = client.request(method, path, json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_reset_empties_portals_and_keeps_keys(
    simulator: Simulator, client: httpx.Client, contact_id: str
) -> None:
    client.post("/_simulator/reset").raise_for_status()

    assert simulator.contacts() == []
    assert client.get("/account-info/2026-09/details").status_code == 200


def test_a_contact_is_archived_over_http(client: httpx.Client, contact_id: str) -> None:
    answer = client.delete(f"{PORTAL}/contacts/{contact_id}")

    assert answer.json() == {"archived": True}
    assert client.get(f"/crm/objects/2026-09/contacts/{contact_id}").status_code == 404


def test_a_recording_is_a_valid_wav(simulator: Simulator, client: httpx.Client) -> None:
    answer = client.get(simulator.recording_url("call-1.wav"))

    with wave.open(io.BytesIO(answer.content)) as recording:
        assert (recording.getframerate(), recording.getnframes()) == (8_000, 8_000)
    assert answer.headers["content-type"] == "audio/wav"


def test_a_recording_may_be_large_missing_or_elsewhere(
    simulator: Simulator, client: httpx.Client
) -> None:
    large = client.get(simulator.recording_url("a.wav", size=500_000, no_length=1))
    missing = client.get(simulator.recording_url("a.wav", status=403))
    elsewhere = client.get(simulator.recording_url("a.wav", redirect="http://127.0.0.1:9/"))

    assert len(large.content) == 500_000
    assert missing.status_code == 403
    assert elsewhere.headers["location"] == "http://127.0.0.1:9/"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_where_it_listens_and_ends_cleanly(
    tmp_path: Path, end: signal.Signals
) -> None:
    contacts = tmp_path / "contacts.json"
    contacts.write_text(json.dumps([{"firstname": "Ann", "phone": "(202) 555-0123"}]))
    command = [sys.executable, "-m", "hubspot_simulator", "--port", "0", "--print-json"]
    command += ["--contacts", str(contacts), "--service-key", "pat-na1-test"]

    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(hubspot_simulator.__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        headers = {"Authorization": "Bearer pat-na1-test"}
        listed = httpx.get(
            f"{said['url']}/crm/objects/2026-09/contacts", headers=headers, verify=False
        )
        process.send_signal(end)
        _, errors = process.communicate(timeout=10)

    assert listed.json()["results"][0]["properties"]["firstname"] == "Ann"
    assert (process.returncode, errors) == (0, "")


def test_the_program_refuses_a_port_in_use_in_one_line(simulator: Simulator) -> None:
    port = simulator.url.rpartition(":")[2]

    done = subprocess.run(
        [sys.executable, "-m", "hubspot_simulator", "--port", port],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(hubspot_simulator.__file__).parents[1],
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_number_is_found_among_ten_thousand_without_a_scan(
    simulator: Simulator, client: httpx.Client
) -> None:
    portal = simulator.portal()
    index = portal.indexes["contacts"]
    for n in range(200):
        simulator.add_contact(phone=f"(202) 555-{n:04d}")
    body = {
        "filterGroups": [
            {
                "filters": [
                    {
                        "propertyName": "hs_searchable_calculated_phone_number",
                        "operator": "IN",
                        "values": ["2025550123"],
                    }
                ]
            }
        ]
    }

    found = client.post("/crm/objects/2026-09/contacts/search", json=body).json()

    assert found["total"] == 1
    assert index.with_values("hs_searchable_calculated_phone_number", ["2025550123"]) == {
        found["results"][0]["id"]
    }


def test_stopping_ends_what_is_in_flight_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    simulator = Simulator(rate_limits=False)
    simulator.start()
    key = simulator.add_service_key()
    simulator.add_fault("delay", delay_s=60)
    ended: list[type[Exception]] = []

    def call() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        try:
            httpx.get(f"{simulator.url}/account-info/v3/details", headers=headers, verify=False)
        except httpx.TransportError as err:
            ended.append(type(err))

    caller = threading.Thread(target=call)
    caller.start()
    while not simulator.requests():
        time.sleep(0.005)
    started = time.monotonic()
    simulator.stop()
    caller.join(5)

    assert len(ended) == 1
    assert time.monotonic() - started < 2
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
