from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import respx

from target_hubspot_calls.errors import (
    AccountMigrating,
    AnswerLost,
    DailyLimit,
    HubSpotError,
    Locked,
    MissingScope,
    RateLimited,
    Rejected,
    Unavailable,
)
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.hubspot.engagements import (
    ChangedEngagement,
    EngagementKind,
    NewEngagement,
)
from target_hubspot_calls.hubspot.files import FileUpload, UploadedFile
from target_hubspot_calls.hubspot.retry import RetryPolicy

SEARCH = "/crm/objects/2026-09/contacts/search"
CREATE = "/crm/objects/2026-09/notes/batch/create"
UPDATE = "/crm/objects/2026-09/notes/batch/update"
READ = "/crm/objects/2026-09/notes/batch/read"
ASSOCIATIONS = "/crm/associations/2026-09/contacts/notes/batch/read"
PROPERTIES = "/crm/properties/2026-09/notes"
ONE_NOTE = NewEngagement("call-1", "301", {"hs_timestamp": "1", "vapi_call_id": "call-1"})
CREATED = {"results": [{"id": "9001", "properties": {"vapi_call_id": "call-1"}}]}


@pytest.fixture
def hubspot() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url="https://api.hubapi.com") as router:
        yield router


@pytest.fixture
def ask(a_client: Callable[..., HubSpotClient]) -> Callable[..., Any]:
    """Runs one conversation with HubSpot and gives back what it came to."""

    def run(action: Callable[[HubSpotClient], Awaitable[Any]], **options: Any) -> Any:
        async def scenario() -> Any:
            async with a_client(**options) as client:
                return await action(client)

        return asyncio.run(scenario())

    return run


def sent(route: respx.Route, call: int = -1) -> Any:
    return json.loads(route.calls[call].request.content)


def a_contact(contact_id: str) -> dict[str, Any]:
    return {"id": contact_id, "properties": {"phone": "+1 202 555 0123"}}


def create_one(client: HubSpotClient) -> Awaitable[Any]:
    return client.create_engagements(EngagementKind.NOTE, [ONE_NOTE])


def test_a_search_pages_until_the_end(hubspot: respx.MockRouter, ask: Callable[..., Any]) -> None:
    pages = [
        {"results": [a_contact("1")], "paging": {"next": {"after": "200"}}},
        {"results": [a_contact("2")]},
    ]
    route = hubspot.post(SEARCH).mock(
        side_effect=[httpx.Response(200, json=page) for page in pages]
    )

    found = ask(lambda client: client.search_contacts(["2025550123"]))

    assert [contact.id for contact in found] == ["1", "2"]
    assert [sent(route, call).get("after") for call in (0, 1)] == [None, "200"]


