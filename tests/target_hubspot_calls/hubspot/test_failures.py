from __future__ import annotations

from typing import Any

import httpx
import pytest

from target_hubspot_calls.errors import (
    AccountMigrating,
    AnswerLost,
    DailyLimit,
    HubSpotError,
    Locked,
    MissingScope,
    RateLimited,
    ReconnectRequired,
    Rejected,
    Unavailable,
)
from target_hubspot_calls.hubspot import api
from target_hubspot_calls.hubspot.failures import (
    error_of_response,
    error_of_transport,
    is_taken,
    retry_after_s,
)

HUBSPOT = {"status": "error", "category": "VALIDATION_ERROR", "correlationId": "c0ffee-1"}


def an_answer(
    status: int,
    body: Any = None,
    *,
    kind: api.RequestKind = api.READ,
    path: str = "/crm/objects/2026-09/notes/batch/create",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    request = httpx.Request("POST", f"https://api.hubapi.com{path}", extensions=kind.extensions())
    content: dict[str, Any] = {"json": body} if body is not None else {"content": b"<html>"}
    return httpx.Response(status, headers=headers, request=request, **content)


def error_of(response: httpx.Response) -> HubSpotError:
    error = error_of_response(response)
    assert error is not None
    return error


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 413, 414, 415, 422])
def test_a_refused_request_is_rejected_with_category_and_correlation_id(status: int) -> None:
    error = error_of(an_answer(status, HUBSPOT, kind=api.CREATE))

    assert type(error) is Rejected
    assert (error.http_status, error.category, error.correlation_id) == (
        status,
        "VALIDATION_ERROR",
        "c0ffee-1",
    )


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 521, 523, 524])
def test_a_server_fault_loses_the_answer_of_a_create_and_of_nothing_else(status: int) -> None:
    assert type(error_of(an_answer(status, kind=api.CREATE))) is AnswerLost
    assert type(error_of(an_answer(status, kind=api.UPLOAD))) is AnswerLost
    assert type(error_of(an_answer(status, kind=api.READ))) is Unavailable
    assert type(error_of(an_answer(status, kind=api.UPDATE))) is Unavailable


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_unavailable_even_for_a_create(status: int) -> None:
    error = error_of(an_answer(status, kind=api.CREATE, headers={"location": "https://x.example"}))

    assert type(error) is Unavailable


def test_a_2xx_is_no_error() -> None:
    assert all(error_of_response(an_answer(status, {})) is None for status in (200, 201, 204, 207))


@pytest.mark.parametrize(
    ("body", "path", "headers", "error", "wait_s"),
    [
        ({"policyName": "TEN_SECONDLY_ROLLING"}, "/x", {}, RateLimited, 10.0),
        ({"policyName": "SECONDLY"}, "/x", {}, RateLimited, 1.0),
        ({"policyName": "DAILY"}, "/x", {}, DailyLimit, 3600.0),
        ({"policyName": "DAILY"}, "/x", {"retry-after": "7200"}, DailyLimit, 7200.0),
        ({"message": "You have reached your daily limit."}, "/x", {}, DailyLimit, 3600.0),
        ({}, "/x", {"x-hubspot-ratelimit-daily-remaining": "0"}, DailyLimit, 3600.0),
        ({}, "/x", {}, RateLimited, 10.0),
        ({}, "/crm/objects/2026-09/contacts/search", {}, RateLimited, 1.0),
        ({"policyName": "SECONDLY"}, "/x", {"retry-after": "3"}, RateLimited, 3.0),
        (None, "/x", {}, RateLimited, 10.0),
    ],
    ids=str,
)
def test_a_429_says_by_its_policy_how_long_to_wait(
    body: Any, path: str, headers: dict[str, str], error: type[HubSpotError], wait_s: float
) -> None:
    found = error_of(an_answer(429, body, path=path, headers=headers, kind=api.CREATE))

    assert type(found) is error
    assert getattr(found, "retry_after_s") == wait_s  # noqa: B009


def test_a_lock_waits_two_seconds_at_least() -> None:
    assert error_of(an_answer(423, HUBSPOT)).retry_after_s == 2.0  # type: ignore[attr-defined]
    longer = error_of(an_answer(423, HUBSPOT, headers={"retry-after": "5"}))
    assert type(longer) is Locked
    assert longer.retry_after_s == 5.0


def test_a_migrating_account_waits_as_long_as_hubspot_says() -> None:
    error = error_of(an_answer(477, HUBSPOT, headers={"retry-after": "5400"}))

    assert type(error) is AccountMigrating
    assert error.retry_after_s == 5400.0


