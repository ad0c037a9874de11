from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

NOTES = "/crm/objects/2026-09/notes"
CALLS = "/crm/objects/2026-09/calls"
Builder = Callable[..., dict[str, Any]]


def test_a_note_is_created_with_its_association(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    answer = client.post(NOTES, json=a_note())

    note = simulator.notes()[0]
    assert answer.status_code == 201
    assert answer.json()["id"] == note["id"]
    assert note["associations"] == {"contacts": [contact_id]}
    assert simulator.contacts()[0]["associations"] == {"notes": [note["id"]]}


def test_associations_may_be_missing(client: httpx.Client) -> None:
    answer = client.post(NOTES, json={"properties": {"hs_timestamp": "1763633700000"}})

    assert answer.status_code == 201
    assert answer.json()["properties"]["hs_timestamp"] == "2025-11-20T10:15:00Z"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"properties": {"hs_note_body": "x"}}, "hs_timestamp", id="no-timestamp"),
        pytest.param(
            {"properties": {"hs_timestamp": "1", "colour": "red"}},
            "PROPERTY_DOESNT_EXIST",
            id="unknown-property",
        ),
        pytest.param(
            {"properties": {"hs_timestamp": "yesterday"}}, "INVALID_LONG", id="bad-timestamp"
        ),
        pytest.param(
            {"properties": {"hs_timestamp": "1", "hs_note_body": "x" * 65_537}},
            "INVALID_LENGTH",
            id="too-long",
        ),
        pytest.param(
            {"properties": {"hs_timestamp": "1", "hs_object_id": "5"}},
            "READ_ONLY_VALUE",
            id="read-only",
        ),
        pytest.param({"properties": {"hs_timestamp": 1}}, "Invalid input JSON", id="number"),
        pytest.param({"properties": {"hs_timestamp": None}}, "Invalid input JSON", id="null"),
        pytest.param({"properties": {}, "extra": 1}, "Invalid input JSON", id="unknown-key"),
        pytest.param({}, "Invalid input JSON", id="no-properties"),
        pytest.param([], "Invalid input JSON", id="no-object"),
    ],
)
def test_what_a_note_may_not_be_is_refused(
    simulator: Simulator, client: httpx.Client, body: Any, code: str
) -> None:
    answer = client.post(NOTES, json=body)

    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert code in answer.text
    assert simulator.notes() == []


def test_a_body_of_exactly_the_limit_is_kept(client: httpx.Client, a_note: Builder) -> None:
    answer = client.post(NOTES, json=a_note(hs_note_body="x" * 65_536))

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("type_id", "contact", "status"),
    [
        pytest.param(194, "known", 400, id="type-of-calls"),
        pytest.param(202, "999", 404, id="no-such-contact"),
    ],
)
def test_an_association_that_cannot_be_is_refused(
    simulator: Simulator,
    client: httpx.Client,
    a_note: Builder,
    contact_id: str,
    type_id: int,
    contact: str,
    status: int,
) -> None:
    note = a_note(contact=contact_id if contact == "known" else contact)
    note["associations"][0]["types"][0]["associationTypeId"] = type_id

    answer = client.post(NOTES, json=note)

    assert answer.status_code == status
    assert simulator.notes() == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("<p>a<!-- hidden --></p>", "<p>a</p>"),
        ("<p onclick='x()'>a</p>", "<p>a</p>"),
        ("a<script>alert(1)</script>b", "ab"),
        ('<a href="javascript:x()">a</a>', "<a>a</a>"),
        ('<a href="https://example.com/a">a</a>', '<a href="https://example.com/a">a</a>'),
        ("<p>a &amp; b &lt;c&gt;</p>", "<p>a &amp; b &lt;c&gt;</p>"),
        ("<table><tr><td>1</td></tr></table>", "<table><tr><td>1</td></tr></table>"),
        (
            '<img src="https://x.example/p.png" onerror="x()">',
            '<img src="https://x.example/p.png">',
        ),
        ("1 < 2", "1 &lt; 2"),
    ],
)
def test_rich_text_is_sanitised(
    simulator: Simulator, client: httpx.Client, a_note: Builder, sent: str, kept: str
) -> None:
    client.post(NOTES, json=a_note(hs_note_body=sent))

    assert simulator.notes()[0]["properties"]["hs_note_body"] == kept


def test_a_note_is_read_changed_and_archived_by_id(client: httpx.Client, a_note: Builder) -> None:
    note_id = client.post(NOTES, json=a_note()).json()["id"]

    read = client.get(
        f"{NOTES}/{note_id}", params={"properties": "hs_note_body,nope", "associations": "contact"}
    )
    changed = client.patch(f"{NOTES}/{note_id}", json={"properties": {"hs_note_body": "new"}})
    gone = client.delete(f"{NOTES}/{note_id}")
    after = client.get(f"{NOTES}/{note_id}")

    assert read.json()["properties"]["hs_note_body"] == "<p>Summary</p>"
    assert read.json()["associations"]["contacts"]["results"][0]["type"] == "note_to_contact"
    assert changed.json()["properties"]["hs_note_body"] == "new"
    assert (gone.status_code, gone.content) == (204, b"")
    assert (after.status_code, after.json()["category"]) == (404, "OBJECT_NOT_FOUND")


def test_a_read_shows_default_properties_unless_asked(
    client: httpx.Client, a_note: Builder
) -> None:
    note_id = client.post(NOTES, json=a_note()).json()["id"]

    read = client.get(f"{NOTES}/{note_id}").json()

    assert sorted(read["properties"]) == ["hs_createdate", "hs_lastmodifieddate", "hs_object_id"]