def test_a_search_with_too_many_results_is_split(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        numbers = json.loads(request.content)["filterGroups"][0]["filters"][0]["values"]
        if len(numbers) > 1:
            paging = {"next": {"after": "10000"}}
            return httpx.Response(200, json={"results": [a_contact("1")], "paging": paging})
        return httpx.Response(200, json={"results": [a_contact(numbers[0])]})

    hubspot.post(SEARCH).mock(side_effect=answer)

    found = ask(lambda client: client.search_contacts(["20", "30", "40"]))

    assert [contact.id for contact in found] == ["20", "30", "40"]


@pytest.mark.parametrize("after", ["0", "-1", "next", "200.0"])
def test_search_pages_that_lead_nowhere_are_unavailable(
    after: str, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.post(SEARCH).respond(json={"results": [], "paging": {"next": {"after": after}}})

    with pytest.raises(Unavailable):
        ask(lambda client: client.search_contacts(["2025550123"]))


def test_a_search_that_hubspot_would_refuse_is_never_sent(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match="too many"):
        ask(lambda client: client.search_contacts([str(n) for n in range(1000, 1200)]))


def test_notes_are_created_with_trace_ids_and_their_contact(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post(CREATE).respond(201, json=CREATED)

    result = ask(create_one)

    assert [item.id for item in result.engagements] == ["9001"]
    assert sent(route) == {
        "inputs": [
            {
                "objectWriteTraceId": "call-1",
                "properties": {"hs_timestamp": "1", "vapi_call_id": "call-1"},
                "associations": [
                    {
                        "to": {"id": "301"},
                        "types": [
                            {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}
                        ],
                    }
                ],
            }
        ]
    }


def test_a_call_is_associated_as_a_call(hubspot: respx.MockRouter, ask: Callable[..., Any]) -> None:
    route = hubspot.post("/crm/objects/2026-09/calls/batch/create").respond(201, json=CREATED)

    ask(lambda client: client.create_engagements(EngagementKind.CALL, [ONE_NOTE]))

    assert sent(route)["inputs"][0]["associations"][0]["types"][0]["associationTypeId"] == 194


def test_a_207_tells_apart_what_was_written_and_what_refused(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    error = {
        "category": "VALIDATION_ERROR",
        "message": "bad",
        "context": {"objectWriteTraceId": ["call-2"]},
    }
    hubspot.post(CREATE).respond(
        207, json={**CREATED, "numErrors": 1, "errors": [error], "correlationId": "c0ffee"}
    )
    second = NewEngagement("call-2", "302", {})

    result = ask(lambda client: client.create_engagements(EngagementKind.NOTE, [ONE_NOTE, second]))

    assert [item.id for item in result.engagements] == ["9001"]
    assert list(result.errors) == ["call-2"]
    assert result.errors["call-2"].correlation_id == "c0ffee"


UNREADABLE = {
    "empty": b"",
    "html": b"<html>ok</html>",
    "a list": b"[]",
    "cut": b'{"results":[{"id":"9001","prop',
    "no results": b"{}",
    "short": b'{"results":[]}',
    "not utf-8": b'{"results":[{"id":"\xff"}]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_2xx_to_a_create_is_a_lost_answer_and_not_repeated(
    body: bytes, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post(CREATE).respond(201, content=body)

    with pytest.raises(AnswerLost):
        ask(create_one)
    assert route.call_count == 1


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_2xx_to_an_update_is_repeated(
    body: bytes, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post(UPDATE).mock(
        side_effect=[httpx.Response(200, content=body), httpx.Response(200, json=CREATED)]
    )
    change = ChangedEngagement("call-1", "9001", {"hs_note_body": "<p>More</p>"})

    result = ask(lambda client: client.update_engagements(EngagementKind.NOTE, [change]))

    assert [item.id for item in result.engagements] == ["9001"]
    assert sent(route) == {
        "inputs": [
            {
                "id": "9001",
                "objectWriteTraceId": "call-1",
                "properties": {"hs_note_body": "<p>More</p>"},
            }
        ]
    }


@pytest.mark.parametrize(
    ("answer", "error", "tries"),
    [
        (httpx.Response(400, json={"category": "VALIDATION_ERROR"}), Rejected, 1),
        (httpx.Response(403, json={"category": "MISSING_SCOPES"}), MissingScope, 1),
        (httpx.Response(423, json={}), Locked, 3),
        (httpx.Response(429, json={"policyName": "SECONDLY"}), RateLimited, 3),
        (httpx.Response(429, json={"policyName": "DAILY"}), DailyLimit, 1),
        (httpx.Response(477, headers={"retry-after": "60"}), AccountMigrating, 1),
        (httpx.Response(502), AnswerLost, 1),
        (httpx.Response(408), AnswerLost, 1),
        (httpx.ReadError("reset"), AnswerLost, 1),
        (httpx.ReadTimeout("silent"), AnswerLost, 1),
        (httpx.ConnectError("refused"), Unavailable, 3),
    ],
    ids=lambda value: repr(value) if not isinstance(value, type | int) else "",
)
def test_a_create_is_repeated_only_where_it_was_certainly_not_done(
    answer: Any,
    error: type[HubSpotError],
    tries: int,
    hubspot: respx.MockRouter,
    ask: Callable[..., Any],
) -> None:
    answers = [answer] * 3 if isinstance(answer, Exception) else None
    route = hubspot.post(CREATE)
    route.mock(side_effect=answers) if answers else route.mock(return_value=answer)

    with pytest.raises(HubSpotError) as failed:
        ask(create_one)

    assert type(failed.value) is error
    assert route.call_count == tries


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(423, json={}),
        httpx.Response(429, json={"policyName": "SECONDLY"}),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(524),
        httpx.Response(408),
        httpx.Response(200, content=b"<html>"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("silent"),
        httpx.ConnectTimeout("silent"),
    ],
    ids=repr,
)
def test_a_read_is_repeated_on_anything_transient(
    answer: Any, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.post(READ).mock(side_effect=[answer, httpx.Response(200, json=CREATED)])

    found = ask(lambda client: client.read_engagements(EngagementKind.NOTE, ["9001"], []))

    assert [item.id for item in found] == ["9001"]


def test_hubspots_wish_beats_our_own_guess(
    hubspot: respx.MockRouter, ask: Callable[..., Any], clock: Any
) -> None:
    limited = httpx.Response(429, headers={"retry-after": "4"}, json={"policyName": "SECONDLY"})
    hubspot.post(CREATE).mock(side_effect=[limited, httpx.Response(201, json=CREATED)])

    ask(create_one)

    assert 4.0 <= sum(clock.slept) <= 4.4


def test_waiting_is_bounded_in_seconds(
    hubspot: respx.MockRouter, ask: Callable[..., Any], clock: Any
) -> None:
    limited = httpx.Response(429, headers={"retry-after": "40"}, json={"policyName": "SECONDLY"})
    route = hubspot.post(CREATE).mock(return_value=limited)

    with pytest.raises(RateLimited) as failed:
        ask(create_one, retry=RetryPolicy(tries=9, total_wait_s=60))

    assert route.call_count == 2
    assert failed.value.retry_after_s == 40.0
    assert sum(clock.slept) <= 60


def test_contacts_are_read_by_id_and_by_email_in_hundreds(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post("/crm/objects/2026-09/contacts/batch/read").respond(
        json={"status": "COMPLETE", "results": [a_contact("1")]}
    )

    by_id = ask(lambda client: client.read_contacts(ids=[str(n) for n in range(150)] + ["7"]))
    by_email = ask(lambda client: client.read_contacts(emails=[" Rosa@Mail.example "]))

    assert [contact.id for contact in by_id] == ["1", "1"]
    assert [len(sent(route, call)["inputs"]) for call in (0, 1)] == [100, 50]
    assert "idProperty" not in sent(route, 0)
    assert [contact.id for contact in by_email] == ["1"]
    assert sent(route)["inputs"] == [{"id": "rosa@mail.example"}]
    assert sent(route)["idProperty"] == "email"


def test_contacts_are_read_by_one_way_at_a_time(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match="by ids or by emails"):
        ask(lambda client: client.read_contacts())


def test_a_contact_is_created(hubspot: respx.MockRouter, ask: Callable[..., Any]) -> None:
    route = hubspot.post("/crm/objects/2026-09/contacts").respond(201, json=a_contact("77"))

    contact = ask(lambda client: client.create_contact({"phone": "+12025550123"}))

    assert contact.id == "77"
    assert sent(route) == {"properties": {"phone": "+12025550123"}, "associations": []}


def test_engagements_that_are_not_there_are_left_out(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    absent = {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["call-2"]}}
    route = hubspot.post(READ).respond(207, json={**CREATED, "errors": [absent]})

    found = ask(
        lambda client: client.read_engagements_by_call_id(
            EngagementKind.NOTE, ["call-1", "call-2", "call-1"], ["hs_note_body"]
        )
    )

    assert [item.properties["vapi_call_id"] for item in found] == ["call-1"]
    assert sent(route) == {
        "inputs": [{"id": "call-1"}, {"id": "call-2"}],
        "properties": ["vapi_call_id", "hs_note_body"],
        "idProperty": "vapi_call_id",
    }


def test_any_other_error_of_a_look_up_is_raised(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.post(READ).respond(207, json={"results": [], "errors": [{"category": "FORBIDDEN"}]})

    with pytest.raises(Rejected):
        ask(lambda client: client.read_engagements(EngagementKind.NOTE, ["1"], []))


def test_a_contacts_notes_are_read_page_by_page(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    pages = [
        {
            "results": [
                {
                    "from": {"id": "301"},
                    "to": [{"toObjectId": 9001}, {"toObjectId": "9002"}],
                    "paging": {"next": {"after": "9003"}},
                }
            ],
            "errors": [
                {
                    "category": "VALIDATION_ERROR",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                }
            ],
        },
        {"results": [{"from": {"id": "301"}, "to": [{"toObjectId": "9003"}]}]},
    ]
    route = hubspot.post(ASSOCIATIONS).mock(
        side_effect=[httpx.Response(207, json=page) for page in pages]
    )

    found = ask(
        lambda client: client.read_contact_engagement_ids(EngagementKind.NOTE, ["301", "302"])
    )

    assert found == {"301": ["9001", "9002", "9003"], "302": []}
    assert sent(route) == {"inputs": [{"id": "301", "after": "9003"}]}


def test_association_pages_that_repeat_themselves_come_to_an_end(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.post(ASSOCIATIONS).respond(
        json={
            "results": [
                {
                    "from": {"id": "301"},
                    "to": [{"toObjectId": "9001"}],
                    "paging": {"next": {"after": "9001"}},
                }
            ]
        }
    )

    found = ask(lambda client: client.read_contact_engagement_ids(EngagementKind.NOTE, ["301"]))

    assert found == {"301": ["9001"]}


def test_a_property_that_is_not_there_is_none(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.get(f"{PROPERTIES}/vapi_call_id").respond(404, json={"category": "OBJECT_NOT_FOUND"})

    assert ask(lambda c: c.fetch_property(EngagementKind.NOTE, "vapi_call_id")) is None


def test_the_call_id_property_is_created_unique_in_the_portals_group(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.get(f"{PROPERTIES}/groups").respond(json={"results": [{"name": "noteinformation"}]})
    route = hubspot.post(PROPERTIES).respond(201, json={"name": "vapi_call_id"})

    made = ask(lambda client: client.create_call_id_property(EngagementKind.NOTE))

    assert made == {"name": "vapi_call_id"}
    assert sent(route) == {
        "name": "vapi_call_id",
        "label": "VAPI call id",
        "type": "string",
        "fieldType": "text",
        "groupName": "noteinformation",
        "hasUniqueValue": True,
    }


def test_a_call_id_property_that_exists_is_given_back(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    existing = {"name": "vapi_call_id", "hasUniqueValue": False}
    hubspot.get(f"{PROPERTIES}/groups").respond(404)
    hubspot.post(PROPERTIES).respond(409, json={"category": "OBJECT_ALREADY_EXISTS"})
    hubspot.get(f"{PROPERTIES}/vapi_call_id").respond(json=existing)

    assert ask(lambda c: c.create_call_id_property(EngagementKind.NOTE)) == existing


def test_a_refused_call_id_property_is_rejected(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.get(f"{PROPERTIES}/groups").respond(json={"results": []})
    hubspot.post(PROPERTIES).respond(400, json={"category": "VALIDATION_ERROR"})

    with pytest.raises(Rejected):
        ask(lambda client: client.create_call_id_property(EngagementKind.NOTE))


@pytest.mark.parametrize("portal", [4711, "4711"])
def test_the_portal_is_named(
    portal: Any, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    hubspot.get("/account-info/2026-09/details").respond(
        json={"portalId": portal, "timeZone": "Europe/Lisbon"}
    )

    account = ask(lambda client: client.fetch_account())

    assert (account.portal_id, account.time_zone) == (4711, "Europe/Lisbon")


class Chunks:
    """Content that can be read again, and counts how often it was."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.read = 0

    async def __aiter__(self) -> Any:
        self.read += 1
        for chunk in self.chunks:
            yield chunk


async def once_only(*chunks: bytes) -> Any:
    for chunk in chunks:
        yield chunk


def an_upload(content: Any, **fields: Any) -> FileUpload:
    return FileUpload(
        **{
            "name": "call-1.wav",
            "folder_path": "/vapi-calls",
            "content": content,
            "content_type": "audio/wav",
            **fields,
        }
    )


def test_a_file_is_uploaded_private_into_its_folder(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post("/files/2026-09/files").respond(
        201, json={"id": "77", "name": "call-1", "path": "/vapi-calls/call-1.wav", "size": 6}
    )

    made = ask(lambda client: client.upload_file(an_upload(Chunks(b"RIFF", b"", b"--"), size=6)))

    request = route.calls[-1].request
    assert made == UploadedFile("77", "call-1", "/vapi-calls/call-1.wav", 6)
    assert request.headers["content-length"] == str(len(request.content))
    assert b'name="file"; filename="call-1.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF--\r\n--' in (
        request.content
    )
    assert b'name="folderPath"\r\n\r\n/vapi-calls\r\n' in request.content
    options = json.loads(request.content.split(b'name="options"\r\n\r\n')[1].split(b"\r\n")[0])
    assert options == {
        "access": "PRIVATE",
        "overwrite": False,
        "duplicateValidationStrategy": "RETURN_EXISTING",
        "duplicateValidationScope": "EXACT_FOLDER",
    }


def test_an_upload_that_can_start_over_is_repeated_when_refused(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    content = Chunks(b"RIFF")
    limited = httpx.Response(429, json={"policyName": "SECONDLY"})
    route = hubspot.post("/files/2026-09/files").mock(
        side_effect=[limited, httpx.Response(201, json={"id": "77"})]
    )

    made = ask(lambda client: client.upload_file(an_upload(content)))

    assert made.id == "77"
    assert content.read == 2
    assert b"RIFF" in route.calls[-1].request.content


@pytest.mark.parametrize("status", [429, 423])
def test_an_upload_that_cannot_start_over_is_refused_at_once(
    status: int, hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post("/files/2026-09/files").respond(status, json={})

    with pytest.raises((RateLimited, Locked)):
        ask(lambda client: client.upload_file(an_upload(once_only(b"RIFF"))))
    assert route.call_count == 1


def test_a_401_in_mid_upload_never_sends_an_empty_file(
    hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    route = hubspot.post("/files/2026-09/files").respond(401)
    hubspot.post("/oauth/2026-09/token").respond(
        json={"access_token": "canary-access-2", "expires_in": 1800}
    )

    with pytest.raises(Unavailable, match="start over"):
        ask(lambda client: client.upload_file(an_upload(once_only(b"RIFF"))))
    assert route.call_count == 1


@pytest.fixture
def files() -> Iterator[respx.Route]:
    """The files endpoint, reached only if a whole body could be sent."""
    with respx.mock(base_url="https://api.hubapi.com", assert_all_called=False) as router:
        yield router.post("/files/2026-09/files").respond(201, json={"id": "77"})


def test_an_error_of_the_contents_source_passes_through(
    files: respx.Route, ask: Callable[..., Any]
) -> None:
    failure = httpx.ReadError("the recording's host hung up")

    class Failing:
        async def __aiter__(self) -> Any:
            yield b"RIFF"
            raise failure

    with pytest.raises(httpx.ReadError) as failed:
        ask(lambda client: client.upload_file(an_upload(Failing())))

    assert failed.value is failure


def test_content_of_another_size_than_stated_is_no_file(
    files: respx.Route, ask: Callable[..., Any]
) -> None:
    with pytest.raises(EOFError):
        ask(lambda client: client.upload_file(an_upload(Chunks(b"RIFF"), size=5)))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 'a".wav'},
        {"name": "a\r\nb.wav"},
        {"name": "../a.wav"},
        {"name": ""},
        {"content_type": "audio/wav\r\nX: y"},
        {"folder_path": "/vapi\r\n"},
    ],
    ids=str,
)
def test_a_name_that_could_break_out_of_the_form_is_refused(
    fields: dict[str, str], hubspot: respx.MockRouter, ask: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"needs|must"):
        ask(lambda client: client.upload_file(an_upload(Chunks(b"RIFF"), **fields)))


def test_no_secret_or_number_reaches_a_log(
    hubspot: respx.MockRouter, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    limited = httpx.Response(429, json={"policyName": "SECONDLY"})
    found = httpx.Response(200, json={"results": []})
    hubspot.post(SEARCH).mock(side_effect=[httpx.Response(401), limited, found])
    hubspot.post("/oauth/2026-09/token").respond(
        json={"access_token": "canary-access-2", "expires_in": 1800}
    )

    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpx").setLevel(logging.NOTSET)
        ask(lambda client: client.search_contacts(["2025550123"]))

    assert "rate_limited" in caplog.text
    assert "canary" not in caplog.text
    assert "2025550123" not in caplog.text
