"""What is to stand in HubSpot for a call: the same words wherever it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from target_hubspot_calls.call import Call
from target_hubspot_calls.content import engagement_content
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.errors import InvalidCallRecord
from target_hubspot_calls.settings import TargetSettings

CALL = Call(
    "a/b",
    "ada",
    "analytics",
    received_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    recording_url="https://recordings.example/1.wav",
)
PUBLIC = TargetSettings(public_url="https://calls.example.com")


@pytest.mark.parametrize("kind", list(EngagementType))
def test_the_body_is_what_people_read(kind: EngagementType) -> None:
    content = engagement_content(CALL, kind, PUBLIC, file_id=None)

    assert content.body.endswith("<p>Call ID: a/b</p>")
    assert 'href="https://calls.example.com/recordings/a%2Fb"' in content.body


def test_a_link_only_this_machine_could_follow_is_left_out() -> None:
    settings = TargetSettings(public_url="http://127.0.0.1:8000")

    content = engagement_content(CALL, EngagementType.NOTE, settings, file_id=None)

    assert "Recording" not in content.body


def test_the_fingerprint_changes_with_what_is_said_and_with_nothing_else() -> None:
    told = engagement_content(CALL, EngagementType.NOTE, PUBLIC, file_id=None)
    again = engagement_content(CALL, EngagementType.NOTE, PUBLIC, file_id=None)
    with_file = engagement_content(CALL, EngagementType.NOTE, PUBLIC, file_id="7")

    assert told.digest == again.digest
    assert told.digest != with_file.digest


def test_a_call_without_any_time_cannot_be_written() -> None:
    with pytest.raises(InvalidCallRecord):
        engagement_content(Call("a", "b", "c"), EngagementType.NOTE, PUBLIC, file_id=None)
