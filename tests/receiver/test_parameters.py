"""Parameters of an address, however many somebody writes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from receiver.answers import Refusal
from receiver.parameters import Parameters, body_parameters, query_parameters

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def an_address(query: str) -> Request:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    return Request({**scope, "query_string": query.encode()})


def test_a_parameter_that_is_given_twice_is_named_once():
    asked = query_parameters(an_address("q=1&q=2&q=3&limit=1"))
    asked.text("q"), asked.text("limit")

    with pytest.raises(Refusal) as refused:
        asked.check()

    assert refused.value.sentence == "q is given more than once."


def test_thousands_of_parameters_hold_up_nobody():
    request = an_address("&".join(f"{n:x}" for n in range(6_000)))
    started = time.perf_counter()

    query_parameters(request)

    assert time.perf_counter() - started < 0.5


def a_body(content: bytes, kind: str | None) -> Request:
    headers = [] if kind is None else [(b"content-type", kind.encode())]
    messages = [{"type": "http.request", "body": content}]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"foo": "1"}, "foo is no parameter here."),
        ({"Foo": "1"}, "Foo is no parameter here."),
        ({"limit": "ten"}, "limit must be a whole number from 1 to 9."),
        ({"a b": "1"}, "A name that was given is no parameter here."),
    ],
    ids=["small", "capital", "known", "odd"],
)
def test_a_name_is_said_as_it_is_written(given, sentence):
    asked = Parameters(given)
    asked.whole("limit", 5, least=1, most=9)

    with pytest.raises(Refusal) as refused:
        asked.check()

    assert refused.value.sentence == sentence


@pytest.mark.parametrize(
    ("written", "ago"),
    [
        ("24h", timedelta(hours=24)),
        ("30m", timedelta(minutes=30)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_how_long_ago_is_a_time_too(written, ago):
    asked = Parameters({"since": written}, now=lambda: NOON)

    assert asked.moment("since") == NOON - ago
    asked.check()


@pytest.mark.parametrize("written", ["24", "-1h", "1y", "h", "1.5h", "9" * 30 + "w", "9999999w"])
def test_a_length_of_time_that_is_none_is_refused_or_a_number_of_milliseconds(written):
    asked = Parameters({"since": written}, now=lambda: NOON)

    read = asked.moment("since")

    assert (read is None) == bool(asked.faults)
    assert read is None or written == "24"


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream"],
)
def test_json_that_is_sent_as_something_else_is_told_which_header_is_missing(kind):
    request = a_body(b' {"status": "error"}', kind)

    with pytest.raises(Refusal) as refused:
        asyncio.run(body_parameters(request))

    assert (refused.value.status, refused.value.code) == (415, "unsupported_media_type")
    assert "send the header Content-Type: application/json" in refused.value.sentence


def test_json_without_any_type_is_read():
    asked = asyncio.run(body_parameters(a_body(b'{"status": "error"}', None)))

    assert asked.text("status") == "error"
