from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

NOTES = "/crm/objects/2026-09/notes/batch"
Builder = Callable[..., dict[str, Any]]


def test_a_batch_comes_back_in_another_order(client: httpx.Client, a_note: Builder) -> None:
    inputs = [a_note(trace=f"t{n}", hs_note_body=str(n)) for n in range(100)]

    answer = client.post(f"{NOTES}/create", json={"inputs": inputs})

    bodies = [found["properties"]["hs_note_body"] for found in answer.json()["results"]]
    assert answer.status_code == 201
    assert answer.json()["status"] == "COMPLETE"
    assert sorted(map(int, bodies)) == list(range(100))
    assert bodies != [str(n) for n in range(100)]
    assert all(
        found["objectWriteTraceId"] == f"t{found['properties']['hs_note_body']}"
        for found in answer.json()["results"]
    )


def test_trace_ids_are_not_echoed_where_that_is_off(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.settings.echo_trace_ids = False

    answer = client.post(f"{NOTES}/create", json={"inputs": [a_note(trace="t1")]})

    assert "objectWriteTraceId" not in answer.json()["results"][0]


def test_with_trace_ids_only_the_bad_input_fails(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    inputs = [a_note(trace="good"), a_note(trace="bad", colour="red"), a_note(trace="fine")]

    answer = client.post(f"{NOTES}/create", json={"inputs": inputs})

    error = answer.json()["errors"][0]
    assert answer.status_code == 207
    assert answer.json()["numErrors"] == 1
    assert error["context"]["objectWriteTraceId"] == ["bad"]
    assert error["category"] == "VALIDATION_ERROR"
    assert "PROPERTY_DOESNT_EXIST" in error["message"]
    assert sorted(note["trace_id"] for note in simulator.notes()) == ["fine", "good"]


@pytest.mark.parametrize("traces", [(None, None), ("a", None), ("a", "a")])
def test_without_a_trace_id_each_one_bad_input_fails_all(
    simulator: Simulator,
    client: httpx.Client,
    a_note: Builder,
    traces: tuple[str | None, str | None],
) -> None:
    inputs = [a_note(trace=traces[0]), a_note(trace=traces[1], contact="999")]

    answer = client.post(f"{NOTES}/create", json={"inputs": inputs})

    assert answer.status_code == 400
    assert simulator.notes() == []


def test_one_unique_value_twice_in_a_batch_is_kept_once(
    simulator: Simulator, client: httpx.Client, a_note: Builder, call_id_property: str
) -> None:
    inputs = [a_note(trace="a", vapi_call_id="call-1"), a_note(trace="b", vapi_call_id="call-1")]

    answer = client.post(f"{NOTES}/create", json={"inputs": inputs})

    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["b"]
    assert "CONFLICTING_UNIQUE_VALUE" in answer.json()["errors"][0]["message"]
    assert len(simulator.notes()) == 1


@pytest.mark.parametrize("count", [0, 101])
@pytest.mark.parametrize("action", ["create", "read", "archive"])
def test_a_batch_has_one_to_a_hundred_inputs(
    client: httpx.Client, action: str, count: int, a_note: Builder
) -> None:
    one = a_note() if action == "create" else {"id": "1"}

    answer = client.post(f"{NOTES}/{action}", json={"inputs": [one] * count})

    assert answer.status_code == 400


def test_a_batch_read_names_what_is_missing(
    client: httpx.Client, a_note: Builder, call_id_property: str
) -> None:
    client.post(f"{NOTES}/create", json={"inputs": [a_note(vapi_call_id="call-1")]})
    body = {
        "idProperty": call_id_property,
        "inputs": [{"id": "call-1"}, {"id": "call-2"}],
        "properties": [call_id_property],
    }

    answer = client.post(f"{NOTES}/read", json=body)

    assert answer.status_code == 207
    assert [n["properties"][call_id_property] for n in answer.json()["results"]] == ["call-1"]
    assert answer.json()["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer.json()["errors"][0]["context"]["ids"] == ["call-2"]


def test_a_batch_update_changes_and_refuses_apart(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    note_id = client.post("/crm/v3/objects/notes", json=a_note()).json()["id"]
    new = {"hs_note_body": "new"}
    inputs = [
        {"id": note_id, "properties": new, "objectWriteTraceId": "a"},
        {"id": "404", "properties": new, "objectWriteTraceId": "b"},
    ]

    answer = client.post(f"{NOTES}/update", json={"inputs": inputs})

    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["b"]
    assert simulator.notes()[0]["properties"]["hs_note_body"] == "new"


def test_an_upsert_creates_then_changes(
    simulator: Simulator, client: httpx.Client, call_id_property: str
) -> None:
    def upsert(body: str) -> dict[str, Any]:
        item = {
            "id": "call-1",
            "idProperty": call_id_property,
            "properties": {"hs_timestamp": "1", "hs_note_body": body},
        }
        answer = client.post(f"{NOTES}/upsert", json={"inputs": [item]})
        result: dict[str, Any] = answer.json()["results"][0]
        return result

    first, second = upsert("one"), upsert("two")

    assert (first["new"], second["new"]) == (True, False)
    assert first["id"] == second["id"]
    assert len(simulator.notes()) == 1
    assert simulator.notes()[0]["properties"]["hs_note_body"] == "two"


def test_an_upsert_takes_no_associations_and_no_plain_property(
    client: httpx.Client, call_id_property: str
) -> None:
    item = {"id": "x", "idProperty": call_id_property, "properties": {"hs_timestamp": "1"}}

    linked = client.post(f"{NOTES}/upsert", json={"inputs": [{**item, "associations": []}]})
    plain = client.post(
        f"{NOTES}/upsert", json={"inputs": [{**item, "idProperty": "hs_note_body"}]}
    )

    assert linked.status_code == 400
    assert (plain.status_code, "non-unique" in plain.text) == (400, True)


def test_a_batch_archive_takes_notes_away(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    note_id = client.post("/crm/v3/objects/notes", json=a_note()).json()["id"]

    answer = client.post(f"{NOTES}/archive", json={"inputs": [{"id": note_id}, {"id": "404"}]})

    assert answer.status_code == 204
    assert simulator.notes() == []


def test_contacts_are_read_by_email(simulator: Simulator, client: httpx.Client) -> None:
    contact = simulator.add_contact(email="Ann@example.com")
    body = {"idProperty": "email", "inputs": [{"id": "ann@example.com"}], "properties": ["email"]}

    answer = client.post("/crm/objects/2026-09/contacts/batch/read", json=body)

    assert [found["id"] for found in answer.json()["results"]] == [contact]


def test_the_log_counts_inputs(simulator: Simulator, client: httpx.Client, a_note: Builder) -> None:
    client.post(f"{NOTES}/create", json={"inputs": [a_note(), a_note()]})

    entry = simulator.requests(operation="POST /crm/objects/notes/batch/create")[0]
    assert (entry.inputs, entry.status) == (2, 201)
