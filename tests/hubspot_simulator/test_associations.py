from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

OBJECTS = "/crm/objects/2026-09"
BATCH = "/crm/associations/2026-09"
Builder = Callable[..., dict[str, Any]]


@pytest.fixture
def note_id(client: httpx.Client, a_note: Builder) -> str:
    made: str = client.post(f"{OBJECTS}/notes", json=a_note(contact=None)).json()["id"]
    return made


def test_the_default_association_joins_both_ways(
    simulator: Simulator, client: httpx.Client, note_id: str, contact_id: str
) -> None:
    path = f"{OBJECTS}/notes/{note_id}/associations/default/contacts/{contact_id}"

    answers = [client.put(path) for _ in range(2)]

    spec = answers[0].json()["results"][0]["associationSpec"]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert spec == {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}
    assert simulator.notes()[0]["associations"] == {"contacts": [contact_id]}
    assert simulator.contacts()[0]["associations"] == {"notes": [note_id]}


def test_an_archived_contact_cannot_be_joined(
    simulator: Simulator, client: httpx.Client, note_id: str, contact_id: str
) -> None:
    simulator.archive_contact(contact_id)

    answer = client.put(f"{OBJECTS}/notes/{note_id}/associations/default/contacts/{contact_id}")

    assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")


def test_a_batch_joins_what_it_can(
    simulator: Simulator, client: httpx.Client, note_id: str, contact_id: str
) -> None:
    pairs = [
        {"from": {"id": note_id}, "to": {"id": contact_id}},
        {"from": {"id": note_id}, "to": {"id": "999"}},
    ]

    answer = client.post(f"{BATCH}/notes/contacts/batch/associate/default", json={"inputs": pairs})

    assert answer.status_code == 207
    assert answer.json()["numErrors"] == 1
    assert simulator.notes()[0]["associations"] == {"contacts": [contact_id]}


def test_a_batch_read_lists_notes_and_names_the_contact_without(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    made = [client.post(f"{OBJECTS}/notes", json=a_note()).json()["id"] for _ in range(2)]
    lonely = simulator.add_contact(firstname="Lone")
    body = {"inputs": [{"id": contact_id}, {"id": lonely}]}

    answer = client.post(f"{BATCH}/contacts/notes/batch/read", json=body)

    found = answer.json()["results"][0]
    assert answer.status_code == 207
    assert found["from"] == {"id": contact_id}
    assert [to["toObjectId"] for to in found["to"]] == made
    assert found["to"][0]["associationTypes"][0]["typeId"] == 201
    assert answer.json()["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert answer.json()["errors"][0]["context"]["fromObjectId"] == [lonely]


def test_long_lists_come_in_pages(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    simulator.settings.association_page_size = 2
    made = [client.post(f"{OBJECTS}/notes", json=a_note()).json()["id"] for _ in range(3)]
    path = f"{BATCH}/contacts/notes/batch/read"

    first = client.post(path, json={"inputs": [{"id": contact_id}]}).json()["results"][0]
    after = first["paging"]["next"]["after"]
    second = client.post(path, json={"inputs": [{"id": contact_id, "after": after}]}).json()
    listed = client.get(f"{OBJECTS}/contacts/{contact_id}/associations/notes").json()

    both = first["to"] + second["results"][0]["to"]
    assert [to["toObjectId"] for to in both] == made
    assert "paging" not in second["results"][0]
    assert listed["paging"]["next"]["after"] == "2"


def test_the_list_of_v3_has_its_own_shape(
    client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    note = client.post(f"{OBJECTS}/notes", json=a_note()).json()["id"]

    old = client.get(f"/crm/v3/objects/contacts/{contact_id}/associations/notes").json()

    assert old == {"results": [{"id": note, "type": "contact_to_note"}]}


def test_ids_may_come_as_numbers(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    simulator.settings.association_ids_as_numbers = True
    note = client.post(f"{OBJECTS}/notes", json=a_note()).json()["id"]

    listed = client.get(f"{OBJECTS}/contacts/{contact_id}/associations/notes").json()

    assert listed["results"][0]["toObjectId"] == int(note)


def test_parting_two_records(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str
) -> None:
    note = client.post(f"{OBJECTS}/notes", json=a_note()).json()["id"]

    answer = client.delete(f"{OBJECTS}/notes/{note}/associations/contacts/{contact_id}")

    assert answer.status_code == 204
    assert simulator.notes()[0]["associations"] == {}


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_read_has_at_most_a_thousand_inputs(client: httpx.Client, count: int) -> None:
    body = {"inputs": [{"id": "1"}] * count}

    answer = client.post(f"{BATCH}/contacts/notes/batch/read", json=body)

    assert answer.status_code == 400


def test_an_association_touches_the_contact(
    simulator: Simulator, client: httpx.Client, a_note: Builder, contact_id: str, clock: Any
) -> None:
    before = simulator.contacts()[0]["properties"]["lastmodifieddate"]
    clock.advance(60)

    client.post(f"{OBJECTS}/notes", json=a_note())

    assert simulator.contacts()[0]["properties"]["lastmodifieddate"] > before
