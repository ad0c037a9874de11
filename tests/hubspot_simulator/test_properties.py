from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

PATH = "/crm/properties/2026-09/notes"
NEW = {
    "name": "vapi_call_id",
    "label": "VAPI call id",
    "type": "string",
    "fieldType": "text",
    "groupName": "notesinformation",
    "hasUniqueValue": True,
}


def test_a_property_is_created_once(client: httpx.Client) -> None:
    before = client.get(f"{PATH}/vapi_call_id")
    made = client.post(PATH, json=NEW)
    again = client.post(PATH, json=NEW)
    after = client.get(f"{PATH}/vapi_call_id")

    assert (before.status_code, before.json()["category"]) == (404, "OBJECT_NOT_FOUND")
    assert made.status_code == 201
    assert (again.status_code, again.json()["category"]) == (409, "OBJECT_ALREADY_EXISTS")
    assert again.json()["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"
    assert after.json()["hasUniqueValue"] is True
    assert after.json()["hubspotDefined"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Call Id"},
        {"name": "hs_call_id"},
        {"groupName": "nowhere"},
        {"type": "string", "fieldType": "number"},
        {"type": "text"},
        {"unknown": 1},
        {"hasUniqueValue": "yes"},
        {"type": "enumeration", "fieldType": "select"},
    ],
    ids=str,
)
def test_a_wrong_property_is_refused(client: httpx.Client, wrong: dict[str, Any]) -> None:
    assert client.post(PATH, json={**NEW, **wrong}).status_code == 400


def test_a_portal_may_know_no_unique_notes(simulator: Simulator, client: httpx.Client) -> None:
    simulator.settings.unique_properties_on_activities = False

    unique = client.post(PATH, json=NEW)
    plain = client.post(PATH, json={**NEW, "hasUniqueValue": False})

    assert (unique.status_code, plain.status_code) == (400, 201)


def test_ten_unique_properties_are_enough(client: httpx.Client) -> None:
    statuses = [
        client.post(PATH, json={**NEW, "name": f"unique_{n}"}).status_code for n in range(11)
    ]

    assert statuses == [201] * 10 + [400]


def test_creating_a_property_needs_its_own_scope(
    simulator: Simulator, client: httpx.Client
) -> None:
    key = simulator.add_service_key(
        scopes=["crm.objects.contacts.read", "crm.objects.contacts.write"]
    )
    headers = {"Authorization": f"Bearer {key}"}

    made = client.post(PATH, json=NEW, headers=headers)
    listed = client.get(PATH, headers=headers)

    assert (made.status_code, made.json()["category"]) == (403, "MISSING_SCOPES")
    assert "hs_note_body" in {found["name"] for found in listed.json()["results"]}


def test_groups_are_listed_and_made(client: httpx.Client) -> None:
    made = client.post(f"{PATH}/groups", json={"name": "vapi", "label": "VAPI"})
    again = client.post(f"{PATH}/groups", json={"name": "vapi", "label": "VAPI"})

    names = [group["name"] for group in client.get(f"{PATH}/groups").json()["results"]]
    assert (made.status_code, again.status_code) == (201, 409)
    assert names == ["notesinformation", "vapi"]
    assert client.get(f"{PATH}/groups/none").status_code == 404


def test_only_a_custom_property_can_be_archived(client: httpx.Client) -> None:
    client.post(PATH, json=NEW)

    assert client.delete(f"{PATH}/vapi_call_id").status_code == 204
    assert client.get(f"{PATH}/vapi_call_id").status_code == 404
    assert client.delete(f"{PATH}/hs_note_body").status_code == 400


def test_the_portal_tells_who_it_is(client: httpx.Client) -> None:
    details = client.get("/account-info/2026-09/details").json()
    usage = client.get("/account-info/2026-09/api-usage/daily/private-apps").json()
    owners = client.get("/crm/owners/2026-09", params={"email": "owner@example.com"}).json()

    assert details["portalId"] == 48_000_001
    assert details["timeZone"] == "US/Eastern"
    assert usage["results"][0]["currentUsage"] == 2
    assert owners["results"][0]["id"] == "501"
