"""The shapes, judged by HubSpot's own client: it validates what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hubspot
import pytest
from hubspot.crm.associations.v4 import (
    BatchInputPublicDefaultAssociationMultiPost,
    BatchInputPublicFetchAssociationsBatchRequest,
)
from hubspot.crm.contacts import PublicObjectSearchRequest
from hubspot.crm.objects.notes import (
    ApiException,
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.properties import PropertyCreate

from hubspot_simulator import DEFAULT_PORTAL, Simulator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:hubspot")


@pytest.fixture
def official(simulator: Simulator, key: str) -> Any:
    return hubspot.HubSpot(access_token=key, host=simulator.url)


@pytest.fixture
def unique(official: Any) -> str:
    official.crm.properties.core_api.create(
        "notes",
        PropertyCreate(
            name="vapi_call_id",
            label="VAPI call id",
            type="string",
            field_type="text",
            group_name="notesinformation",
            has_unique_value=True,
        ),
    )
    return "vapi_call_id"


def test_a_contact_is_searched(official: Any, contact_id: str) -> None:
    request = PublicObjectSearchRequest(
        filter_groups=[
            {
                "filters": [
                    {
                        "propertyName": "hs_searchable_calculated_phone_number",
                        "operator": "IN",
                        "values": ["2025550123"],
                    }
                ]
            }
        ],
        properties=["phone", "hs_calculated_phone_number"],
        sorts=["createdate"],
        limit=200,
    )

    found = official.crm.contacts.search_api.do_search(request)

    assert found.total == 1
    assert found.results[0].id == contact_id
    assert found.results[0].properties["hs_calculated_phone_number"] == "+12025550123"


def test_a_note_lives_and_ends(official: Any, contact_id: str, a_note: Any) -> None:
    api = official.crm.objects.notes.basic_api
    made = api.create(SimplePublicObjectInputForCreate(**a_note()))

    read = api.get_by_id(made.id, properties=["hs_note_body"], associations=["contacts"])
    changed = api.update(made.id, SimplePublicObjectInput(properties={"hs_note_body": "new"}))
    api.archive(made.id)

    assert read.associations["contacts"].results[0].id == contact_id
    assert changed.properties["hs_note_body"] == "new"
    with pytest.raises(ApiException) as missing:
        api.get_by_id(made.id)
    assert missing.value.status == 404


def test_a_batch_with_one_bad_note_is_a_207(official: Any, a_note: Any) -> None:
    inputs = [
        {**a_note(), "objectWriteTraceId": "good"},
        {**a_note(colour="red"), "objectWriteTraceId": "bad"},
    ]

    done = official.crm.objects.notes.batch_api.create(
        BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs)
    )

    assert done.num_errors == 1
    assert done.errors[0].context["objectWriteTraceId"] == ["bad"]
    assert done.results[0].object_write_trace_id == "good"
    assert done.status == "COMPLETE"


def test_batches_read_update_upsert_and_archive(official: Any, a_note: Any, unique: str) -> None:
    api = official.crm.objects.notes.batch_api
    made = api.create(
        BatchInputSimplePublicObjectBatchInputForCreate(inputs=[a_note(vapi_call_id="call-1")])
    ).results[0]

    read = api.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[{"id": "call-1"}],
            id_property=unique,
            properties=["hs_note_body"],
            properties_with_history=[],
        )
    )
    updated = api.update(
        BatchInputSimplePublicObjectBatchInput(
            inputs=[{"id": made.id, "properties": {"hs_note_body": "two"}}]
        )
    )
    upserted = api.upsert(
        BatchInputSimplePublicObjectBatchInputUpsert(
            inputs=[
                {"id": "call-1", "idProperty": unique, "properties": {"hs_note_body": "three"}},
                {"id": "call-2", "idProperty": unique, "properties": {"hs_timestamp": "1"}},
            ]
        )
    )
    api.archive(BatchInputSimplePublicObjectId(inputs=[{"id": made.id}]))

    assert read.results[0].id == made.id
    assert updated.results[0].properties["hs_note_body"] == "two"
    assert sorted(found.new for found in upserted.results) == [False, True]


def test_associations_are_made_and_read(
    official: Any, simulator: Simulator, contact_id: str, a_note: Any
) -> None:
    note = official.crm.objects.notes.basic_api.create(
        SimplePublicObjectInputForCreate(**a_note(contact=None))
    )
    lonely = simulator.add_contact(firstname="Lone")
    api = official.crm.associations.v4.batch_api

    joined = api.create_default(
        "notes",
        "contacts",
        BatchInputPublicDefaultAssociationMultiPost(
            inputs=[{"from": {"id": note.id}, "to": {"id": contact_id}}]
        ),
    )
    found = api.get_page(
        "contacts",
        "notes",
        BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": contact_id}, {"id": lonely}]),
    )
    listed = official.crm.associations.v4.basic_api.get_page("contacts", contact_id, "notes")

    assert {r.association_spec.association_type_id for r in joined.results} == {201, 202}
    assert found.results[0].to[0].to_object_id == note.id
    assert listed.results[0].to_object_id == note.id
    assert listed.results[0].association_types[0].type_id == 201


def test_properties_are_read(official: Any, unique: str) -> None:
    api = official.crm.properties

    one = api.core_api.get_by_name("notes", unique)
    every = api.core_api.get_all("notes")
    groups = api.groups_api.get_all("notes")

    assert one.has_unique_value is True
    assert {"hs_note_body", unique} <= {found.name for found in every.results}
    assert groups.results[0].name == "notesinformation"


def test_a_file_is_uploaded(official: Any, tmp_path: Path) -> None:
    recording = tmp_path / "call-1.wav"
    recording.write_bytes(b"RIFF" * 50)
    options = json.dumps({"access": "PRIVATE", "duplicateValidationStrategy": "RETURN_EXISTING"})
    api = official.files.files_api

    first = api.upload(file=str(recording), folder_path="/vapi", options=options)
    again = api.upload(file=str(recording), folder_path="/vapi", options=options)
    signed = api.get_signed_url(first.id)

    assert first.id == again.id
    assert (first.name, first.path, first.size) == ("call-1", "/vapi/call-1.wav", 200)
    assert first.access == "PRIVATE"
    assert api.get_by_id(first.id).file_md5 == first.file_md5
    assert signed.url.startswith("http://127.0.0.1")
    assert [found.id for found in api.do_search(name="call-1").results] == [first.id]


def test_tokens_are_refreshed_and_read(official: Any, simulator: Simulator) -> None:
    simulator.add_app()
    issued = simulator.issue_tokens()

    fresh = official.oauth.tokens_api.create(
        grant_type="refresh_token",
        client_id="client-1",
        client_secret="client-secret-1",
        refresh_token=issued["refresh_token"],
    )
    access = official.oauth.access_tokens_api.get(fresh.access_token)
    refresh = official.oauth.refresh_tokens_api.get(fresh.refresh_token)

    assert (fresh.token_type, fresh.expires_in) == ("bearer", 1800)
    assert (access.hub_id, refresh.client_id) == (DEFAULT_PORTAL, "client-1")


def test_a_refusal_is_read(official: Any) -> None:
    with pytest.raises(ApiException) as refused:
        official.crm.objects.notes.basic_api.create(
            SimplePublicObjectInputForCreate(properties={"hs_note_body": "x"}, associations=[])
        )

    said = json.loads(refused.value.body)
    assert refused.value.status == 400
    assert {"status", "message", "correlationId", "category"} <= set(said)
    assert said["context"] == {"properties": ["hs_timestamp"]}