def test_a_unique_property_names_a_note(
    client: httpx.Client, a_note: Builder, call_id_property: str
) -> None:
    note_id = client.post(NOTES, json=a_note(vapi_call_id="call-1")).json()["id"]
    by_call = {"idProperty": call_id_property}

    read = client.get(f"{NOTES}/call-1", params=by_call)
    changed = client.patch(
        f"{NOTES}/call-1", params=by_call, json={"properties": {"hs_note_body": "new"}}
    )
    by_other = client.get(f"{NOTES}/x", params={"idProperty": "hs_note_body"})

    assert read.json()["id"] == note_id
    assert changed.json()["id"] == note_id
    assert (by_other.status_code, "non-unique" in by_other.text) == (400, True)


def test_a_taken_unique_value_is_a_validation_error(
    simulator: Simulator, client: httpx.Client, a_note: Builder, call_id_property: str
) -> None:
    client.post(NOTES, json=a_note(vapi_call_id="call-1"))

    again = client.post(NOTES, json=a_note(vapi_call_id="call-1"))

    assert again.status_code == 400
    assert again.json()["category"] == "VALIDATION_ERROR"
    assert "CONFLICTING_UNIQUE_VALUE" in again.json()["message"]
    assert "already has that value" in again.json()["message"]
    assert len(simulator.notes()) == 1


def test_an_archived_note_frees_its_unique_value(
    client: httpx.Client, a_note: Builder, call_id_property: str
) -> None:
    note_id = client.post(NOTES, json=a_note(vapi_call_id="call-1")).json()["id"]
    client.delete(f"{NOTES}/{note_id}")

    again = client.post(NOTES, json=a_note(vapi_call_id="call-1"))

    assert again.status_code == 201


def test_a_call_engagement_is_created(
    simulator: Simulator, client: httpx.Client, contact_id: str
) -> None:
    body = {
        "properties": {
            "hs_timestamp": "1763633700000",
            "hs_call_title": "Call",
            "hs_call_duration": "93000",
            "hs_call_direction": "INBOUND",
            "hs_call_status": "COMPLETED",
            "hs_call_recording_url": "https://example.com/r.mp3",
        },
        "associations": [
            {
                "to": {"id": contact_id},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 194}],
            }
        ],
    }

    answer = client.post(CALLS, json=body)

    assert answer.status_code == 201
    assert simulator.calls()[0]["associations"] == {"contacts": [contact_id]}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("hs_call_direction", "SIDEWAYS", "INVALID_OPTION"),
        ("hs_call_status", "completed", "INVALID_OPTION"),
        ("hs_call_duration", "1m", "INVALID_DOUBLE"),
        ("hs_call_recording_url", "http://example.com/r.mp3", "INVALID_URL"),
    ],
)
def test_a_wrong_call_property_is_refused(
    client: httpx.Client, name: str, value: str, code: str
) -> None:
    answer = client.post(CALLS, json={"properties": {"hs_timestamp": "1", name: value}})

    faults = json.loads(answer.json()["message"].removeprefix("Property values were not valid: "))
    assert (faults[0]["name"], faults[0]["error"]) == (name, code)


def test_a_second_contact_with_one_email_is_a_conflict(client: httpx.Client) -> None:
    body = {"properties": {"email": "a@example.com"}}
    first = client.post("/crm/objects/2026-09/contacts", json=body)

    again = client.post("/crm/objects/2026-09/contacts", json=body)

    assert again.status_code == 409
    assert again.json()["message"] == f"Contact already exists. Existing ID: {first.json()['id']}"


@pytest.mark.parametrize("kind", ["notes", "note", "0-46"])
@pytest.mark.parametrize(
    "prefix", ["/crm/objects/2026-09", "/crm/objects/2026-03", "/crm/v3/objects"]
)
def test_every_spelling_of_an_address_is_the_same_operation(
    client: httpx.Client, prefix: str, kind: str
) -> None:
    answer = client.post(f"{prefix}/{kind}", json={"properties": {"hs_timestamp": "1"}})

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/crm/objects/2024-01/notes", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/crm/objects/2026-09/spaceships/1", 400),
        ("PUT", "/crm/objects/2026-09/notes/batch/create", 405),
    ],
)
def test_an_address_that_is_none_is_refused_in_shape(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)

    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert answer.json()["correlationId"]


def test_a_body_that_is_not_json_by_type_is_refused(client: httpx.Client) -> None:
    answer = client.post(NOTES, content=b"{}", headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415


def test_records_are_listed_in_pages(client: httpx.Client, a_note: Builder) -> None:
    made = [client.post(NOTES, json=a_note()).json()["id"] for _ in range(3)]

    first = client.get(NOTES, params={"limit": 2}).json()
    second = client.get(NOTES, params={"after": first["paging"]["next"]["after"]}).json()

    assert [n["id"] for n in first["results"] + second["results"]] == made


def test_an_account_may_demand_more_of_a_note(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.portal().required_properties["notes"] = ("hubspot_owner_id",)

    without = client.post(NOTES, json=a_note())
    with_it = client.post(NOTES, json=a_note(hubspot_owner_id="501"))

    assert without.status_code == 400
    assert without.json()["errors"][0]["code"] == "MISSING_REQUIRED_PROPERTY"
    assert with_it.status_code == 201
