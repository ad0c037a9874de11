from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from target_hubspot_calls.recordings.source import RecordingSource
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from target_hubspot_calls.recordings.vapi_links import VapiLinks
from tests.target_hubspot_calls.recordings.conftest import (
    Play,
    a_redirect,
    a_source,
    a_wav,
    an_answer,
    no_sleep,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
BEFORE = NOW - timedelta(minutes=10)
STORED, FRESH = a_wav(1000), a_wav(1500)


def open_it(
    fetcher: Any, stored: Play, vapi: bytes | None, expires_at: datetime | None
) -> tuple[int | RecordingStatus, int, int]:
    """Size or status, how often the stored link was asked, and how often VAPI was.

    VAPI's answer may say FRESH for the address of the fresh recording.
    """

    async def main() -> tuple[int | RecordingStatus, int, int]:
        async with a_source(stored) as old, a_source(an_answer(FRESH)) as new:
            told = (vapi or b"").replace(b"FRESH", new.url().encode())
            async with (
                a_source(told) as asked,
                fetcher,
                VapiLinks("key", asked.url(""), sleep=no_sleep) as links,
            ):
                source = RecordingSource(fetcher, links if vapi else None, now=lambda: NOW)
                try:
                    async with source.open("call-1", old.url(), expires_at) as recording:
                        got: int | RecordingStatus = len(b"".join([p async for p in recording]))
                except RecordingError as err:
                    got = err.status
                return got, old.connections, asked.connections

    return asyncio.run(main())


@pytest.mark.parametrize("expires_at", [None, LATER])
def test_a_stored_link_that_lives_is_used(a_fetcher, expires_at):
    assert open_it(a_fetcher(), an_answer(STORED), a_redirect("FRESH"), expires_at) == (1000, 1, 0)


def test_a_fresh_link_is_asked_for_at_once_when_the_stored_one_has_expired(a_fetcher):
    assert open_it(a_fetcher(), an_answer(STORED), a_redirect("FRESH"), BEFORE) == (1500, 0, 1)


def test_a_fresh_link_is_asked_for_when_the_stored_one_turns_out_dead(a_fetcher):
    dead = an_answer(b"", "403 Forbidden")

    assert open_it(a_fetcher(), dead, a_redirect("FRESH"), LATER) == (1500, 1, 1)


def test_without_a_key_the_stored_link_is_all_there_is(a_fetcher):
    dead = an_answer(b"", "403 Forbidden")

    assert open_it(a_fetcher(), dead, None, LATER) == (RecordingStatus.EXPIRED, 1, 0)
    assert open_it(a_fetcher(), an_answer(STORED), None, LATER) == (1000, 1, 0)


def test_without_a_key_a_link_known_to_be_dead_is_not_asked(a_fetcher):
    stored = an_answer(STORED)

    assert open_it(a_fetcher(), stored, None, BEFORE) == (RecordingStatus.EXPIRED, 0, 0)


def test_a_recording_vapi_no_longer_has_is_expired(a_fetcher):
    gone = an_answer(b"", "404 Not Found")

    assert open_it(a_fetcher(), b"", gone, BEFORE) == (RecordingStatus.EXPIRED, 0, 1)


def test_a_fresh_link_does_not_mend_what_is_no_recording(a_fetcher):
    page = an_answer(b"<html>")
    outcome = open_it(a_fetcher(), page, a_redirect("FRESH"), LATER)

    assert outcome == (RecordingStatus.UNSUPPORTED_TYPE, 1, 0)


def test_a_fresh_link_is_held_to_the_rules_of_every_link(a_fetcher):
    outcome = open_it(a_fetcher(), b"", a_redirect("https://inside.example/c.wav"), BEFORE)

    assert outcome == (RecordingStatus.BLOCKED_ADDRESS, 0, 1)
