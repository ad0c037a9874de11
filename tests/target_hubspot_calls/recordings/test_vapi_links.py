from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

import httpx
import pytest

from target_hubspot_calls.errors import SettingsError
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from target_hubspot_calls.recordings.vapi_links import VapiKeyRefused, VapiLinks
from tests.target_hubspot_calls.recordings.conftest import (
    Play,
    a_redirect,
    a_source,
    an_answer,
)

KEY = "canary-private-key"
CALL_ID = "01a1f97c-7300-7aa2-9c10-5f3a2b6d8e01"
FRESH = "https://acct.r2.cloudflarestorage.com/b/c.wav?X-Amz-Signature=a%2Fb"


def ask(
    *plays: Play, call_id: str = CALL_ID, **options: Any
) -> tuple[str | RecordingError, list[bytes], list[float]]:
    """What comes of asking, the requests VAPI got, and the waits between them."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> tuple[str | RecordingError, list[bytes], list[float]]:
        async with a_source(*plays) as vapi:
            async with VapiLinks(KEY, vapi.url(""), sleep=sleep, **options) as links:
                try:
                    got: str | RecordingError = await links.fetch_fresh_link(call_id)
                except RecordingError as err:
                    got = err
            return got, vapi.requests, slept

    return asyncio.run(main())


def test_vapi_is_asked_with_the_key_and_its_redirect_is_not_followed():
    got, requests, _ = ask(a_redirect(FRESH))

    assert (got, len(requests)) == (FRESH, 1)
    assert requests[0].startswith(b"GET /call/%b/mono-recording HTTP/1.1\r\n" % CALL_ID.encode())
    assert f"authorization: bearer {KEY}".encode() in requests[0].lower()
    assert b"user-agent: target-hubspot-calls/" in requests[0].lower()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, RecordingStatus.NONE),
        (400, RecordingStatus.EXPIRED),
        (410, RecordingStatus.EXPIRED),
        (200, RecordingStatus.UNREACHABLE),
        (418, RecordingStatus.UNREACHABLE),
    ],
)
def test_a_plain_refusal_is_taken_at_its_word(status, expected):
    got, requests, _ = ask(an_answer(b"{}", f"{status} So"))

    assert isinstance(got, RecordingError)
    assert (got.status, len(requests)) == (expected, 1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_and_never_shown(status):
    got, requests, _ = ask(an_answer(KEY.encode(), f"{status} No"))

    assert isinstance(got, VapiKeyRefused)
    assert (got.status, got.retryable, len(requests)) == (RecordingStatus.UNREACHABLE, False, 1)
    assert "vapi_api_key" in str(got)
    assert KEY not in str(got)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_trouble_is_tried_again(status):
    got, requests, slept = ask(an_answer(b"", f"{status} Busy"), a_redirect(FRESH))

    assert (got, len(requests), len(slept)) == (FRESH, 2, 1)


def test_tries_are_bounded_and_waits_grow():
    got, requests, slept = ask(an_answer(b"", "503 Busy"), tries=4)

    assert isinstance(got, RecordingError)
    assert (got.status, len(requests)) == (RecordingStatus.UNREACHABLE, 4)
    assert slept == sorted(slept)
    assert sum(slept) < 5


@pytest.mark.parametrize(("wish", "least", "most"), [("3", 3, 3.4), ("86400", 10, 11.1)])
def test_vapis_own_wish_is_kept_up_to_a_bound(wish, least, most):
    _, _, slept = ask(an_answer(b"", "429 Busy", f"Retry-After: {wish}"), a_redirect(FRESH))

    assert least <= slept[0] <= most


def test_a_dead_or_silent_vapi_is_unreachable():
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    for play in (silent, reset):
        got, requests, _ = ask(play, try_s=0.1, tries=2)

        assert isinstance(got, RecordingError)
        assert (got.status, len(requests)) == (RecordingStatus.UNREACHABLE, 2)


@pytest.mark.parametrize(
    "location",
    ["http://files.example/c.wav", "javascript:alert(1)", "/relative", "https://u:p@files.example/",
     "https://files.example\\@127.0.0.1/", ""],
)  # fmt: skip
def test_a_link_nobody_should_be_sent_to_is_none(location):
    got, _, _ = ask(a_redirect(location))

    assert isinstance(got, RecordingError)
    assert got.status is RecordingStatus.UNREACHABLE


@pytest.mark.parametrize(
    "call_id", ["", ".", "..", "../assistant", "a/b", "a?b", "a b", "é", "%2e"]
)
def test_an_id_that_is_none_of_vapis_is_not_asked_for(call_id):
    got, requests, _ = ask(a_redirect(FRESH), call_id=call_id)

    assert isinstance(got, RecordingError)
    assert (got.status, requests) == (RecordingStatus.NONE, [])


def test_neither_key_nor_link_reaches_a_log_or_a_traceback(caplog):
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)

    async def main(transport: httpx.AsyncBaseTransport) -> None:
        links = VapiLinks(KEY, transport=transport, tries=1)
        assert KEY not in repr(links)
        await links.fetch_fresh_link(CALL_ID)

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("cannot connect", request=request)

    ask(a_redirect(FRESH))
    with pytest.raises(RecordingError) as caught:
        asyncio.run(main(httpx.MockTransport(fail)))

    told = caplog.text + "".join(traceback.format_exception(caught.value))
    assert KEY not in told
    assert "X-Amz-Signature" not in told


@pytest.mark.parametrize(
    ("key", "url", "faults"),
    [
        ("", "https://api.vapi.ai", 1),
        ("two words", "https://api.vapi.ai", 1),
        ("k\r\nX: y", "http://api.vapi.ai", 2),
        ("k", "ftp://api.vapi.ai", 1),
        ("k", "https://u:p@api.vapi.ai", 1),
        ("k", "https://api.vapi.ai?x=1", 1),
        ("k", "nonsense", 1),
    ],
)
def test_settings_that_cannot_work_are_refused_all_at_once(key, url, faults):
    with pytest.raises(SettingsError) as caught:
        VapiLinks(key, url)

    assert len(caught.value.faults) == faults
    assert "words" not in str(caught.value)