def test_a_401_asks_for_a_reconnection() -> None:
    assert type(error_of(an_answer(401, HUBSPOT))) is ReconnectRequired


def test_a_missing_scope_is_named() -> None:
    body = {
        "category": "MISSING_SCOPES",
        "errors": [{"context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}}],
    }

    error = error_of(an_answer(403, body))

    assert type(error) is MissingScope
    assert "crm.objects.contacts.write" in str(error)


def test_a_403_that_is_not_hubspots_is_unavailable() -> None:
    assert type(error_of(an_answer(403))) is Unavailable


@pytest.mark.parametrize(
    "message",
    [
        'Property values were not valid: [{"isValid":false,"message":"canary was not one of",'
        '"error":"INVALID_OPTION","name":"hs_call_status"}]',
        'Value "canary" of hs_call_status',
        "canary was not a valid long.",
        "Contact with canary@mail.example exists: +1 (202) 555-0123",
        "'canary' is taken",
    ],
)
def test_a_rejection_never_repeats_a_value(message: str) -> None:
    error = error_of(an_answer(400, {**HUBSPOT, "message": message}))

    assert "canary" not in str(error)
    assert "555" not in str(error)


def test_a_rejection_has_no_character_that_could_forge_a_log_line() -> None:
    forged = "The record\r\nERROR is \x1b[31mred\x07\u202e and ends" + " here" * 1000

    error = error_of(an_answer(400, {"category": "VALIDATION_ERROR", "message": forged}))

    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_a_rejection_names_the_codes_and_properties() -> None:
    message = 'Property values were not valid: [{"error":"PROPERTY_DOESNT_EXIST","name":"hs_x"}]'
    context = {"errors": [{"context": {"propertyName": ["hs_timestamp"]}}]}

    error = error_of(an_answer(400, {**HUBSPOT, **context, "message": message}))

    assert "PROPERTY_DOESNT_EXIST" in str(error)
    assert "property hs_timestamp, hs_x" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "message",
    [
        'Property values were not valid: [{"error":"CONFLICTING_UNIQUE_VALUE","name":"x"}]',
        "Cannot set PropertyValueCoordinates; 9001 already has that value.",
    ],
)
def test_a_taken_unique_value_is_recognised(message: str) -> None:
    assert is_taken(error_of(an_answer(400, {**HUBSPOT, "message": message})))
    assert not is_taken(error_of(an_answer(400, HUBSPOT)))


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {"message": 7, "category": ["x"], "correlationId": {"a": 1}, "errors": "none"},
        {"errors": [None, {"context": None}, {"context": {"propertyName": [{}]}}]},
        {"category": "x" * 5000, "correlationId": "\n" * 90, "message": "m" * 10_000},
    ],
    ids=lambda body: str(body)[:40],
)
def test_an_error_body_of_any_shape_is_survived(body: Any) -> None:
    for status in (400, 401, 403, 423, 429, 477, 500):
        error = error_of(an_answer(status, body))

        assert len(str(error)) < 600
        assert "\n" not in str(error)
        assert "\n" not in (error.correlation_id or "")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("999999999", 86_400.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(written: str, seconds: float | None) -> None:
    headers = {"retry-after": written, "date": "Fri, 20 Nov 2026 12:00:00 GMT"}

    assert retry_after_s(an_answer(429, {}, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("failure", "of_create"),
    [
        (httpx.ConnectError("refused"), Unavailable),
        (httpx.ConnectTimeout("slow"), Unavailable),
        (httpx.PoolTimeout("full"), Unavailable),
        (httpx.ReadTimeout("silent"), AnswerLost),
        (httpx.ReadError("reset"), AnswerLost),
        (httpx.WriteError("reset"), AnswerLost),
        (httpx.RemoteProtocolError("closed"), AnswerLost),
        (httpx.DecodingError("gzip"), AnswerLost),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_a_create_that_left_us_loses_its_answer(
    failure: httpx.RequestError, of_create: type[HubSpotError]
) -> None:
    create = an_answer(200, {}, kind=api.CREATE).request
    read = an_answer(200, {}).request

    assert type(error_of_transport(failure, create)) is of_create
    assert type(error_of_transport(failure, read)) is Unavailable


def test_a_lost_token_reply_does_not_make_a_create_lost() -> None:
    create = an_answer(200, {}, kind=api.CREATE).request
    token = an_answer(200, {}, kind=api.TOKEN, path=api.TOKEN_PATH).request

    error = error_of_transport(httpx.ReadTimeout("silent", request=token), create)

    assert type(error) is Unavailable
